# SPDX-License-Identifier: Apache-2.0
"""Time-outs of connections."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api import answers
from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.wire.messages import Timeouts


async def timeouts(backend: Backend, _request: Request) -> Response:
    """Time-outs in effect."""
    return answers.json(backend.director.desired.timeouts)


ENDPOINTS = (Endpoint("GET", "/v1/timeouts", timeouts, answer=Timeouts),)
