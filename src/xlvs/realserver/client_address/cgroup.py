# SPDX-License-Identifier: Apache-2.0
"""Cgroups of version 2: where they are mounted, and which one a path is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from xlvs.model.problem import Code, Problem

# `ip netns exec` gives its command a /sys without cgroups: the first process has the machine's.
_VIEWS = (("/proc/self/mountinfo", ""), ("/proc/1/mountinfo", "/proc/1/root"))
_OCTAL_DIGITS = 3


class Cgroup(NamedTuple):
    """``path``: its folder. ``id``: never given again before a reboot. ``root``: all processes."""

    path: str
    id: int
    root: bool


def mounted_at(mountinfo: str) -> str | None:
    """Where the whole tree is mounted, by the text of proc(5)'s mountinfo; None: nowhere.

    In hybrid layouts it is at ``/sys/fs/cgroup/unified``.
    """
    found = None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        # Another root than "/" is a part of the tree, bound to a place of its own.
        if right.startswith("cgroup2 ") and fields[3] == "/":
            found = _unescaped(fields[4])
    return found


def find(path: str | None) -> Cgroup:
    """The cgroup of a folder, or the root. Raises Problem."""
    root = _root()
    if path is None:
        if root is None:
            raise Problem(
                Code.NOT_SUPPORTED,
                "no cgroup2 file system is mounted, and the programs belong to a cgroup:"
                " mkdir -p /run/cgroup2 && mount -t cgroup2 none /run/cgroup2",
                "--cgroup",
            )
        path = root
    path = os.path.abspath(path)
    # Every cgroup of version 2 has it, and none of version 1.
    if not os.path.exists(os.path.join(path, "cgroup.controllers")):
        raise Problem(Code.INVALID, f"{path} is not a cgroup of version 2", "--cgroup")
    number = os.stat(path).st_ino
    return Cgroup(path, number, root is not None and os.stat(root).st_ino == number)


def _root() -> str | None:
    for mounts, before in _VIEWS:
        with contextlib.suppress(OSError):
            found = mounted_at(Path(mounts).read_text(encoding="utf-8"))
            if found is not None:
                return before + found
    return None


def path_of(number: int) -> str:
    """The folder of a cgroup by its id; the id if it is not found."""
    for folder, _, _ in os.walk(_root() or os.devnull):
        if os.stat(folder).st_ino == number:
            return folder
    return f"with id {number}"


@contextmanager
def opened(cgroup: Cgroup) -> Iterator[int]:
    """Its descriptor, for as long as the block lasts."""
    folder = os.open(cgroup.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield folder
    finally:
        os.close(folder)


def _unescaped(path: str) -> str:
    """Blanks in mountinfo are octal numbers."""
    first, *rest = path.split("\\")
    return first + "".join(
        chr(int(part[:_OCTAL_DIGITS], 8)) + part[_OCTAL_DIGITS:] for part in rest
    )
