# SPDX-License-Identifier: Apache-2.0
"""An endpoint as a row of a table: where it is, who answers, of which types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from xlvs.api.answers import JSON
from xlvs.api.backend import Backend

Handler = Callable[[Backend, Request], Awaitable[Response]]
"""Its docstring's first sentence is the endpoint's description."""


class Endpoint(NamedTuple):
    """One operation.

    ``answer`` is the type of what comes back, of one line where ``media_type`` is of lines, and
    None where it is no JSON; ``body`` the type of what is sent, ``query`` that of parameters,
    with defaults.
    """

    method: str
    path: str
    handler: Handler
    answer: Any = None
    body: Any = None
    query: Any = None
    media_type: str = JSON


def routes(endpoints: Iterable[Endpoint], backend: Backend) -> list[Route]:
    """One route for each path."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for each in endpoints:
        by_path.setdefault(each.path, {})[each.method] = each
    return [_route(path, methods, backend) for path, methods in by_path.items()]


def _route(path: str, by_method: Mapping[str, Endpoint], backend: Backend) -> Route:
    return Route(path, _Path(path, by_method, backend))


class _Path:
    """An ASGI application: all that can be done at one path."""

    def __init__(self, path: str, by_method: Mapping[str, Endpoint], backend: Backend) -> None:
        self._path = path
        self._by_method = by_method
        self._backend = backend
        methods = {*by_method, "OPTIONS"} | ({"HEAD"} if "GET" in by_method else set())
        self._allow = ", ".join(sorted(methods))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._answer(Request(scope, receive, send))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        head = request.method == "HEAD"
        found = self._by_method.get("GET" if head else request.method)
        if found is not None:
            response = await found.handler(self._backend, request)
            return Response(None, response.status_code, response.headers) if head else response
        if request.method == "OPTIONS":
            return Response(None, 204, {"Allow": self._allow})
        words = f"{self._path} takes {self._allow}, not {request.method}"
        raise HTTPException(405, words, {"Allow": self._allow})
