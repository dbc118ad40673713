# SPDX-License-Identifier: Apache-2.0
"""What happens, as it happens: server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from xlvs.api.backend import Backend
from xlvs.api.endpoint import STREAM, Endpoint
from xlvs.wire import codec
from xlvs.wire.events import Event

QUIET = 15.0
"""Seconds after which something is said although nothing has happened: who is gone is noticed."""

_ID_DIGITS = 18


class After(msgspec.Struct, frozen=True, kw_only=True):
    """``after``: an event's id; later ones are told, also those that were before now.

    The header ``Last-Event-ID``, which browsers send by themselves, says the same.
    """

    after: int | None = None


async def events(backend: Backend, request: Request) -> Response:
    """Events from now on, or after a known one. To a reader that is too slow the last is a gap."""
    after = codec.query(request.query_params, After).after
    said = request.headers.get("last-event-id", "")
    if said:
        if not (said.isascii() and said.isdecimal() and len(said) <= _ID_DIGITS):
            raise HTTPException(400, f"Last-Event-ID is an event's number, not {said!r}")
        after = int(said)

    async def told() -> AsyncIterator[bytes]:
        yield b": events\n\n"
        async for event in backend.bus.follow(after, QUIET):
            yield b": quiet\n\n" if event is None else _told(event)

    return StreamingResponse(told(), media_type=STREAM, headers={"Cache-Control": "no-store"})


def _told(event: Event) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (
        event.id,
        event.kind.value.encode(),
        codec.encode(event),
    )


ENDPOINTS = (Endpoint("GET", "/v1/events", events, answer=Event, query=After, media_type=STREAM),)
