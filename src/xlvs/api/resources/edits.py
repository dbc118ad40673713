# SPDX-License-Identifier: Apache-2.0
"""Changes as edits: many in one request."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api import answers
from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.api.preconditions import check_unchanged
from xlvs.api.resources import configuration
from xlvs.api.writing import edit
from xlvs.wire import codec
from xlvs.wire.messages import EditRequest, EditResponse


async def edits(backend: Backend, request: Request) -> Response:
    """Apply edits; the maps are written when the answer leaves.

    ``If-Match`` is of /v1/configuration.
    """
    wanted = codec.decode(await request.body(), EditRequest)
    await backend.prepare(wanted.edits)
    if "if-match" in request.headers:
        check_unchanged(request, configuration.configured(backend.director.desired))
    results = edit(backend, request, wanted.edits, go_on=wanted.on_error == "continue")
    await backend.settle(wanted.edits)
    bodies = [answers.body(each) if each else None for each in results]
    return answers.json(EditResponse(results=bodies))


ENDPOINTS = (
    Endpoint("POST", "/v1/edits", edits, answer=EditResponse, body=EditRequest, guarded=True),
)
