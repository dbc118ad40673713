# SPDX-License-Identifier: Apache-2.0
"""The HTTP API: JSON in, JSON out; see ``xlvs.wire.messages``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from xlvs.api import views
from xlvs.api.views import Facts
from xlvs.io.director import Director
from xlvs.model.configuration import Configuration
from xlvs.model.edit import AnyEdit
from xlvs.model.problem import Code, Problem
from xlvs.wire import codec
from xlvs.wire.explanation import ExplainRequest, Explanation
from xlvs.wire.messages import EditRequest, EditResponse, ErrorBody, MarkList
from xlvs.wire.planning import Plan, PlanRequest

log = logging.getLogger(__name__)

Prepare = Callable[[Sequence[AnyEdit]], Awaitable[None]]
"""Awaited before edits: learns what they need to know of the surroundings."""

Settle = Callable[[Sequence[AnyEdit]], Awaitable[None]]
"""Awaited after edits: next hops that they need are looked for."""

Explain = Callable[[ExplainRequest], Awaitable[Explanation]]
"""Awaited for what would happen to a packet."""

_REFUSED = 422
_FAILED = 500
_STATUS = {Code.INTERNAL: _FAILED}


class Api:
    """The endpoints of one director."""

    def __init__(
        self,
        director: Director,
        facts: Callable[[], Facts],
        prepare: Prepare,
        settle: Settle,
        *,
        explain: Explain,
        plan: Callable[[Configuration], list[str]],
    ) -> None:
        self._director = director
        self._facts = facts
        self._prepare = prepare
        self._settle = settle
        self._explain = explain
        self._plan = plan
        self.app = Starlette(
            routes=[
                Route("/v1/edits", self.edits, methods=["POST"]),
                Route("/v1/services", self.services),
                Route("/v1/connections", self.connections),
                Route("/v1/timeouts", self.timeouts),
                Route("/v1/marks", self.marks),
                Route("/v1/drains", self.drains),
                Route("/v1/settings", self.settings),
                Route("/v1/status", self.status),
                Route("/v1/explain", self.explain, methods=["POST"]),
                Route("/v1/plan", self.plan, methods=["POST"]),
            ],
            exception_handlers={
                Problem: _problem,
                msgspec.ValidationError: _malformed,
                msgspec.DecodeError: _malformed,
                HTTPException: _http,
                Exception: _unexpected,
            },
        )

    async def edits(self, request: Request) -> Response:
        """Apply edits; the maps are written when the answer leaves."""
        wanted = codec.decode(await request.body(), EditRequest)
        await self._prepare(wanted.edits)
        results = self._director.edit(wanted.edits, go_on=wanted.on_error == "continue")
        await self._settle(wanted.edits)
        return _json(EditResponse(results=[_body(each) if each else None for each in results]))

    async def services(self, _request: Request) -> Response:
        """Services, destinations, counters."""
        return _json(views.service_list(self._director))

    async def timeouts(self, _request: Request) -> Response:
        """Timeouts in effect."""
        return _json(self._director.desired.timeouts)

    async def marks(self, _request: Request) -> Response:
        """Mark rules."""
        return _json(MarkList(rules=list(self._director.desired.marks)))

    async def drains(self, _request: Request) -> Response:
        """Destinations that are being drained."""
        return _json(views.drain_list(self._director))

    async def settings(self, _request: Request) -> Response:
        """Every setting."""
        return _json(views.setting_list(self._director))

    async def status(self, _request: Request) -> Response:
        """Everything at once."""
        return _json(views.status(self._director, self._facts()))

    async def explain(self, request: Request) -> Response:
        """What would happen to a packet; nothing is changed."""
        wanted = codec.decode(await request.body(), ExplainRequest)
        return _json(await self._explain(wanted))

    async def plan(self, request: Request) -> Response:
        """What a configuration would change; nothing is changed."""
        wanted = codec.decode(await request.body(), PlanRequest)
        return _json(Plan(changes=self._plan(wanted.configuration)))

    async def connections(self, _request: Request) -> Response:
        """The connection table, one line each."""
        chunks = self._director.port.connections()

        async def lines() -> AsyncIterator[bytes]:
            for chunk in chunks:
                if chunk:
                    yield chunk
                # Others have their turn between: ten million connections take a while.
                await asyncio.sleep(0)

        return StreamingResponse(lines(), media_type="application/x-ndjson")


def _json(value: object, status: int = 200) -> Response:
    return Response(codec.encode(value), status, media_type="application/json")


def _body(problem: Problem) -> ErrorBody:
    return ErrorBody(code=problem.code.value, message=problem.message, where=problem.where)


async def _problem(_request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):  # registered for nothing else
        raise error
    status = _STATUS.get(error.code, _REFUSED)
    if status == _FAILED:
        log.error("%s", error.message)
    return _json(_body(error), status)


async def _malformed(_request: Request, error: Exception) -> Response:
    return _json(ErrorBody(code=Code.INVALID.value, message=str(error)), 400)


async def _http(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):  # registered for nothing else
        raise error
    return _json(ErrorBody(code=Code.INVALID.value, message=error.detail), error.status_code)


async def _unexpected(_request: Request, error: Exception) -> Response:
    log.error("a request failed unexpectedly: %r", error)
    message = "xlvsd failed on this request; its log says more"
    return _json(ErrorBody(code=Code.INTERNAL.value, message=message), _FAILED)
