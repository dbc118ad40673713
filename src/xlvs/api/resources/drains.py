# SPDX-License-Identifier: Apache-2.0
"""Destinations that are being drained."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api import answers, views
from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.wire.messages import DrainList


async def drains(backend: Backend, _request: Request) -> Response:
    """Destinations that are being drained, in the order in which that began."""
    return answers.json(views.drain_list(backend.director))


ENDPOINTS = (Endpoint("GET", "/v1/drains", drains, answer=DrainList),)
