# SPDX-License-Identifier: Apache-2.0
"""What runs left behind that could not clean up: killed, or in a kernel that ran out of memory.

Everything that a run makes has the number of its process in its name.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from xlvs.datapath import pins
from xlvs.datapath.loader import remove
from xlvs.lab.run import run_directory

NAME = "xlvs-e2e"
"""How names of namespaces and temporary folders begin; an instance's without ``xlvs-``."""
_NAMESPACES = Path("/run/netns")


def instance(pid: int, director: str) -> str:
    """Name of an xlvsd instance."""
    return f"{NAME.removeprefix('xlvs-')}{pid}{director}"


def of_the_dead(names: Iterable[str], alive: Iterable[int]) -> list[str]:
    """Those of the names that are of runs whose process is gone. Pure."""
    running = set(alive)
    found = ((name, re.match(r"(?:xlvs-)?e2e(\d+)", name)) for name in names)
    return [name for name, match in found if match and int(match[1]) not in running]


def _alive() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def delete(path: Path) -> None:
    """A file or a folder; fine if there is nothing."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def sweep() -> list[str]:
    """Remove what is there of runs whose process is gone; gives the names."""
    alive, swept = _alive(), []
    for name in of_the_dead(_names(pins.ROOT), alive):
        remove(pins.folder(name))
        swept.append(name)
    for name in of_the_dead(_names(_NAMESPACES), alive):
        subprocess.run(["ip", "netns", "delete", name], check=False)
        swept.append(name)
    for folder in (run_directory(), Path(tempfile.gettempdir())):
        for name in of_the_dead(_names(folder), alive):
            delete(folder / name)
            swept.append(name)
    return swept
