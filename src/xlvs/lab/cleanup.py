# SPDX-License-Identifier: Apache-2.0
"""Remove a lab by its prefix, however little of it is left.

The order matters: first the processes that would write, then what they wrote.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from xlvs.lab import cgroups, state
from xlvs.lab.namespace import namespace_path
from xlvs.lab.problem import LabError
from xlvs.lab.processes import end
from xlvs.lab.run import program, run_directory
from xlvs.realserver.state import forget_namespaces

PINS = Path("/sys/fs/bpf/xlvs")


def remove(prefix: str) -> list[str]:
    """Remove everything of a lab and say what there was, one sentence each."""
    done: list[str] = []
    record = _record(prefix)
    if record and (running := record.running()):
        end(running)
        done.append(f"ended {len(running)} processes")
    cgroups.remove(prefix)
    for host, instance in state.instances_of(prefix).items():
        if _remove_instance(f"{prefix}-{host}", instance):
            done.append(f"removed the data path of {instance}")
    names = namespaces(prefix)
    inodes = {namespace_path(name).stat().st_ino for name in names}
    for name in names:
        subprocess.run(["ip", "netns", "delete", name], check=True, capture_output=True)
    if names:
        done.append(f"removed {len(names)} namespaces")
    _forget_real_servers(inodes)
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}-*"):
        shutil.rmtree(folder, ignore_errors=True)
    if record:
        record.forget()
    return done


def remove_abandoned() -> list[str]:
    """Remove labs whose owner died without doing so; returns their prefixes."""
    prefixes = [record.prefix for record in state.load_all() if record.abandoned]
    for prefix in prefixes:
        remove(prefix)
    return prefixes


def namespaces(prefix: str) -> list[str]:
    """Full names of the lab's namespaces that exist."""
    folder = namespace_path("x").parent
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(f"{prefix}-"))


def _record(prefix: str) -> state.Record | None:
    with contextlib.suppress(LabError):
        return state.load(prefix)
    return None


def _remove_instance(namespace: str, instance: str) -> bool:
    """``xlvs down`` in the director's namespace, then whatever it left."""
    pins = PINS / instance
    there = pins.exists()
    director = namespace_path(namespace)
    if there and director.exists():
        subprocess.run(
            [
                "nsenter",
                f"--net={director}",
                "--",
                *program("xlvs"),
                "--instance",
                instance,
                "down",
            ],
            capture_output=True,
            check=False,
            timeout=30,
        )
    if pins.exists():
        shutil.rmtree(pins, ignore_errors=True)
    for left in run_directory().glob(f"{instance}.*"):
        left.unlink(missing_ok=True)
    shutil.rmtree(run_directory() / instance, ignore_errors=True)
    return there


def _forget_real_servers(inodes: set[int]) -> None:
    """``xlvs realserver`` keeps a file per namespace; the namespaces are gone."""
    forget_namespaces(inodes)
