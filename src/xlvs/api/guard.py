# SPDX-License-Identifier: Apache-2.0
"""Before the API where it listens on TCP: who may come in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from xlvs.api.answers import json
from xlvs.api.caller import STATE, Caller
from xlvs.api.tokens import Token, known
from xlvs.io import clock
from xlvs.model.problem import Code
from xlvs.wire.messages import ErrorBody

LOG_PERIOD = 10.0
"""Seconds between two lines about tokens that are not known."""

_SCHEME = "bearer"

log = logging.getLogger(__name__)


class Guard:
    """An ASGI application around another one: lets known tokens in.

    ``local``: it listens on the loopback interface without TLS. Then the name that the client
    has asked for must be this machine's own: else a page of some site, whose name suddenly
    means 127.0.0.1, could read answers with a browser.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: Sequence[Token],
        *,
        local: bool,
        now: Callable[[], float] = clock.monotonic,
    ) -> None:
        self.tokens = tokens
        """May be replaced at any time."""
        self.refused = 0
        """Requests without a token that is known."""
        self._app = app
        self._local = local
        self._now = now
        self._told = 0
        self._told_at = -LOG_PERIOD

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is allowed."""
        headers = Headers(scope=scope)
        if self._local and not _is_own(headers.get("host", "")):
            words = "this is not the server of that name: ask for localhost or its address"
            await _refusal(421, words)(scope, receive, send)
            return
        who = self._who(headers.get("authorization", ""))
        if who is None:
            self._refuse(scope)
            words = "this needs a token: Authorization: Bearer TOKEN"
            await _refusal(401, words)(scope, receive, send)
            return
        state = {**scope.get("state", {}), STATE: who}
        await self._app({**scope, "state": state}, receive, send)

    def _who(self, said: str) -> Caller | None:
        scheme, _, token = said.partition(" ")
        return known(self.tokens, token.strip()) if scheme.lower() == _SCHEME else None

    def _refuse(self, scope: Scope) -> None:
        self.refused += 1
        now = self._now()
        if now - self._told_at >= LOG_PERIOD:
            client = scope.get("client")
            log.warning(
                "%d requests without a token that is known, the last from %s",
                self.refused - self._told,
                client[0] if client else "somewhere",
            )
            self._told, self._told_at = self.refused, now


def _is_own(host: str) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def _refusal(status: int, words: str) -> Response:
    # The body that may come is not read: the connection ends.
    headers = {"Connection": "close"}
    if status == 401:  # noqa: PLR2004 - HTTP's own number
        headers["WWW-Authenticate"] = 'Bearer realm="xlvs"'
    return json(ErrorBody(code=Code.FORBIDDEN.value, message=words), status, headers)
