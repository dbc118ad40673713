# SPDX-License-Identifier: Apache-2.0
"""``xlvs down``: the daemon ends, the data path goes, nothing of the instance stays."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
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
    try:
        _end_daemon(place.lock)
        _remove(args.instance)
    except Problem as problem:
        print(f"xlvs down: {problem.message}", file=sys.stderr)
        return FAILURE
    place.socket.unlink(missing_ok=True)
    shutil.rmtree(place.folder, ignore_errors=True)
    return 0


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
