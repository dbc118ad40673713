# SPDX-License-Identifier: Apache-2.0
"""Where pins lie: the folder of an instance in bpffs, and how to reach it.

``ip netns exec`` gives its command a private /sys without bpffs. A bpf file
system mounted in there would die with the command, and the data path with it;
so pins are made in the machine's own one, reached through a process outside.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from xlvs.datapath import libbpf
from xlvs.datapath.problems import DataPathProblem
from xlvs.model.problem import Code

BPFFS = Path("/sys/fs/bpf")
ROOT = BPFFS / "xlvs"


def folder(instance: str) -> Path:
    """The pin folder of an instance."""
    return ROOT / instance


def find(pins: Path) -> Path | None:
    """The folder as this process reaches it, or None if there is no bpffs to hold it."""
    if _holds(pins):
        return pins
    if pins.is_relative_to(BPFFS) and (outside := _outside()) is not None:
        return Path(f"/proc/self/fd/{outside}") / pins.relative_to(BPFFS)
    return None


def reach(pins: Path) -> Path:
    """Like ``find``, but mounts bpffs on /sys/fs/bpf if it is not. Raises DataPathProblem."""
    found = find(pins)
    if found is None and pins.is_relative_to(BPFFS):
        _mount()
        _outside.cache_clear()
        found = find(pins)
    if found is None:
        raise DataPathProblem(
            Code.INVALID, f"{pins} does not lie on a bpf file system: choose a folder in {BPFFS}"
        )
    return found


def _holds(place: Path) -> bool:
    """Whether the nearest folder that exists is on a bpf file system."""
    while not os.path.exists(place) and place != place.parent:  # Path.exists raises if denied
        place = place.parent
    return libbpf.is_bpffs(str(place))


@cache
def _outside() -> int | None:
    """A descriptor of the machine's bpffs: it stays valid when the process found is gone."""
    for pid in _outsiders():
        bpffs = f"/proc/{pid}/root{BPFFS}"
        if libbpf.is_bpffs(bpffs):
            return os.open(bpffs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return None


def _outsiders() -> Iterator[int]:
    """Processes that see the machine's mounts: the first one, our ancestors, then root's.

    The first one alone would do, were it always readable: it is not where it has
    more capabilities than we.
    """
    yield 1
    yield from _ancestors()
    ours = os.readlink("/proc/self/ns/user")
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            trusted = (
                os.stat(f"/proc/{pid}").st_uid == 0 and os.readlink(f"/proc/{pid}/ns/user") == ours
            )
        except OSError:
            continue
        if trusted:
            yield pid


def _ancestors() -> Iterator[int]:
    pid = os.getppid()
    while pid > 1:
        yield pid
        try:
            status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        except OSError:
            return
        pid = int(status.rpartition(")")[2].split()[1])


def _mount() -> None:
    """Mount bpffs where the machine looks for it: in its mount namespace, not in ours."""
    command = ["mount", "-t", "bpf", "bpf", str(BPFFS)]
    try:
        ours = os.readlink("/proc/self/ns/mnt")
        outside = ours
        for pid in (*reversed(tuple(_ancestors())), 1):
            try:
                outside = os.readlink(f"/proc/{pid}/ns/mnt")
            except OSError:
                continue
            if outside != ours:
                enter = ["nsenter", f"--mount=/proc/{pid}/ns/mnt", *command]
                subprocess.run(enter, check=True, capture_output=True, timeout=10)
                return
        libbpf.mount_bpffs(str(BPFFS))
    except (OSError, subprocess.SubprocessError) as error:
        raise DataPathProblem(
            Code.INTERNAL,
            f"no bpf file system on {BPFFS}, and mounting one failed: run {' '.join(command)}",
        ) from error


def names(place: Path) -> list[str]:
    """Names in a folder, sorted; empty if there is no such folder."""
    try:
        return sorted(os.listdir(place))
    except FileNotFoundError:
        return []


def replace(fd: int, path: Path) -> None:
    """Pin in place of what is pinned there, in one step."""
    fresh = path.with_name(path.name + "-new")
    fresh.unlink(missing_ok=True)
    libbpf.pin(fd, str(fresh))
    fresh.rename(path)


def remove_tree(place: Path) -> None:
    """Unpin everything below a folder, and the folder. Missing is fine."""
    for name in names(place):
        entry = place / name
        if entry.is_dir():
            remove_tree(entry)
        else:
            entry.unlink(missing_ok=True)
    try:
        place.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
