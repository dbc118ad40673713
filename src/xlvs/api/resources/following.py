# SPDX-License-Identifier: Apache-2.0
"""What a director with a configuration file does beside forwarding."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api import answers
from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.wire.resources import Health, Vrrp


async def health(backend: Backend, _request: Request) -> Response:
    """Real servers' checks and services' quorums; none without a configuration file."""
    file = backend.facts().file
    return answers.json(Health(services=file.services if file else []))


async def vrrp(backend: Backend, _request: Request) -> Response:
    """VRRP instances and their states; none without a configuration file."""
    file = backend.facts().file
    return answers.json(Vrrp(instances=file.vrrp if file else []))


ENDPOINTS = (
    Endpoint("GET", "/v1/health", health, answer=Health),
    Endpoint("GET", "/v1/vrrp", vrrp, answer=Vrrp),
)
