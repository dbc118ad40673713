# SPDX-License-Identifier: Apache-2.0
"""TCP connections by the thousand: one epoll of its own, one timer, few objects per probe.

asyncio's streams cost ten times what a connection attempt does.
"""

from __future__ import annotations

import asyncio
import errno
import select
import socket

from xlvs.io.checkers import sockets
from xlvs.io.checkers.deadlines import Deadlines
from xlvs.io.checkers.target import Origin
from xlvs.model.service import Address

_BATCH = 512

LATE = -1
"""Instead of an errno: the deadline came first."""


class _Attempt:
    __slots__ = ("fd", "future", "keep", "sock", "tick")

    def __init__(self, sock: socket.socket, future: asyncio.Future[int], *, keep: bool) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.future = future
        self.keep = keep
        self.tick = 0


class Connector:
    """Made in a running loop; ``close`` it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._attempts: dict[int, _Attempt] = {}
        self._deadlines: Deadlines[_Attempt] = Deadlines(self._late)
        self._loop.add_reader(self._epoll.fileno(), self._ready)

    def close(self) -> None:
        """End all attempts; who waits for one is cancelled."""
        self._loop.remove_reader(self._epoll.fileno())
        self._deadlines.close()
        for attempt in list(self._attempts.values()):
            self._forget(attempt)
            attempt.sock.close()
            attempt.future.cancel()
        self._epoll.close()

    async def probe(self, address: Address, port: int, origin: Origin, deadline: float) -> int:
        """Connect and reset. 0, an errno, or LATE. Raises OSError, Ours."""
        sock = sockets.stream(address, origin)
        try:
            sockets.abort_on_close(sock)
            sockets.hold_back_ack(sock)
            return await self._connected(sock, address, port, origin, deadline, keep=False)
        finally:
            sock.close()

    async def connect(
        self, address: Address, port: int, origin: Origin, deadline: float
    ) -> socket.socket:
        """A connected socket. Raises OSError (TimeoutError: the deadline), Ours."""
        sock = sockets.stream(address, origin)
        try:
            result = await self._connected(sock, address, port, origin, deadline, keep=True)
        except BaseException:
            sock.close()
            raise
        if result == 0:
            return sock
        sock.close()
        if result == LATE:
            raise TimeoutError
        raise OSError(result, sockets.words(result))

    async def _connected(
        self,
        sock: socket.socket,
        address: Address,
        port: int,
        origin: Origin,
        deadline: float,
        *,
        keep: bool,
    ) -> int:
        result = sock.connect_ex(sockets.sockaddr(address, port, origin.interface))
        if result != errno.EINPROGRESS:
            return result
        attempt = _Attempt(sock, self._loop.create_future(), keep=keep)
        self._attempts[attempt.fd] = attempt
        self._epoll.register(attempt.fd, select.EPOLLOUT)
        attempt.tick = self._deadlines.add(attempt, deadline)
        try:
            return await attempt.future
        except asyncio.CancelledError:
            if attempt.fd in self._attempts:
                self._forget(attempt)
            raise

    def _ready(self) -> None:
        attempts = self._attempts
        for fd, _ in self._epoll.poll(0, _BATCH):
            attempt = attempts.pop(fd, None)
            if attempt is None:
                continue
            result = attempt.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._deadlines.done(attempt, attempt.tick)
            if attempt.keep:
                self._epoll.unregister(fd)
            else:
                attempt.sock.close()  # at once: the delayed ACK is not sent then
            if not attempt.future.done():
                attempt.future.set_result(result)

    def _late(self, attempt: _Attempt) -> None:
        if attempt.fd in self._attempts:
            self._forget(attempt)
            if not attempt.future.done():
                attempt.future.set_result(LATE)

    def _forget(self, attempt: _Attempt) -> None:
        del self._attempts[attempt.fd]
        self._deadlines.done(attempt, attempt.tick)
        self._epoll.unregister(attempt.fd)
