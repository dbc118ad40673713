# SPDX-License-Identifier: Apache-2.0
"""Settings: net.ipv4.vs.* and net.xlvs.*."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from xlvs.api import answers, views
from xlvs.api.backend import Backend
from xlvs.api.endpoint import Endpoint
from xlvs.wire.messages import SettingList


async def settings(backend: Backend, _request: Request) -> Response:
    """Every setting."""
    return answers.json(views.setting_list(backend.director))


ENDPOINTS = (Endpoint("GET", "/v1/settings", settings, answer=SettingList),)
