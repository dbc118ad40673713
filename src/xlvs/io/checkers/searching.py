# SPDX-License-Identifier: Apache-2.0
"""Searching a body for a regex without stalling the loop.

Python's ``re`` cannot be interrupted, and a thread would hold the interpreter's lock all the
time. So whatever may take longer than its text is long goes to a process, which is killed
when it takes too long.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys

import msgspec

from xlvs.io.checkers.search_worker import HEAD
from xlvs.protocols.checks import regex
from xlvs.protocols.checks.outcome import Wrong
from xlvs.protocols.checks.regex import Search

WORKERS = 2

PATIENCE = 1.0
"""Seconds that one search may take, after which the regex counts as a failure."""


class _Worker:
    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._channel = ours
        with theirs:
            self._process = subprocess.Popen(  # this module's own
                [sys.executable, "-m", "xlvs.io.checkers.search_worker"],
                stdin=theirs.fileno(),
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,
            )

    async def ask(self, search: Search, body: bytes) -> bool:
        loop = asyncio.get_running_loop()
        what = msgspec.json.encode(search)
        await loop.sock_sendall(self._channel, HEAD.pack(len(what), len(body)) + what + body)
        answer = await loop.sock_recv(self._channel, 1)
        if not answer:
            raise ConnectionResetError
        return answer == b"\1"

    def kill(self) -> None:
        self._channel.close()
        self._process.kill()
        self._process.wait()


class Searcher:
    """At most WORKERS processes, started when they are needed."""

    def __init__(self) -> None:
        self._idle: list[_Worker] = []
        self._free = asyncio.Semaphore(WORKERS)

    def close(self) -> None:
        """End the processes that wait for work."""
        while self._idle:
            self._idle.pop().kill()

    async def found(self, search: Search, body: bytes) -> bool:
        """Whether it is there. Raises Wrong if that takes too long."""
        if search.quick:
            return regex.found(search, body)
        async with self._free:
            worker = self._idle.pop() if self._idle else _Worker()
            try:
                async with asyncio.timeout(PATIENCE):
                    answer = await worker.ask(search, body)
            except TimeoutError:
                worker.kill()
                raise Wrong(f"searching for the regex took longer than {PATIENCE:g} s") from None
            except BaseException:
                worker.kill()
                raise
            self._idle.append(worker)
            return answer
