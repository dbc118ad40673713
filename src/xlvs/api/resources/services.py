# SPDX-License-Identifier: Apache-2.0
"""Virtual services and their real servers.

All of them are sent a part at a time: there may be ten thousand.
``/v1/services/{protocol}/{name}`` is one of them, as ``xlvs.wire.endpoint`` spells it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from xlvs.api import answers, listing, views
from xlvs.api.answers import JSON, LINES
from xlvs.api.backend import Backend
from xlvs.api.endpoint import MERGE_PATCH, Endpoint
from xlvs.api.preconditions import tagged
from xlvs.api.writing import write
from xlvs.engine import replacing
from xlvs.engine.replacing import Step
from xlvs.model.desired import Desired
from xlvs.model.edit import DeleteService, Zero
from xlvs.model.problem import Code, Problem
from xlvs.model.service import ServiceKey
from xlvs.wire import codec
from xlvs.wire.endpoint import service_key
from xlvs.wire.messages import (
    ListingHead,
    ListingQuery,
    ServiceLine,
    ServiceList,
    ServiceView,
)
from xlvs.wire.resources import ConfiguredService

PATH = "/v1/services/{protocol}/{name}"


def key_of(request: Request) -> ServiceKey:
    """The service that the path names. Raises HTTPException if it names none."""
    try:
        return service_key(request.path_params["protocol"], request.path_params["name"])
    except Problem as problem:
        raise HTTPException(400, problem.message) from problem


def configured(desired: Desired, key: ServiceKey) -> ConfiguredService | None:
    """A service as it is asked for, None if there is none."""
    entry = desired.services.get(key)
    if entry is None:
        return None
    service, destinations = entry
    return ConfiguredService(**msgspec.structs.asdict(service), destinations=destinations)


async def services(backend: Backend, _request: Request) -> Response:
    """Services, destinations, counters."""
    director = backend.director
    nothing = codec.encode(ServiceList(services=[], table_size=views.table_size(director)))
    head, brackets, foot = nothing.partition(b"[]")

    async def pieces() -> AsyncIterator[bytes]:
        yield head + brackets[:1]
        comma = b""
        for part in listing.views(director):
            yield comma + codec.encode(part)[1:-1]
            comma = b","
            await asyncio.sleep(0)
        yield brackets[1:] + foot

    return StreamingResponse(pieces(), media_type=JSON)


async def lines(backend: Backend, request: Request) -> Response:
    """Services, one line each, after a line that is a ListingHead."""
    director = backend.director
    wanted = msgspec.convert(dict(request.query_params), ListingQuery)

    async def pieces() -> AsyncIterator[bytes]:
        yield codec.encode_lines([ListingHead(table_size=views.table_size(director))])
        for part in listing.lines(director, wanted.numbers):
            yield codec.encode_lines(part)
            await asyncio.sleep(0)

    return StreamingResponse(pieces(), media_type=LINES)


async def service(backend: Backend, request: Request) -> Response:
    """One service with its real servers, as they are asked for."""
    key = key_of(request)
    backend.director.desired.entry(key)
    return tagged(request, configured(backend.director.desired, key))


async def put(backend: Backend, request: Request) -> Response:
    """Make the service what the body says."""
    body = codec.decode(await request.body(), dict)
    return await _write(backend, request, lambda _: body)


async def patch(backend: Backend, request: Request) -> Response:
    """Change some fields of the service; null gives one its default."""
    key = key_of(request)
    change = codec.decode(await request.body(), dict)

    def patched(desired: Desired) -> dict[str, object]:
        desired.entry(key)
        now = codec.plain(configured(desired, key))
        if "destinations" not in change:
            del now["destinations"]  # they stay
        return codec.merged(now, change)

    return await _write(backend, request, patched)


async def delete(backend: Backend, request: Request) -> Response:
    """Remove the service and its real servers."""
    key = key_of(request)

    def steps(desired: Desired) -> Iterator[Step]:
        desired.entry(key)
        yield Step(DeleteService(key=key))

    return await write(backend, request, lambda desired: configured(desired, key), steps)


async def counters(backend: Backend, request: Request) -> Response:
    """One service with its counters."""
    key = key_of(request)
    backend.director.desired.entry(key)
    return answers.json(views.service_view(backend.director, key))


async def zero(backend: Backend, request: Request) -> Response:
    """Let the service's counters begin at zero again."""
    key = key_of(request)

    def steps(desired: Desired) -> Iterator[Step]:
        desired.entry(key)
        yield Step(Zero(service=key))

    return await write(backend, request, lambda _: None, steps)


async def _write(
    backend: Backend, request: Request, body: Callable[[Desired], dict[str, object]]
) -> Response:
    key = key_of(request)

    def steps(desired: Desired) -> Iterator[Step]:
        wanted = codec.convert({"key": codec.plain(key), **body(desired)}, ConfiguredService)
        if wanted.key != key:
            raise Problem(Code.INVALID, "the key is another than the path's: leave it out", "/key")
        return replacing.service(desired, wanted)

    return await write(backend, request, lambda desired: configured(desired, key), steps)


ENDPOINTS = (
    Endpoint("GET", "/v1/services", services, answer=ServiceList),
    Endpoint("GET", "/v1/listing", lines, answer=ServiceLine, query=ListingQuery, media_type=LINES),
    Endpoint("GET", PATH, service, answer=ConfiguredService, tagged=True),
    Endpoint(
        "PUT",
        PATH,
        put,
        answer=ConfiguredService,
        body=ConfiguredService,
        implied=("key",),
        creates=True,
    ),
    Endpoint(
        "PATCH", PATH, patch, answer=ConfiguredService, body=ConfiguredService, accepts=MERGE_PATCH
    ),
    Endpoint("DELETE", PATH, delete),
    Endpoint("GET", PATH + "/counters", counters, answer=ServiceView),
    Endpoint("DELETE", PATH + "/counters", zero),
)
