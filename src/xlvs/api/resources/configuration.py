# SPDX-License-Identifier: Apache-2.0
"""Whole configurations: all that is asked for, and what a keepalived.conf says."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api import answers
from xlvs.api.backend import Backend
from xlvs.api.caller import Scope, caller
from xlvs.api.endpoint import Endpoint
from xlvs.api.preconditions import tagged
from xlvs.api.resources import services, timeouts
from xlvs.api.writing import write
from xlvs.engine import replacing
from xlvs.model.client_list import texts
from xlvs.model.desired import Desired
from xlvs.wire import codec
from xlvs.wire.planning import ApplyRequest, Plan, PlanRequest
from xlvs.wire.resources import RunningConfiguration

PATH = "/v1/configuration"


def configured(desired: Desired) -> RunningConfiguration:
    """All that is asked for."""
    found = (services.configured(desired, key) for key in desired.services)
    return RunningConfiguration(
        services=tuple(each for each in found if each is not None),
        timeouts=timeouts.configured(desired),
        marks=desired.marks,
        settings=replacing.asked_settings(desired),
        pools=dict(desired.pools),
        lists={name: tuple(texts(each)) for name, each in desired.lists.items()},
    )


async def configuration(backend: Backend, request: Request) -> Response:
    """All that is asked for of this director."""
    return tagged(request, configured(backend.director.desired))


async def put(backend: Backend, request: Request) -> Response:
    """Make the director what the body says: what it does not name goes. All or nothing."""
    wanted = codec.decode(await request.body(), RunningConfiguration)
    return await write(
        backend, request, configured, lambda desired: replacing.configuration(desired, wanted)
    )


async def plan(backend: Backend, request: Request) -> Response:
    """What a configuration file would change; nothing is changed."""
    wanted = codec.decode(await request.body(), PlanRequest)
    return answers.json(Plan(changes=backend.plan(wanted.configuration)))


async def apply(backend: Backend, request: Request) -> Response:
    """Make what a configuration file says so; what has changed. All or nothing."""
    wanted = codec.decode(await request.body(), ApplyRequest)
    return answers.json(Plan(changes=await backend.apply(wanted, caller(request).name)))


ENDPOINTS = (
    Endpoint("GET", PATH, configuration, answer=RunningConfiguration, tagged=True),
    Endpoint("PUT", PATH, put, answer=RunningConfiguration, body=RunningConfiguration),
    Endpoint("POST", "/v1/plan", plan, answer=Plan, body=PlanRequest, scope=Scope.READ),
    # A file names programs, which run as root.
    Endpoint("POST", "/v1/apply", apply, answer=Plan, body=ApplyRequest, scope=Scope.ROOT),
)
