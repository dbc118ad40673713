# SPDX-License-Identifier: Apache-2.0
"""Serve the API on a Unix socket that only root may use."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from xlvs.model.problem import Code, Problem

MODE = 0o660


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the daemon decides when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def server(app: Starlette) -> Server:
    """A server for ``serve(sockets=[...])``; end it by ``should_exit``."""
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=2,
    )
    return Server(config)


def listen(path: Path) -> socket.socket:
    """The listening socket. What a killed daemon left there is replaced. Raises Problem."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Problem(Code.INVALID, f"{path} is not a socket: remove it", str(path))
        path.unlink()
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    # The mode before the name: nobody else may connect in between.
    before = os.umask(0o777 & ~MODE)
    try:
        channel.bind(str(path))
    finally:
        os.umask(before)
    channel.listen(64)
    channel.setblocking(False)
    return channel
