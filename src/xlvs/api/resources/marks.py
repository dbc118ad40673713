# SPDX-License-Identifier: Apache-2.0
"""Mark rules."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.api.preconditions import tagged
from xlvs.api.writing import write
from xlvs.engine import replacing
from xlvs.model.desired import Desired
from xlvs.wire import codec
from xlvs.wire.resources import MarkRules

PATH = "/v1/marks"


def configured(desired: Desired) -> MarkRules:
    """All rules."""
    return MarkRules(rules=desired.marks)


async def marks(backend: Backend, request: Request) -> Response:
    """Mark rules in their order."""
    return tagged(request, configured(backend.director.desired))


async def put(backend: Backend, request: Request) -> Response:
    """Replace all mark rules."""
    wanted = codec.decode(await request.body(), MarkRules).rules
    return await write(
        backend, request, configured, lambda desired: replacing.marks(desired, wanted, "/rules")
    )


ENDPOINTS = (
    Endpoint("GET", PATH, marks, answer=MarkRules, tagged=True),
    Endpoint("PUT", PATH, put, answer=MarkRules, body=MarkRules),
)
