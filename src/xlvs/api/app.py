# SPDX-License-Identifier: Apache-2.0
"""The HTTP API: JSON in, JSON out. ``ENDPOINTS`` is all of it."""

from __future__ import annotations

from starlette.applications import Starlette

from xlvs.api.answers import ON_ERROR
from xlvs.api.backend import Backend
from xlvs.api.endpoint import routes
from xlvs.api.resources import (
    configuration,
    connections,
    drains,
    edits,
    explanation,
    marks,
    services,
    settings,
    status,
    timeouts,
)

ENDPOINTS = (
    *edits.ENDPOINTS,
    *services.ENDPOINTS,
    *connections.ENDPOINTS,
    *timeouts.ENDPOINTS,
    *marks.ENDPOINTS,
    *drains.ENDPOINTS,
    *settings.ENDPOINTS,
    *status.ENDPOINTS,
    *explanation.ENDPOINTS,
    *configuration.ENDPOINTS,
)


def application(backend: Backend) -> Starlette:
    """The API of one director."""
    return Starlette(routes=routes(ENDPOINTS, backend), exception_handlers=ON_ERROR)
