# SPDX-License-Identifier: Apache-2.0
"""Lists of clients, which services allow or deny."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api import answers
from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.api.preconditions import tagged
from xlvs.api.writing import write
from xlvs.engine import replacing
from xlvs.engine.replacing import Step
from xlvs.model.client_list import texts
from xlvs.model.desired import Desired
from xlvs.model.edit import DeleteList
from xlvs.model.problem import Code, Problem
from xlvs.wire import codec
from xlvs.wire.resources import ClientLists, ClientPrefixes

PATH = "/v1/lists/{list}"


def configured(desired: Desired, name: str) -> ClientPrefixes | None:
    """A list, None if there is none."""
    found = desired.lists.get(name)
    return None if found is None else ClientPrefixes(prefixes=tuple(texts(found)))


def _known(desired: Desired, name: str) -> ClientPrefixes:
    found = configured(desired, name)
    if found is None:
        raise Problem(Code.NO_SUCH_LIST, f"there is no list of clients {name!r}")
    return found


async def lists(backend: Backend, _request: Request) -> Response:
    """Lists of clients and how many prefixes they have."""
    found = backend.director.desired.lists
    return answers.json(ClientLists(lists={name: len(each) for name, each in found.items()}))


async def client_list(backend: Backend, request: Request) -> Response:
    """The prefixes of a list of clients."""
    name = request.path_params["list"]
    return tagged(request, _known(backend.director.desired, name))


async def put(backend: Backend, request: Request) -> Response:
    """Replace a list of clients, or make it: at once for every packet."""
    name = request.path_params["list"]
    wanted = codec.decode(await request.body(), ClientPrefixes).prefixes
    return await write(
        backend,
        request,
        lambda desired: configured(desired, name),
        lambda desired: replacing.client_list(desired, name, wanted),
    )


async def delete(backend: Backend, request: Request) -> Response:
    """Remove a list of clients that no service names."""
    name = request.path_params["list"]

    def steps(desired: Desired) -> Iterator[Step]:
        _known(desired, name)
        yield Step(DeleteList(name=name))

    return await write(backend, request, lambda desired: configured(desired, name), steps)


ENDPOINTS = (
    Endpoint("GET", "/v1/lists", lists, answer=ClientLists),
    Endpoint("GET", PATH, client_list, answer=ClientPrefixes, tagged=True),
    Endpoint("PUT", PATH, put, answer=ClientPrefixes, body=ClientPrefixes, creates=True),
    Endpoint("DELETE", PATH, delete),
)
