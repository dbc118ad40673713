# SPDX-License-Identifier: Apache-2.0
"""Processes that the lab starts, and how it recognises them later.

A process is ended only when its number and its start time are the recorded ones:
numbers are reused, the pair is not.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class Process:
    """``start`` is field 22 of ``/proc/PID/stat``: clock ticks since boot."""

    pid: int
    start: int
    what: str

    @property
    def alive(self) -> bool:
        """The process runs (a zombie does not)."""
        state, start = _stat(self.pid)
        return start == self.start and state not in ("Z", "X", "")


def _stat(pid: int) -> tuple[str, int]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "", -1
    # The command name may contain blanks and parentheses; it ends at the last one.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def identify(pid: int, what: str) -> Process:
    """The process that has this number now."""
    return Process(pid, _stat(pid)[1], what)


def spawn(
    argv: list[str],
    what: str,
    *,
    output: IO[bytes] | int,
    env: dict[str, str] | None = None,
    keep: bool,
) -> tuple[subprocess.Popen[bytes], Process]:
    """Start a process in a session of its own, so that its children end with it.

    Unless ``keep``, the kernel ends it when the starting thread dies, however it dies.
    """
    if not keep:
        argv = ["setpriv", "--pdeathsig", "TERM", "--", *argv]
    child = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=env,
        start_new_session=True,
    )
    return child, identify(child.pid, what)


def end(processes: list[Process], *, patience: float = 3.0) -> None:
    """End processes and their children: TERM, then KILL after ``patience`` seconds.

    A process that cannot be ended is left: waiting for it would not help.
    """
    for sign, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 1.0)):
        left = [process for process in processes if process.alive]
        for process in left:
            # Its own session's leader, so the group's number is its own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
        deadline = time.monotonic() + wait
        while left and time.monotonic() < deadline:
            left = [process for process in left if process.alive]
            if left:
                time.sleep(0.01)
        if not left:
            return
