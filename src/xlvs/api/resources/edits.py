# SPDX-License-Identifier: Apache-2.0
"""Changes as edits: many in one request."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api import answers
from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.api.negotiation import content_type
from xlvs.api.preconditions import check_unchanged
from xlvs.api.resources import configuration
from xlvs.api.writing import edit
from xlvs.model.edit import AnyEdit
from xlvs.wire import codec
from xlvs.wire.messages import EditRequest, EditResponse


async def edits(backend: Backend, request: Request) -> Response:
    """Apply edits; the maps are written when the answer leaves.

    ``If-Match`` is of /v1/configuration. As NDJSON these are many requests, one in each line,
    which are made as one: ``abort`` of one of them is all's.
    """
    wanted: list[AnyEdit] = []
    go_on = True
    async for part in _parts(request):
        wanted += part.edits
        go_on = go_on and part.on_error == "continue"
    await backend.prepare(wanted)
    if "if-match" in request.headers:
        check_unchanged(request, configuration.configured(backend.director.desired))
    results = edit(backend, request, wanted, go_on=go_on)
    await backend.settle(wanted)
    bodies = [answers.body(each) if each else None for each in results]
    return answers.json(EditResponse(results=bodies))


async def _parts(request: Request) -> AsyncIterator[EditRequest]:
    """What was sent; of lines each as soon as it is there."""
    if content_type(request) != answers.LINES:
        yield codec.decode(await request.body(), EditRequest)
        return
    begun: list[bytes] = []
    async for piece in request.stream():
        *whole, rest = piece.split(b"\n")
        for end in whole:
            yield codec.decode(b"".join((*begun, end)), EditRequest)
            begun.clear()
        begun.append(rest)
    last = b"".join(begun)
    if last:
        yield codec.decode(last, EditRequest)


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/edits",
        edits,
        answer=EditResponse,
        body=EditRequest,
        accepts=(answers.JSON, answers.LINES),
        guarded=True,
    ),
)
