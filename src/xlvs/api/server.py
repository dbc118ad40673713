# SPDX-License-Identifier: Apache-2.0
"""Serve the API: on a Unix socket, and on TCP if that is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from xlvs.api.connection import HttpConnection, LocalConnection
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address
from xlvs.model.words import host_port

log = logging.getLogger(__name__)

MODE = 0o660

CONNECTIONS_MAX = 256
"""At once, to each socket; who comes then is told 503."""

HANDSHAKES_MAX = 64
"""Connections at once that have not come to an agreement about TLS; others wait."""

HANDSHAKE_SECONDS = 10.0

_AGAIN = 1.0  # seconds
_HEAD_MAX = 64 << 10
_KEPT_ALIVE = 5  # seconds
_BACKLOG = 64


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the daemon decides when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


class TlsServer(Server):
    """The same with TLS. asyncio's own servers let any number shake hands, a minute each."""

    def __init__(self, config: uvicorn.Config, tls: ssl.SSLContext) -> None:
        super().__init__(config)
        self._tls = tls
        self._accepting: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        await super().startup(sockets=[])
        self._accepting = [asyncio.create_task(self._accept(each)) for each in sockets or []]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nobody any more, and let go of who is there."""
        for each in self._accepting:
            each.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        await super().shutdown(sockets)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        greeted: set[asyncio.Task[None]] = set()
        while True:
            if len(greeted) >= HANDSHAKES_MAX:
                await asyncio.wait(greeted, return_when=asyncio.FIRST_COMPLETED)
            try:
                channel, _ = await loop.sock_accept(listening)
            except OSError as error:  # no more files: others may be closed meanwhile
                log.warning("the API cannot accept a connection: %s", error)
                await asyncio.sleep(_AGAIN)
                continue
            task = asyncio.create_task(self._greet(channel))
            greeted.add(task)
            task.add_done_callback(greeted.discard)

    async def _greet(self, channel: socket.socket) -> None:
        with contextlib.suppress(OSError):  # who fails at TLS is gone
            await asyncio.get_running_loop().connect_accepted_socket(
                self._connection, channel, ssl=self._tls, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )

    def _connection(self) -> HttpConnection:
        return HttpConnection(self.config, self.server_state, self.lifespan.state)


def server(app: ASGIApp) -> Server:
    """A server for ``serve(sockets=[...])`` of a Unix socket; end it by ``should_exit``."""
    return Server(_config(app, LocalConnection))


def tcp_server(app: ASGIApp, tls: ssl.SSLContext | None) -> Server:
    """The same on TCP; ``app`` has to find out who asks."""
    config = _config(app, HttpConnection)
    return Server(config) if tls is None else TlsServer(config, tls)


def _config(app: ASGIApp, kind: type[HttpConnection]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=kind,
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        limit_concurrency=CONNECTIONS_MAX,
        h11_max_incomplete_event_size=_HEAD_MAX,
        timeout_keep_alive=_KEPT_ALIVE,
        timeout_graceful_shutdown=2,
    )


def listen(path: Path, group: str | None = None) -> socket.socket:
    """The listening socket. What a killed daemon left there is replaced. Raises Problem.

    ``group``: whose members may use it beside root.
    """
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
    if group is not None:
        try:
            _give(path, group)
        except Problem:
            channel.close()
            path.unlink()
            raise
    channel.listen(_BACKLOG)
    channel.setblocking(False)
    return channel


def _give(path: Path, group: str) -> None:
    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except KeyError:
        raise Problem(Code.INVALID, f"there is no group {group}") from None
    except OSError as error:
        words = f"{path} cannot be given to the group {group}: {error.strerror}"
        raise Problem(Code.INVALID, words) from error


def listen_tcp(address: Address, port: int, what: str = "the API") -> socket.socket:
    """The listening socket; ``what`` is said if it cannot be. Raises Problem."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET  # noqa: PLR2004
    channel = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        channel.bind((str(address), port))
    except OSError as error:
        channel.close()
        where = host_port(address, port)
        raise Problem(Code.INVALID, f"{what} cannot listen on {where}: {error.strerror}") from error
    channel.listen(_BACKLOG)
    channel.setblocking(False)
    return channel


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    """TLS of version 1.2 at least. Raises Problem.

    To ``load`` files that have changed, into the same context, is enough for connections
    that come then.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load(context, certificate, key)
    return context


def load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Read the certificate, with those that vouch for it behind it, and its key. Raises Problem."""
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        words = f"the certificate {certificate} with the key {key}: {error}"
        raise Problem(Code.INVALID, words) from error


def _no_password() -> str:
    raise ValueError("a key with a password cannot be used")
