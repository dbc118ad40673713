# SPDX-License-Identifier: Apache-2.0
"""For Prometheus."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.api.metrics import app

TEXT = "text/plain"
OPENMETRICS = "application/openmetrics-text"


async def metrics(backend: Backend, request: Request) -> Response:
    """All metrics, as Prometheus's text or as OpenMetrics."""
    return app.response(backend.scraper, request)


ENDPOINTS = (Endpoint("GET", app.PATH, metrics, media_type=TEXT, also=((OPENMETRICS, None),)),)
