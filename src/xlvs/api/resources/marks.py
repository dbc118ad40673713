# SPDX-License-Identifier: Apache-2.0
"""Mark rules."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api import answers
from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.wire.messages import MarkList


async def marks(backend: Backend, _request: Request) -> Response:
    """Mark rules in their order."""
    return answers.json(MarkList(rules=list(backend.director.desired.marks)))


ENDPOINTS = (Endpoint("GET", "/v1/marks", marks, answer=MarkList),)
