# SPDX-License-Identifier: Apache-2.0
"""Whole configurations."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api import answers
from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.wire import codec
from xlvs.wire.planning import Plan, PlanRequest


async def plan(backend: Backend, request: Request) -> Response:
    """What a configuration would change; nothing is changed."""
    wanted = codec.decode(await request.body(), PlanRequest)
    return answers.json(Plan(changes=backend.plan(wanted.configuration)))


ENDPOINTS = (Endpoint("POST", "/v1/plan", plan, answer=Plan, body=PlanRequest),)
