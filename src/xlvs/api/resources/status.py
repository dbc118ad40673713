# SPDX-License-Identifier: Apache-2.0
"""Everything at once."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api import answers, views
from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.wire.messages import Status


async def status(backend: Backend, _request: Request) -> Response:
    """The whole of ``xlvs status``."""
    return answers.json(views.status(backend.director, backend.facts()))


ENDPOINTS = (Endpoint("GET", "/v1/status", status, answer=Status),)
