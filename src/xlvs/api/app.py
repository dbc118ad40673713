# SPDX-License-Identifier: Apache-2.0
"""The HTTP API: JSON in, JSON out. ``ENDPOINTS`` is all of it."""

from __future__ import annotations

from starlette.applications import Starlette

from xlvs.api.answers import ON_ERROR
from xlvs.api.backend import Backend
from xlvs.api.endpoint import routes
from xlvs.api.openapi import description
from xlvs.api.resources import (
    configuration,
    connections,
    counters,
    destinations,
    drains,
    edits,
    events,
    explanation,
    following,
    lists,
    local_ports,
    marks,
    metrics,
    pools,
    services,
    settings,
    status,
    sync,
    timeouts,
)

BODY_MAX = 64 << 20
"""Bytes of a request: twice what 100,000 real servers take as edits."""

ENDPOINTS = (
    *services.ENDPOINTS,
    *destinations.ENDPOINTS,
    *drains.ENDPOINTS,
    *timeouts.ENDPOINTS,
    *settings.ENDPOINTS,
    *sync.ENDPOINTS,
    *marks.ENDPOINTS,
    *pools.ENDPOINTS,
    *lists.ENDPOINTS,
    *configuration.ENDPOINTS,
    *edits.ENDPOINTS,
    *connections.ENDPOINTS,
    *counters.ENDPOINTS,
    *following.ENDPOINTS,
    *local_ports.ENDPOINTS,
    *metrics.ENDPOINTS,
    *status.ENDPOINTS,
    *events.ENDPOINTS,
    *explanation.ENDPOINTS,
)


def application(backend: Backend) -> Starlette:
    """The API of one director."""
    found = Starlette(
        routes=routes((*ENDPOINTS, description(ENDPOINTS)), backend),
        exception_handlers=ON_ERROR,
        max_body_size=BODY_MAX,
    )
    found.router.redirect_slashes = False
    return found
