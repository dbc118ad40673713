# SPDX-License-Identifier: Apache-2.0
"""One HTTP connection: whose it is, and how long a request may take to come in."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import struct
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from xlvs.api.caller import STATE, Caller, Scope

REQUEST_SECONDS = 30.0
"""From a request's first byte, or the connection's beginning, to the request's end."""

_CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_RECEIVING = frozenset((h11.IDLE, h11.SEND_BODY))


class HttpConnection(H11Protocol):
    """Ends a connection whose request does not come in."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody connects; nothing is heard yet."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._relax()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A piece of a request."""
        super().data_received(data)
        if self.conn.their_state in _RECEIVING:
            self._expect()
        else:
            self._relax()

    def _expect(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _relax(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class LocalConnection(HttpConnection):
    """By the Unix socket: the kernel says who it is.

    Its mode says who may connect; only root, and whoever runs the daemon, may do all.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody connects."""
        super().connection_made(transport)
        self.app_state: dict[str, Any] = {**self.app_state, STATE: _peer(transport)}


def _peer(transport: asyncio.Transport) -> Caller:
    channel = transport.get_extra_info("socket")
    said = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(said)
    is_root = uid in {0, os.geteuid()}
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    return Caller(f"{name} (pid {pid})", Scope.ROOT if is_root else Scope.WRITE)
