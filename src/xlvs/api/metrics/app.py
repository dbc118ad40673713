# SPDX-License-Identifier: Apache-2.0
"""``GET /metrics``, and an application of its own for it: nothing else can be asked of that one."""

from __future__ import annotations

from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from xlvs.api.metrics.exposition import pieces
from xlvs.api.metrics.scrape import Scraper

PATH = "/metrics"

_COMPRESSION = 1
"""Of 9: ten times smaller already, and the fastest."""


def response(scraper: Scraper, request: Request) -> Response:
    """In the format that is asked for: Prometheus's text or OpenMetrics."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    text = pieces(scraper.metrics(), encode, content_type)
    return StreamingResponse(text, headers={"content-type": content_type})


def application(scraper: Scraper) -> Starlette:
    """For a listener that Prometheus reaches."""

    async def metrics(request: Request) -> Response:
        return response(scraper, request)

    return Starlette(
        routes=[Route(PATH, metrics)],
        middleware=[Middleware(GZipMiddleware, compresslevel=_COMPRESSION)],
    )
