# SPDX-License-Identifier: Apache-2.0
"""Where an instance keeps its things."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from xlvs.model.problem import Code, Problem

DEFAULT_INSTANCE = "default"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")


class Paths(NamedTuple):
    """Paths of one instance. Pins are in ``xlvs.datapath.pins``."""

    socket: Path
    folder: Path

    @property
    def lock(self) -> Path:
        """Held by the daemon while it runs."""
        return self.folder / "lock"

    @property
    def state(self) -> Path:
        """What is wanted, as far as the maps cannot hold it."""
        return self.folder / "desired.json"

    @property
    def syn_secret(self) -> Path:
        """The director's own secret of SYN cookies, so that a restart goes on with it."""
        return self.folder / "syn-cookie-secret"

    @property
    def file_state(self) -> Path:
        """What follows from the configuration file: whose is what, and health."""
        return self.folder / "file.json"


def paths(instance: str) -> Paths:
    """Paths of an instance below /run/xlvs (or $XLVS_RUN). Raises Problem for a bad name."""
    if not _NAME.fullmatch(instance):
        raise Problem(
            Code.INVALID,
            f"an instance's name is 1 to 32 letters, digits, '_', '-' and '.', not {instance!r}",
            "--instance",
        )
    run = Path(os.environ.get("XLVS_RUN", "/run/xlvs"))
    return Paths(socket=run / f"{instance}.sock", folder=run / instance)


def instance_from_environment() -> str:
    """$XLVS_INSTANCE, or ``default``."""
    return os.environ.get("XLVS_INSTANCE", "") or DEFAULT_INSTANCE
