# SPDX-License-Identifier: Apache-2.0
"""The connection table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.wire.messages import ConnectionView

LINES = "application/x-ndjson"


async def connections(backend: Backend, _request: Request) -> Response:
    """The connection table, one line each."""
    chunks = backend.director.port.connections()

    async def lines() -> AsyncIterator[bytes]:
        for chunk in chunks:
            if chunk:
                yield chunk
            # Others have their turn between: ten million connections take a while.
            await asyncio.sleep(0)

    return StreamingResponse(lines(), media_type=LINES)


ENDPOINTS = (
    Endpoint("GET", "/v1/connections", connections, answer=ConnectionView, media_type=LINES),
)
