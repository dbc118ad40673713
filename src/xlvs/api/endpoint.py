# SPDX-License-Identifier: Apache-2.0
"""An endpoint as a row of a table: where it is, who answers, of which types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from xlvs.api.answers import JSON
from xlvs.api.backend import Backend
from xlvs.api.caller import Scope, check_scope
from xlvs.api.negotiation import check_accept, check_content

Handler = Callable[[Backend, Request], Awaitable[Response]]
"""Its docstring is the endpoint's description."""

MERGE_PATCH = ("application/merge-patch+json", JSON)
"""RFC 7396: what is in the body changes, null takes away."""

STREAM = "text/event-stream"
"""Server-sent events, each with an ``answer`` as its data."""

READING = frozenset(("GET", "HEAD", "OPTIONS"))
CHANGING = frozenset(("PUT", "PATCH", "DELETE"))


class Endpoint(NamedTuple):
    """One operation.

    ``answer`` is the type of what comes back, of one line or event where ``media_type`` is of
    many, and None where it is no JSON; ``also``: other media types that may come instead, each
    with its type; ``body`` the type of what is sent, of one of the types
    ``accepts``, without the fields ``implied`` by the path; ``query`` that of parameters.
    ``tagged``: the answer has an ETag. ``guarded``: If-Match is respected, as by all that is
    CHANGING. ``creates``: 201 if there was nothing. ``scope``: None: to read or to write, as the
    method says.
    """

    method: str
    path: str
    handler: Handler
    answer: Any = None
    body: Any = None
    query: Any = None
    media_type: str = JSON
    also: tuple[tuple[str, Any], ...] = ()
    accepts: tuple[str, ...] = (JSON,)
    implied: tuple[str, ...] = ()
    tagged: bool = False
    guarded: bool = False
    creates: bool = False
    scope: Scope | None = None

    @property
    def answers(self) -> tuple[tuple[str, Any], ...]:
        """Media types that may come, each with its type."""
        return ((self.media_type, self.answer), *self.also)

    @property
    def needs(self) -> Scope:
        """What the caller has to be allowed."""
        if self.scope is not None:
            return self.scope
        return Scope.READ if self.method in READING else Scope.WRITE

    async def respond(self, backend: Backend, request: Request) -> Response:
        """The answer. Raises what ``answers.ON_ERROR`` knows."""
        check_scope(request, self.needs)
        check_accept(request, [kind for kind, _ in self.answers])
        if self.body is not None:
            check_content(request, self.accepts)
        return await self.handler(backend, request)


def routes(endpoints: Iterable[Endpoint], backend: Backend) -> list[Route]:
    """One route for each path."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for each in endpoints:
        by_path.setdefault(each.path, {})[each.method] = each
    return [Route(path, _Path(methods, backend)) for path, methods in by_path.items()]


class _Path:
    """An ASGI application: all that can be done at one path."""

    def __init__(self, by_method: Mapping[str, Endpoint], backend: Backend) -> None:
        self._by_method = by_method
        self._backend = backend
        methods = {*by_method, "OPTIONS"} | ({"HEAD"} if "GET" in by_method else set())
        self._allow = ", ".join(sorted(methods))

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._answer(Request(scope, receive, send))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        head = request.method == "HEAD"
        found = self._by_method.get("GET" if head else request.method)
        if found is not None:
            response = await found.respond(self._backend, request)
            return Response(None, response.status_code, response.headers) if head else response
        check_scope(request, Scope.READ)
        if request.method == "OPTIONS":
            return Response(None, 204, {"Allow": self._allow})
        words = f"{request.url.path} takes {self._allow}, not {request.method}"
        raise HTTPException(405, words, {"Allow": self._allow})
