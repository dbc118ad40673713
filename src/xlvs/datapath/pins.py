# SPDX-License-Identifier: Apache-2.0
"""Where pins lie: the folder of an instance in bpffs, and how to reach it.

``ip netns exec`` gives its command a private /sys without bpffs. A bpf file
system mounted in there would die with the command, and the data path with it;
so pins are made in the machine's own one, by way of process 1's root.
"""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

from xlvs.datapath import libbpf
from xlvs.datapath.problems import DataPathProblem
from xlvs.model.problem import Code

BPFFS = Path("/sys/fs/bpf")
ROOT = BPFFS / "xlvs"
_MACHINE = Path("/proc/1/root")


def folder(instance: str) -> Path:
    """The pin folder of an instance."""
    return ROOT / instance


def find(pins: Path) -> Path | None:
    """The folder as this process reaches it, or None if there is no bpffs to hold it."""
    for candidate in (pins, _MACHINE / pins.relative_to("/")):
        place = candidate
        while not place.exists() and place != place.parent:
            place = place.parent
        if libbpf.is_bpffs(str(place)):
            return candidate
    return None


def reach(pins: Path) -> Path:
    """Like ``find``, but mounts bpffs on /sys/fs/bpf if it is not. Raises DataPathProblem."""
    found = find(pins)
    if found is None:
        _mount()
        found = find(pins)
    if found is None:
        raise DataPathProblem(
            Code.INVALID, f"{pins} does not lie on a bpf file system: choose a folder in {BPFFS}"
        )
    return found


def _mount() -> None:
    command = ["mount", "-t", "bpf", "bpf", str(BPFFS)]
    try:
        if os.readlink("/proc/self/ns/mnt") == os.readlink("/proc/1/ns/mnt"):
            libbpf.mount_bpffs(str(BPFFS))
            return
        subprocess.run(
            ["nsenter", "--mount=/proc/1/ns/mnt", *command],
            check=True,
            capture_output=True,
            timeout=10,
        )
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
