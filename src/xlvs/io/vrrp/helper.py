# SPDX-License-Identifier: Apache-2.0
"""The VRRP process's helper: everything that reads files or starts programs.

``python -m xlvs.io.vrrp.helper FD``: a socket with lines of JSON in both directions. It
has no real-time priority; whatever it waits for, adverts are sent by another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from typing import Any

import msgspec

from xlvs.io.tasks import Tasks
from xlvs.io.vrrp.watching import run, watch_file, watch_processes, watch_script
from xlvs.model.notification import Command
from xlvs.model.tracking import File, Process, Script
from xlvs.protocols.vrrp.track import Kind

_LINE = 1 << 24
_NOTIFY_PATIENCE = 60.0
_LAST_PATIENCE = 5.0  # for what is still to be told when the VRRP process has ended

log = logging.getLogger(__name__)


class Watchlist(msgspec.Struct, frozen=True, tag=True):
    """To it: what is tracked from now on."""

    scripts: tuple[Script, ...] = ()
    files: tuple[File, ...] = ()
    processes: tuple[Process, ...] = ()


class Run(msgspec.Struct, frozen=True, tag=True):
    """To it: run these one after the other, ``extra`` behind each one's own words."""

    commands: tuple[tuple[Command, tuple[str, ...]], ...]


class Write(msgspec.Struct, frozen=True, tag=True):
    """To it: write a line into a FIFO, if somebody reads it."""

    path: str
    line: str


class Result(msgspec.Struct, frozen=True):
    """From it: what is believed of a tracked thing."""

    kind: Kind
    name: str
    value: int


Order = Watchlist | Run | Write
_ORDERS: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)


class Helper:
    """Does what it is told, until the socket closes."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._tasks = Tasks(self._died)
        self._watching: dict[Script | File | tuple[Process, ...], asyncio.Task[None]] = {}
        self._runs: asyncio.Queue[Run | Write] = asyncio.Queue()
        self._known: dict[tuple[Kind, str], int] = {}

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Read orders. Raises msgspec.DecodeError: the other side is broken."""
        self._tasks.start("notify", self._run())
        while line := await reader.readline():
            order = _ORDERS.decode(line)
            if isinstance(order, Watchlist):
                self._watch(order)
            else:
                self._runs.put_nowait(order)
        for watching in self._watching.values():
            watching.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._runs.join(), _LAST_PATIENCE)
        await self._tasks.stop()

    def _watch(self, wanted: Watchlist) -> None:
        work: dict[Script | File | tuple[Process, ...], Coroutine[Any, Any, None]] = {}
        keys: list[Script | File | tuple[Process, ...]] = [*wanted.scripts, *wanted.files]
        if wanted.processes:
            keys.append(wanted.processes)
        for key in [key for key in self._watching if key not in keys]:
            self._watching.pop(key).cancel()
        for key in keys:
            if key in self._watching:
                continue
            if isinstance(key, Script):
                work[key] = watch_script(key, self._report)
            elif isinstance(key, File):
                work[key] = watch_file(key, self._report)
            else:
                work[key] = watch_processes(key, self._report)
        for key, coroutine in work.items():
            self._watching[key] = self._tasks.start("watch", coroutine)
        for (kind, name), value in self._known.items():
            self._send(kind, name, value)

    async def _run(self) -> None:
        while True:
            order = await self._runs.get()
            if isinstance(order, Write):
                self._write(order)
            else:
                await self._run_all(order)
            self._runs.task_done()

    async def _run_all(self, order: Run) -> None:
        for command, extra in order.commands:
            status = await run(command, extra, command.timeout or _NOTIFY_PATIENCE)
            if status:
                log.warning("%s ended with %d", command.argv[0], status)

    def _write(self, order: Write) -> None:
        try:
            fd = os.open(order.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return  # nobody reads it
        with contextlib.suppress(OSError):
            os.write(fd, order.line.encode())
        os.close(fd)

    def _report(self, kind: Kind, name: str, value: int) -> None:
        self._known[kind, name] = value
        self._send(kind, name, value)

    def _send(self, kind: Kind, name: str, value: int) -> None:
        self._writer.write(msgspec.json.encode(Result(kind, name, value)) + b"\n")

    def _died(self, name: str, error: BaseException) -> None:
        log.error("%s died", name, exc_info=error)


async def _main(fd: int) -> None:
    both = socket.socket(fileno=fd)
    both.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=both, limit=_LINE)
    with contextlib.suppress(ConnectionError):
        await Helper(writer).serve(reader)


if __name__ == "__main__":
    # A service manager tells all processes to end; this one ends when it has nothing left to tell.
    # A handler and not SIG_IGN, which scripts would inherit.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    logging.basicConfig(format="vrrp helper: %(message)s", level=logging.INFO)
    gc.freeze()
    asyncio.run(_main(int(sys.argv[1])))
