# SPDX-License-Identifier: Apache-2.0
"""Virtual services."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api import answers, views
from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.wire.messages import ServiceList


async def services(backend: Backend, _request: Request) -> Response:
    """Services, destinations, counters."""
    return answers.json(views.service_list(backend.director))


ENDPOINTS = (Endpoint("GET", "/v1/services", services, answer=ServiceList),)
