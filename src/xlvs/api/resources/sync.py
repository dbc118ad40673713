# SPDX-License-Identifier: Apache-2.0
"""Connection sync: how it goes, and the daemons of IPVS's protocol."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api import answers
from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.wire.messages import SyncDaemons
from xlvs.wire.resources import Sync


async def sync(backend: Backend, _request: Request) -> Response:
    """Connection sync and its peers; none if it is not asked for."""
    return answers.json(Sync(sync=backend.facts().sync))


async def daemons(backend: Backend, _request: Request) -> Response:
    """The daemons of IPVS's sync protocol that are asked for, a configuration file's too."""
    return answers.json(SyncDaemons(roles=dict(backend.sync_roles())))


ENDPOINTS = (
    Endpoint("GET", "/v1/sync", sync, answer=Sync),
    Endpoint("GET", "/v1/sync/daemons", daemons, answer=SyncDaemons),
)
