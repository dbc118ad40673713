# SPDX-License-Identifier: Apache-2.0
"""What a lab wrote down about itself, so that another process can end it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from xlvs.lab.plan import DIRECTOR, STANDBY
from xlvs.lab.problem import LabError
from xlvs.lab.processes import Process, identify
from xlvs.lab.run import run_directory


class _Process(msgspec.Struct, frozen=True):
    pid: int
    start: int
    what: str


class Record(msgspec.Struct, kw_only=True):
    """A lab: its names begin with ``prefix``; ``owner`` is who built it.

    ``kept``: it outlives its owner (``xlvs lab up``).
    """

    prefix: str
    topology: str
    owner: _Process
    kept: bool
    directory: str
    processes: list[_Process] = msgspec.field(default_factory=list)

    @property
    def instance(self) -> str:
        """The director's instance name."""
        return instance_of(self.prefix)

    def add(self, process: Process) -> None:
        """Write a new process down, at once."""
        self.processes.append(_Process(process.pid, process.start, process.what))
        self.save()

    def running(self) -> list[Process]:
        """Recorded processes that still run, newest first."""
        known = [Process(p.pid, p.start, p.what) for p in reversed(self.processes)]
        return [process for process in known if process.alive]

    @property
    def abandoned(self) -> bool:
        """Its owner died without removing it."""
        owner = self.owner
        return not self.kept and not Process(owner.pid, owner.start, owner.what).alive

    def save(self) -> None:
        """Replace the file as a whole: a reader never sees half of it."""
        path = _path(self.prefix)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}")
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(self)))
        beside.rename(path)

    def forget(self) -> None:
        """Remove the file."""
        _path(self.prefix).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            _folder().rmdir()


def instance_of(prefix: str) -> str:
    """``xlvs-lab`` is the instance ``lab``."""
    return prefix.removeprefix("xlvs-")


def instances_of(prefix: str) -> dict[str, str]:
    """Host -> instance of each director that a lab may have."""
    first = instance_of(prefix)
    return {DIRECTOR: first, STANDBY: f"{first}-{STANDBY}"}


def owner() -> _Process:
    """This process, as an owner."""
    me = identify(os.getpid(), "owner")
    return _Process(me.pid, me.start, me.what)


def load(prefix: str) -> Record | None:
    """The record of a lab, or None."""
    try:
        return msgspec.json.decode(_path(prefix).read_bytes(), type=Record)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as problem:
        raise LabError(f"{_path(prefix)} is not readable ({problem}): remove it") from problem


def load_all() -> list[Record]:
    """Every readable record."""
    found = []
    for path in sorted(_folder().glob("*.json")):
        with contextlib.suppress(LabError):
            if record := load(path.stem):
                found.append(record)
    return found


def _folder() -> Path:
    return run_directory() / "lab"


def _path(prefix: str) -> Path:
    return _folder() / f"{prefix}.json"
