# SPDX-License-Identifier: Apache-2.0
"""What a daemon that runs has said and used so far."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO


def said(log: IO[bytes]) -> str:
    """All that a process has written to this file, whose place in it stays as it is.

    Both have one place in it, so what is read by ``seek`` and ``read`` may be written over.
    """
    return os.pread(log.fileno(), os.fstat(log.fileno()).st_size, 0).decode(errors="replace")


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, also within the kernel; not of its children."""
    stat = Path("/proc", str(pid), "stat").read_text(encoding="ascii")
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
