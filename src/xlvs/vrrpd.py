# SPDX-License-Identifier: Apache-2.0
"""The VRRP process: ``python -m xlvs.vrrpd --fd N``, started by the daemon, or standalone.

It sends adverts and does nothing else that takes time. By a socket it gets what is wanted
(``xlvs.io.vrrp.messages``) and tells what happens. When the daemon dies the socket ends,
and this process hands over: priority 0, addresses away, as keepalived's VRRP process does
when its parent dies. A director without a daemon still forwards, but nobody checks its
servers. ``outlive_parent`` chooses the other way.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from xlvs.io import logs
from xlvs.io.vrrp import messages as m
from xlvs.io.vrrp.service import Service
from xlvs.io.vrrp.worker import set_realtime

_RECEIVE = 1 << 18
_PENDING_MAX = 1 << 22
_LINE_MAX = 1 << 26
_STACK = 1 << 18
_MCL_CURRENT, _MCL_FUTURE = 1, 2

log = logging.getLogger("xlvs.vrrpd")


class Vrrpd:
    """The process: one service, and either a daemon or a file to take orders from."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._service = Service(loop, self._report)
        self._daemon: socket.socket | None = None
        self._in = bytearray()
        self._out = bytearray()
        self._outlive = False
        self.stopped = asyncio.Event()

    def start(self) -> None:
        """Look around. Raises OSError."""
        self._service.start()

    def attach(self, daemon: socket.socket) -> None:
        """Take orders from a daemon."""
        daemon.setblocking(False)
        self._daemon = daemon
        self._loop.add_reader(daemon, self._read)

    def configure(self, wanted: m.Network) -> None:
        """Take this for what is wanted."""
        prepare(wanted)
        self._outlive = wanted.outlive_parent
        self._service.handle(wanted)

    def stop(self) -> None:
        """Hand over and end."""
        if not self.stopped.is_set():
            self.stopped.set()
            self._service.stop()
            if self._daemon is not None and self._out:
                self._daemon.setblocking(True)
                self._daemon.settimeout(1)
                with contextlib.suppress(OSError):
                    self._daemon.sendall(self._out)

    # ---- the daemon's socket

    def _read(self) -> None:
        daemon = self._daemon
        if daemon is None:
            return
        try:
            data = daemon.recv(_RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._orphaned(daemon)
            return
        self._in += data
        while (end := self._in.find(b"\n")) >= 0:
            line = bytes(self._in[:end])
            del self._in[: end + 1]
            self._obey(line)
        if len(self._in) > _LINE_MAX:
            self._in.clear()
            self._report(m.Refused("a line of more than 64 MiB"))

    def _obey(self, line: bytes) -> None:
        try:
            message = m.down(line)
        except msgspec.DecodeError as error:
            self._report(m.Refused(str(error)))
            return
        if isinstance(message, m.Stop):
            self.stop()
        elif isinstance(message, m.Network):
            self.configure(message)
        else:
            self._service.handle(message)

    def _orphaned(self, daemon: socket.socket) -> None:
        self._loop.remove_reader(daemon)
        self._loop.remove_writer(daemon)
        daemon.close()
        self._daemon = None
        if self._outlive:
            log.warning("the daemon has ended: going on without it")
            return
        log.warning("the daemon has ended: handing over")
        self.stop()

    def _report(self, message: m.Up) -> None:
        if self._daemon is None:
            return
        if len(self._out) > _PENDING_MAX and isinstance(message, m.Remark | m.StatisticsNow):
            return  # the daemon does not read; states are told nevertheless
        self._out += m.line(message)
        self._write()

    def _write(self) -> None:
        daemon = self._daemon
        if daemon is None:
            return
        try:
            del self._out[: daemon.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            return  # its end is noticed by reading
        if self._out:
            self._loop.add_writer(daemon, self._write)
        else:
            self._loop.remove_writer(daemon)


def prepare(wanted: m.Network) -> None:
    """Real-time priority, nice and locked memory; what is not allowed is said and left."""
    try:
        set_realtime(wanted.realtime)
        if wanted.nice is not None:
            os.setpriority(os.PRIO_PROCESS, 0, wanted.nice)
    except OSError as error:
        log.warning("no other priority: %s", error.strerror)
    if wanted.no_swap:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE):
            log.warning("memory is not locked: %s", os.strerror(ctypes.get_errno()))


async def _run(arguments: argparse.Namespace) -> int:
    loop = asyncio.get_running_loop()
    vrrpd = Vrrpd(loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, vrrpd.stop)
    vrrpd.start()
    if arguments.fd is not None:
        vrrpd.attach(socket.socket(fileno=arguments.fd))
    else:
        path = Path(arguments.config)
        vrrpd.configure(m.network(path.read_bytes()))  # noqa: ASYNC240  # nothing runs yet
        loop.add_signal_handler(signal.SIGHUP, _reload, loop, path, vrrpd)
    # What exists now lives as long as the process: no collection has to walk it.
    gc.collect()
    gc.freeze()
    await vrrpd.stopped.wait()
    return 0


def _reload(loop: asyncio.AbstractEventLoop, path: Path, vrrpd: Vrrpd) -> None:
    def done(reading: asyncio.Future[m.Network]) -> None:
        try:
            vrrpd.configure(reading.result())
        except (OSError, msgspec.DecodeError) as error:
            log.warning("%s: %s: everything stays as it was", path, error)

    # A disk may be slow: read beside the loop.
    loop.run_in_executor(None, lambda: m.network(path.read_bytes())).add_done_callback(done)


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop."""
    parser = argparse.ArgumentParser(prog="xlvs-vrrpd", description="The VRRP process.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--fd", type=int, help="socket of the daemon")
    source.add_argument("--config", help="file with a Network as JSON; read again on SIGHUP")
    formats = [each.value for each in logs.Format]
    parser.add_argument("--log-format", choices=formats, default=formats[0])
    arguments = parser.parse_args(argv)
    # Locked memory is all there: two workers need no eight megabytes each.
    threading.stack_size(_STACK)
    logs.configure(logs.Format(arguments.log_format), "%(asctime)s vrrpd: %(message)s")
    try:
        return asyncio.run(_run(arguments))
    except (OSError, msgspec.DecodeError) as error:
        log.error("%s", error)  # noqa: TRY400  # a sentence, no traceback
        return 1


if __name__ == "__main__":
    sys.exit(main())
