# SPDX-License-Identifier: Apache-2.0
"""Pools of local addresses."""

from __future__ import annotations

from itertools import chain

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.api.preconditions import tagged
from xlvs.api.writing import write
from xlvs.engine import replacing
from xlvs.model.desired import Desired
from xlvs.wire import codec
from xlvs.wire.messages import LocalPools

PATH = "/v1/pools"


def configured(desired: Desired) -> LocalPools:
    """All pools."""
    return LocalPools(pools=dict(desired.pools))


async def pools(backend: Backend, request: Request) -> Response:
    """Pools of local addresses for FULLNAT, by name."""
    return tagged(request, configured(backend.director.desired))


async def put(backend: Backend, request: Request) -> Response:
    """Replace all pools; connections keep the local addresses that they have."""
    wanted = codec.decode(await request.body(), LocalPools).pools
    return await write(
        backend,
        request,
        configured,
        lambda desired: chain(
            replacing.set_pools(desired, wanted, "/pools"),
            replacing.unset_pools(desired, wanted, "/pools"),
        ),
    )


ENDPOINTS = (
    Endpoint("GET", PATH, pools, answer=LocalPools, tagged=True),
    Endpoint("PUT", PATH, put, answer=LocalPools, body=LocalPools),
)
