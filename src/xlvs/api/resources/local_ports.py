# SPDX-License-Identifier: Apache-2.0
"""FULLNAT's local ports."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api import answers, views
from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.wire.messages import LocalPortList


async def local_ports(backend: Backend, _request: Request) -> Response:
    """FULLNAT's local ports, used and free, the fullest first."""
    return answers.json(views.local_port_list(backend.director))


ENDPOINTS = (Endpoint("GET", "/v1/local-ports", local_ports, answer=LocalPortList),)
