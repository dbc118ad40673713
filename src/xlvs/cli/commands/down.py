# SPDX-License-Identifier: Apache-2.0
"""``xlvs down``: the daemon ends, the data path goes, nothing of the instance stays."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from xlvs.model.problem import Problem

FAILURE = 1
USAGE_ERROR = 2
_PATIENCE = 10.0
_STEP = 0.02


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options of its own."""
    del parser


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 also if there was nothing."""
    from xlvs.io.paths import paths

    try:
        place = paths(args.instance)
    except Problem as problem:
        print(f"xlvs down: {problem.message}", file=sys.stderr)
        return USAGE_ERROR
    elsewhere = _namespace(place.state)
    if elsewhere is not None:
        return _again_in(elsewhere, args.instance)
    try:
        _end_daemon(place.lock)
        _remove(args.instance)
    except Problem as problem:
        print(f"xlvs down: {problem.message}", file=sys.stderr)
        return FAILURE
    place.socket.unlink(missing_ok=True)
    shutil.rmtree(place.folder, ignore_errors=True)
    return 0


def _namespace(state: Path) -> Path | None:
    """The instance's network namespace, if it is another than ours and still there.

    Filters of the TC hook can be taken off only from within.
    """
    from xlvs.io import namespaces, statefile

    try:
        saved = statefile.load(state)
    except ValueError:
        return None
    if saved is None or saved.network_namespace in (0, namespaces.number()):
        return None
    return namespaces.find(saved.network_namespace)


def _again_in(namespace: Path, instance: str) -> int:
    command = [sys.executable, "-m", "xlvs.cli.main", "--instance", instance, "down"]
    enter = ["nsenter", f"--net={namespace}"]
    # Our own interpreter, a name that paths() has checked, and a path that we found.
    return subprocess.run([*enter, *command], check=False).returncode  # noqa: S603


def _end_daemon(lock: Path) -> None:
    from xlvs.io.lock import holder
    from xlvs.model.problem import Code

    pid = holder(lock)
    if not pid:
        return
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise Problem(
            Code.NOT_SUPPORTED, f"ending xlvsd (process {pid}) needs root: run it as root"
        ) from error
    deadline = time.monotonic() + _PATIENCE
    while holder(lock) == pid:
        if time.monotonic() > deadline:
            raise Problem(
                Code.INTERNAL,
                f"xlvsd (process {pid}) does not end: end it by hand (kill -9 {pid}) and repeat",
            )
        time.sleep(_STEP)


def _remove(instance: str) -> None:
    from xlvs.datapath import pins
    from xlvs.datapath.loader import remove

    folder = pins.folder(instance)
    remove(folder)
    found = pins.find(folder)
    if found is not None:
        try:
            found.parent.rmdir()  # the last instance takes the common folder with it
        except OSError:
            return
