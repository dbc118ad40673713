# SPDX-License-Identifier: Apache-2.0
"""Counters of the director as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api import answers, views
from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.api.writing import write
from xlvs.engine.replacing import Step
from xlvs.model.desired import Desired
from xlvs.model.edit import Zero
from xlvs.wire.resources import Totals

PATH = "/v1/counters"


async def counters(backend: Backend, _request: Request) -> Response:
    """Totals and rates of all services together, and packets by what became of them."""
    return answers.json(views.totals(backend.director, backend.refused_tokens()))


async def zero(backend: Backend, request: Request) -> Response:
    """Let the counters of all services begin at zero again."""

    def steps(_: Desired) -> Iterator[Step]:
        yield Step(Zero())

    return await write(backend, request, lambda _: None, steps)


ENDPOINTS = (
    Endpoint("GET", PATH, counters, answer=Totals),
    Endpoint("DELETE", PATH, zero),
)
