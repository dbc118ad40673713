# SPDX-License-Identifier: Apache-2.0
"""Where the API of a daemon listens, from its start to its end."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from pathlib import Path

from starlette.types import ASGIApp

from xlvs.api import server, tokens
from xlvs.api.guard import Guard
from xlvs.io.tasks import Tasks
from xlvs.model.listening import Tcp
from xlvs.model.problem import Problem
from xlvs.model.service import Address
from xlvs.model.words import host_port

log = logging.getLogger("xlvs")


class Listening:
    """The Unix socket, TCP if it is wanted, and another place for metrics alone."""

    def __init__(
        self,
        path: Path,
        group: str | None,
        tcp: Tcp | None,
        metrics: tuple[Address, int] | None = None,
    ) -> None:
        self._path = path
        self._group = group
        self._tcp = tcp
        self._metrics = metrics
        self._tls: ssl.SSLContext | None = None
        self._guard: Guard | None = None
        self._serving: list[tuple[server.Server, asyncio.Task[None]]] = []

    def refused_tokens(self) -> int:
        """Requests over TCP without a token that is known."""
        return 0 if self._guard is None else self._guard.refused

    def start(self, app: ASGIApp, tasks: Tasks, metrics: ASGIApp | None = None) -> None:
        """Begin. Raises Problem, and then nothing listens."""
        channels: list[tuple[str, server.Server, socket.socket]] = []
        if self._metrics is not None and metrics is not None:
            serving = server.tcp_server(metrics, None)
            channels.append(("metrics", serving, server.listen_tcp(*self._metrics, "metrics")))
        tcp = self._tcp
        if tcp is not None:
            if tcp.certificate:
                self._tls = server.tls_context(tcp.certificate, tcp.key)
            self._guard = Guard(app, tokens.read(tcp.token_file), local=self._tls is None)
            serving = server.tcp_server(self._guard, self._tls)
            channel = server.listen_tcp(tcp.address, tcp.port)
            channels.append(("api: tcp", serving, channel))
            scheme = "http" if self._tls is None else "https"
            log.info("the API listens on %s://%s", scheme, host_port(tcp.address, tcp.port))
        channel = server.listen(self._path, self._group)
        channels.append(("api", server.server(app), channel))
        for name, each, channel in channels:
            self._serving.append((each, tasks.start(name, each.serve(sockets=[channel]))))

    def reload(self) -> None:
        """Read tokens and certificate again; those that are refused leave what there was."""
        tcp = self._tcp
        if tcp is None or self._guard is None:
            return
        try:
            self._guard.tokens = tokens.read(tcp.token_file)
            if self._tls is not None:
                server.load(self._tls, tcp.certificate, tcp.key)
        except Problem as problem:
            log.error("%s", problem.message)  # noqa: TRY400 - a sentence, no traceback

    async def stop(self) -> None:
        """Let go of who is connected."""
        self._path.unlink(missing_ok=True)
        for each, _ in self._serving:
            each.should_exit = True
        if self._serving:
            await asyncio.wait([task for _, task in self._serving])
