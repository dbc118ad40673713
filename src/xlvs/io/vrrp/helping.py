# SPDX-License-Identifier: Apache-2.0
"""The VRRP process's end of its helper: starts it, feeds it, starts it again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
from collections.abc import Callable

import msgspec

from xlvs.io.vrrp.helper import Order, Result, Watchlist

_RECEIVE = 1 << 16
_PENDING_MAX = 1 << 22
_AGAIN = 1.0

log = logging.getLogger(__name__)


class Helping:
    """``on_result`` gets what the helper believes of tracked things."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_result: Callable[[Result], None]
    ) -> None:
        self._loop = loop
        self._on_result = on_result
        self._socket: socket.socket | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._out = bytearray()
        self._in = bytearray()
        self._watchlist = Watchlist()
        self._closing = False

    def watch(self, wanted: Watchlist) -> None:
        """Track these from now on."""
        if wanted == self._watchlist and self._socket is not None:
            return
        self._watchlist = wanted
        if self._socket is None and not (wanted.scripts or wanted.files or wanted.processes):
            return  # nothing to do yet
        self.order(wanted)

    def order(self, order: Order) -> None:
        """Have something done; nothing is waited for."""
        if self._closing:
            return
        if self._socket is None:
            self._start()
            if not isinstance(order, Watchlist):
                self._put(self._watchlist)
        self._put(order)

    def close(self, patience: float = 1.0) -> None:
        """Let it finish what it was told, and end it."""
        self._closing = True
        if self._socket is None or self._child is None:
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.setblocking(True)
        self._socket.settimeout(patience)
        with contextlib.suppress(OSError):
            self._socket.sendall(self._out)
            self._socket.shutdown(socket.SHUT_WR)
        # A slow script does not keep us: it ends by itself when it has told everything.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(patience)
        self._socket.close()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        fd = theirs.fileno()
        self._child = subprocess.Popen(  # noqa: S603  # this same Python, our own module
            [sys.executable, "-m", "xlvs.io.vrrp.helper", str(fd)], pass_fds=(fd,)
        )
        theirs.close()
        ours.setblocking(False)
        self._socket = ours
        self._out.clear()
        self._in.clear()
        self._loop.add_reader(ours, self._read)

    def _put(self, order: Order) -> None:
        if len(self._out) > _PENDING_MAX:
            log.warning("the helper does not read: an order is lost")
            return
        self._out += msgspec.json.encode(order) + b"\n"
        self._write()

    def _write(self) -> None:
        if self._socket is None:
            return
        with contextlib.suppress(BlockingIOError):
            try:
                del self._out[: self._socket.send(self._out)]
            except BlockingIOError:
                pass
            except OSError:
                return  # its end is noticed by reading
        if self._out:
            self._loop.add_writer(self._socket, self._write)
        else:
            self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(_RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost(self._socket)
            return
        self._in += data
        while (end := self._in.find(b"\n")) >= 0:
            line = bytes(self._in[:end])
            del self._in[: end + 1]
            self._on_result(msgspec.json.decode(line, type=Result))

    def _lost(self, dead: socket.socket) -> None:
        self._loop.remove_reader(dead)
        self._loop.remove_writer(dead)
        dead.close()
        self._socket = None
        if self._child is not None:
            self._child.poll()
        if not self._closing:
            log.warning("the helper has ended: a new one is started")
            self._loop.call_later(_AGAIN, self.order, self._watchlist)
