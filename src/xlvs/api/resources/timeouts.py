# SPDX-License-Identifier: Apache-2.0
"""Time-outs of connections."""

from __future__ import annotations

from msgspec.structs import asdict
from starlette.requests import Request
from starlette.responses import Response

from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.api.preconditions import tagged
from xlvs.api.writing import write
from xlvs.engine import replacing
from xlvs.model.desired import Desired
from xlvs.wire import codec
from xlvs.wire.messages import Timeouts

PATH = "/v1/timeouts"


def configured(desired: Desired) -> Timeouts:
    """Time-outs in effect."""
    return Timeouts(**asdict(desired.timeouts))


async def timeouts(backend: Backend, request: Request) -> Response:
    """Time-outs in effect."""
    return tagged(request, configured(backend.director.desired))


async def put(backend: Backend, request: Request) -> Response:
    """Set the time-outs; those that are left out get their defaults."""
    wanted = codec.decode(await request.body(), Timeouts)
    return await write(
        backend, request, configured, lambda desired: replacing.timeouts(desired, wanted)
    )


ENDPOINTS = (
    Endpoint("GET", PATH, timeouts, answer=Timeouts, tagged=True),
    Endpoint("PUT", PATH, put, answer=Timeouts, body=Timeouts),
)
