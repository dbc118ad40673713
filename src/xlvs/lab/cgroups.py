# SPDX-License-Identifier: Apache-2.0
"""A cgroup for each real server of a lab, so that it can be told clients' addresses alone.

eBPF programs for that act on a cgroup, whichever network namespace its processes are in.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from xlvs.model.problem import Problem
from xlvs.realserver.client_address import cgroup
from xlvs.realserver.client_address.agent import Agent

_PATIENCE = 2.0  # seconds, until processes that have been ended are gone


def path(prefix: str, server: str) -> str:
    """Where the cgroup of a real server is; "" if there are none of version 2."""
    try:
        return str(Path(cgroup.find(None).path) / prefix / server)
    except Problem:
        return ""


def enter(place: str, argv: Sequence[str]) -> list[str]:
    """The argv that runs ``argv`` in a cgroup, which is made; as it is without one."""
    if not place:
        return list(argv)
    Path(place).mkdir(parents=True, exist_ok=True)
    # By a shell that becomes the program: sockets stay where their process began.
    return ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', place, *argv]


def remove(prefix: str) -> None:
    """Remove all of a lab, with the programs on them; processes have been ended before."""
    top = Path(path(prefix, "."))
    if not top.name or not top.is_dir():
        return
    for folder in (*top.iterdir(), top):
        if folder.is_dir():
            Agent(cgroup.find(str(folder))).down()
            _remove(folder)


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        # Busy as long as a process is on its way out.
        with contextlib.suppress(OSError):
            folder.rmdir()
            return
        time.sleep(0.01)
