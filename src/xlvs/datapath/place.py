# SPDX-License-Identifier: Apache-2.0
"""The network namespace of a data path: remembered beside its pins, entered to undo.

Pins are the machine's, filters on interfaces are one namespace's. Whoever removes
an instance may stand in another one: ``xlvs down`` finds the way back.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from xlvs.datapath import libbpf, pins

_NAME = "namespace"
_VALUE = struct.Struct("=QQ")
_OWN = "/proc/thread-self/ns/net"
_NAMED = Path("/run/netns")


class Place(NamedTuple):
    """A network namespace, as the kernel tells it from others."""

    device: int
    inode: int


def here() -> Place:
    """The network namespace of this thread."""
    return _place(_OWN)


def remember(folder: Path) -> None:
    """Keep this thread's namespace beside the pins. Raises OSError."""
    fd = libbpf.map_create(libbpf.BPF_MAP_TYPE_ARRAY, "xlvs_namespace", 4, _VALUE.size, 1)
    try:
        libbpf.map_update(fd, bytes(4), _VALUE.pack(*here()))
        pins.replace(fd, folder / _NAME)
    finally:
        os.close(fd)


def remembered(folder: Path) -> Place | None:
    """The namespace that was kept, or None."""
    try:
        fd = libbpf.get(str(folder / _NAME))
    except FileNotFoundError:
        return None
    try:
        raw = libbpf.map_lookup(fd, bytes(4), _VALUE.size)
    finally:
        os.close(fd)
    return Place(*_VALUE.unpack(raw)) if raw else None


@contextmanager
def entered(wanted: Place | None) -> Iterator[bool]:
    """Be in that namespace within the block, with this thread; False if it is gone."""
    if wanted is None or wanted == here():
        yield True
        return
    target = _open(wanted)
    if target is None:
        yield False
        return
    back = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libbpf.enter_network(target)
        try:
            yield True
        finally:
            libbpf.enter_network(back)
    finally:
        os.close(back)
        os.close(target)


def _open(wanted: Place) -> int | None:
    """A descriptor of a living namespace, by name or by a process in it."""
    named = (str(_NAMED / name) for name in pins.names(_NAMED))
    of_processes = (f"/proc/{pid}/ns/net" for pid in os.listdir("/proc") if pid.isdigit())
    for path in (*named, *of_processes):
        try:
            if _place(path) == wanted:
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
    return None


def _place(path: str) -> Place:
    status = os.stat(path)
    return Place(status.st_dev, status.st_ino)
