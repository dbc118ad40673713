# SPDX-License-Identifier: Apache-2.0
"""Settings: net.ipv4.vs.* and net.xlvs.*."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api import answers, views
from xlvs.api.backend import Backend
from xlvs.api.endpoint import MERGE_PATCH, Endpoint
from xlvs.api.preconditions import entity_tag
from xlvs.api.writing import write
from xlvs.engine import replacing
from xlvs.wire import codec
from xlvs.wire.messages import SettingList

PATH = "/v1/settings"


async def settings(backend: Backend, _request: Request) -> Response:
    """Every setting. The token is of those that were asked for."""
    director = backend.director
    tag = entity_tag(replacing.asked_settings(director.desired))
    return answers.json(views.setting_list(director), headers={"ETag": tag})


async def patch(backend: Backend, request: Request) -> Response:
    """Change some settings; null gives up what was asked for. What is asked for then."""
    changes = codec.decode(await request.body(), dict[str, str | None])
    return await write(
        backend,
        request,
        replacing.asked_settings,
        lambda desired: replacing.changed_settings(desired, changes),
    )


ENDPOINTS = (
    Endpoint("GET", PATH, settings, answer=SettingList, tagged=True),
    Endpoint(
        "PATCH",
        PATH,
        patch,
        answer=dict[str, str],
        body=dict[str, str | None],
        accepts=MERGE_PATCH,
    ),
)
