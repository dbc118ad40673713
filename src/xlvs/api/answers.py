# SPDX-License-Identifier: Apache-2.0
"""Answers in JSON, refusals and failures among them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from xlvs.model.problem import Code, Problem
from xlvs.wire import codec
from xlvs.wire.messages import ErrorBody

log = logging.getLogger(__name__)

JSON = "application/json"
LINES = "application/x-ndjson"

_REFUSED = 422
_FAILED = 500
_MISSING = 404
_STATUS = {Code.INTERNAL: _FAILED, Code.OUTDATED: 412}
_CODES = {401: Code.FORBIDDEN, 403: Code.FORBIDDEN, 413: Code.NO_SPACE}
_NO_SUCH = frozenset((Code.NO_SUCH_SERVICE, Code.NO_SUCH_DESTINATION, Code.NO_SUCH_LIST))


def json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with this value."""
    return Response(codec.encode(value), status, headers, media_type=JSON)


def body(problem: Problem) -> ErrorBody:
    """What is told of a problem."""
    return ErrorBody(code=problem.code.value, message=problem.message, where=problem.where)


async def _problem(_request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):  # registered for nothing else
        raise error
    status = _STATUS.get(error.code, _REFUSED)
    if error.code in _NO_SUCH and not error.where:
        status = _MISSING  # it is the path that names it
    if status == _FAILED:
        log.error("%s", error.message)
    return json(body(error), status)


async def _malformed(_request: Request, error: Exception) -> Response:
    return json(ErrorBody(code=Code.INVALID.value, message=str(error)), 400)


async def _http(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):  # registered for nothing else
        raise error
    code = _CODES.get(error.status_code, Code.INVALID)
    refusal = ErrorBody(code=code.value, message=error.detail)
    return json(refusal, error.status_code, error.headers)


async def _broken_off(_request: Request, _error: Exception) -> Response:
    """Whoever asked has gone in the middle of it, and reads nothing."""
    return Response(None, 400)


async def _unexpected(_request: Request, error: Exception) -> Response:
    log.error("a request failed unexpectedly: %r", error)
    message = "xlvsd failed on this request; its log says more"
    return json(ErrorBody(code=Code.INTERNAL.value, message=message), _FAILED)


ON_ERROR: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    Problem: _problem,
    msgspec.ValidationError: _malformed,
    msgspec.DecodeError: _malformed,
    HTTPException: _http,
    ClientDisconnect: _broken_off,
    Exception: _unexpected,
}
"""What an endpoint may raise, and who answers then."""
