# SPDX-License-Identifier: Apache-2.0
"""The connection table: listed, counted, closed.

There may be ten million connections: between some thousands of them others have their turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from xlvs.api.answers import LINES, json
from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.datapath.addresses import text, unpacked
from xlvs.datapath.port import Closed, Piece
from xlvs.datapath.selection import Selection
from xlvs.datapath.service_key import asked_key
from xlvs.datapath.tables import Tables
from xlvs.datapath.tally import Tally, Whose
from xlvs.model.problem import Code, Problem
from xlvs.model.words import host_port
from xlvs.wire import codec
from xlvs.wire.connections import (
    CloseRequest,
    CloseResult,
    ConnectionCount,
    ConnectionFilterText,
    ConnectionPage,
    CountQuery,
    PageQuery,
    Share,
)
from xlvs.wire.endpoint import service_name
from xlvs.wire.filtering import connection_filter, refuse_empty
from xlvs.wire.messages import ConnectionView

_HEX = 16
_CURSOR_DIGITS = 12
_REMOVED = "removed"

T = TypeVar("T")


async def connections(backend: Backend, request: Request) -> Response:
    """The connection table, one line each."""
    selection = _selection(backend, _query(request, ConnectionFilterText))
    pieces = backend.director.port.connections(selection)
    return StreamingResponse(_lines(pieces), media_type=LINES)


async def page(backend: Backend, request: Request) -> Response:
    """Some of the connection table, and where to go on."""
    query = _query(request, PageQuery)
    selection, after = _selection(backend, query), _place(query.after)
    found: list[ConnectionView] = []
    follows = None
    async for piece in _turns(backend.director.port.connections(selection, after, query.limit)):
        found += codec.decode_lines(piece.lines, ConnectionView)
        follows = None if piece.after is None else f"{piece.after:x}"
    return json(ConnectionPage(connections=found, next=follows))


async def count(backend: Backend, request: Request) -> Response:
    """How many connections, and who has most of them."""
    query = _query(request, CountQuery)
    tables = backend.director.effective.tables
    tally = Tally({"": None, "client": "client"}.get(query.by, "destination"))
    async for _ in _turns(backend.director.port.tally(_selection(backend, query), tally)):
        pass
    top = tally.top(query.limit, lambda whose: _name(query.by, whose, tables))
    return json(
        ConnectionCount(
            connections=tally.connections,
            top=[Share(name=name, connections=connections) for name, connections in top],
            inexact=tally.lost,
        )
    )


async def close(backend: Backend, request: Request) -> Response:
    """End connections."""
    wanted = codec.decode(await request.body(), CloseRequest)
    refuse_empty(wanted.filter)
    selection = _selection(backend, wanted.filter, closed=not wanted.reset)
    total = Closed()
    port = backend.director.port
    async for closed in _turns(port.close_connections(selection, wanted.limit, reset=wanted.reset)):
        total += closed
    return json(CloseResult(**total._asdict()))


async def _lines(pieces: Iterator[Piece]) -> AsyncIterator[bytes]:
    async for piece in _turns(pieces):
        if piece.lines:
            yield piece.lines


async def _turns(chunks: Iterator[T]) -> AsyncIterator[T]:
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)


def _query(request: Request, kind: type[T]) -> T:
    words = request.query_params
    for name in words:
        if len(words.getlist(name)) > 1:
            raise Problem(Code.INVALID, f"{name} is there more than once", name)
    return codec.query(words, kind)


def _selection(backend: Backend, wanted: ConnectionFilterText, *, closed: bool = True) -> Selection:
    tables = backend.director.effective.tables
    return Selection.of(connection_filter(wanted), tables, closed=closed)


def _place(cursor: str) -> int:
    """A place in the table's order of reading."""
    try:
        if len(cursor) <= _CURSOR_DIGITS and cursor.isalnum():
            return int(cursor, _HEX)
    except ValueError:
        pass
    if cursor:
        message = f"after wants what a page said in next, not {cursor!r}"
        raise Problem(Code.INVALID, message, "after")
    return 0


def _name(by: str, whose: Whose, tables: Tables) -> str:
    if isinstance(whose, bytes):
        return text(whose)
    destination = tables.destinations.get(whose)
    if by == "destination":
        if destination is None:
            return _REMOVED
        return host_port(unpacked(destination.address), destination.port)
    service = None if destination is None else tables.services.get(destination.service)
    return _REMOVED if service is None else service_name(asked_key(service.key))


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/connections",
        connections,
        answer=ConnectionView,
        query=ConnectionFilterText,
        media_type=LINES,
    ),
    Endpoint("GET", "/v1/connections/page", page, answer=ConnectionPage, query=PageQuery),
    Endpoint("GET", "/v1/connections/count", count, answer=ConnectionCount, query=CountQuery),
    Endpoint("POST", "/v1/connections/close", close, answer=CloseResult, body=CloseRequest),
)
