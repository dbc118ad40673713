# SPDX-License-Identifier: Apache-2.0
"""What would happen to a packet."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api import answers
from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.wire import codec
from xlvs.wire.explanation import ExplainRequest, Explanation


async def explain(backend: Backend, request: Request) -> Response:
    """What would happen to a packet; nothing is changed."""
    wanted = codec.decode(await request.body(), ExplainRequest)
    return answers.json(await backend.explain(wanted))


ENDPOINTS = (Endpoint("POST", "/v1/explain", explain, answer=Explanation, body=ExplainRequest),)
