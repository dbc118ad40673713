# SPDX-License-Identifier: Apache-2.0
"""Find a network namespace again by its number (the inode of /proc/PID/ns/net)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_NAMED = Path("/run/netns")
_PROCESSES = Path("/proc")
OWN = Path("/proc/self/ns/net")


def number(path: Path = OWN) -> int:
    """The namespace's number; 0 if there is none at that path (any more)."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def find(wanted: int) -> Path | None:
    """A path to the namespace of that number, None if nobody holds it: then it is gone."""
    return next((path for path in _candidates() if number(path) == wanted), None)


def _candidates() -> Iterator[Path]:
    yield OWN
    if _NAMED.is_dir():
        yield from _NAMED.iterdir()
    for name in os.listdir(_PROCESSES):
        if name.isdecimal():
            yield _PROCESSES / name / "ns" / "net"
