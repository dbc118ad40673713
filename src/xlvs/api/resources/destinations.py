# SPDX-License-Identifier: Apache-2.0
"""Real servers of a service, one by one, and their drains."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from xlvs.api.backend import Backend
from xlvs.api.endpoint import MERGE_PATCH, Endpoint
from xlvs.api.preconditions import tagged
from xlvs.api.resources import services
from xlvs.api.writing import write
from xlvs.engine import replacing
from xlvs.engine.replacing import Step
from xlvs.model.desired import Desired
from xlvs.model.drain import Drained
from xlvs.model.edit import (
    AnyEdit,
    DeleteDestination,
    DrainDestination,
    UndrainDestination,
)
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Destination
from xlvs.wire import codec
from xlvs.wire.endpoint import destination_key
from xlvs.wire.resources import DrainRequest

PATH = services.PATH + "/destinations/{destination}"


def drained_of(request: Request) -> Drained:
    """The service and the real server of the path. Raises HTTPException if it names none."""
    service = services.key_of(request)
    try:
        return Drained(service, destination_key(request.path_params["destination"]))
    except Problem as problem:
        raise HTTPException(400, problem.message) from problem


def configured(desired: Desired, at: Drained) -> Destination | None:
    """A real server as it is asked for, None if there is none."""
    _, listed = desired.services.get(at.service, (None, ()))
    return next((each for each in listed if each.key == at.destination), None)


def _there(desired: Desired, at: Drained) -> Destination:
    desired.entry(at.service)
    found = configured(desired, at)
    if found is None:
        raise Problem(Code.NO_SUCH_DESTINATION, "No such destination")
    return found


async def destination(backend: Backend, request: Request) -> Response:
    """One real server, as it is asked for."""
    return tagged(request, _there(backend.director.desired, drained_of(request)))


async def put(backend: Backend, request: Request) -> Response:
    """Make the real server what the body says."""
    body = codec.decode(await request.body(), dict)
    return await _write(backend, request, lambda _: body)


async def patch(backend: Backend, request: Request) -> Response:
    """Change some fields of the real server; null gives one its default."""
    at = drained_of(request)
    change = codec.decode(await request.body(), dict)
    return await _write(
        backend, request, lambda desired: codec.merged(codec.plain(_there(desired, at)), change)
    )


async def delete(backend: Backend, request: Request) -> Response:
    """Remove the real server."""
    at = drained_of(request)
    return await _one(backend, request, at, lambda: DeleteDestination(**at._asdict()))


async def drain(backend: Backend, request: Request) -> Response:
    """Drain the real server; one that is being drained gets another deadline."""
    at = drained_of(request)
    seconds = codec.decode(await request.body(), DrainRequest).seconds
    edit = DrainDestination(**at._asdict(), seconds=seconds)
    return await _one(backend, request, at, lambda: edit)


async def undrain(backend: Backend, request: Request) -> Response:
    """Give the real server back the weight that it had before its drain."""
    at = drained_of(request)
    return await _one(backend, request, at, lambda: UndrainDestination(**at._asdict()))


async def _one(
    backend: Backend, request: Request, at: Drained, make: Callable[[], AnyEdit]
) -> Response:
    def steps(desired: Desired) -> Iterator[Step]:
        _there(desired, at)
        yield Step(make())

    return await write(backend, request, lambda desired: configured(desired, at), steps)


async def _write(
    backend: Backend, request: Request, body: Callable[[Desired], dict[str, object]]
) -> Response:
    at = drained_of(request)

    def steps(desired: Desired) -> Iterator[Step]:
        wanted = codec.convert({"key": codec.plain(at.destination), **body(desired)}, Destination)
        if wanted.key != at.destination:
            raise Problem(Code.INVALID, "the key is another than the path's: leave it out", "/key")
        return replacing.destination(desired, at.service, wanted)

    return await write(backend, request, lambda desired: configured(desired, at), steps)


ENDPOINTS = (
    Endpoint("GET", PATH, destination, answer=Destination, tagged=True),
    Endpoint(
        "PUT", PATH, put, answer=Destination, body=Destination, implied=("key",), creates=True
    ),
    Endpoint("PATCH", PATH, patch, answer=Destination, body=Destination, accepts=MERGE_PATCH),
    Endpoint("DELETE", PATH, delete),
    Endpoint("PUT", PATH + "/drain", drain, answer=Destination, body=DrainRequest),
    Endpoint("DELETE", PATH + "/drain", undrain, answer=Destination),
)
