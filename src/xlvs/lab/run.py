# SPDX-License-Identifier: Apache-2.0
"""Where run-time files lie, which programs are ours, which the machine must have."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from xlvs.lab.problem import LabError

PACKAGES = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "ethtool": "ethtool",
    "nginx": "nginx-light",
    "curl": "curl",
    "tcpdump": "tcpdump",
    "wrk": "wrk",
    "iperf3": "iperf3",
    "nc": "netcat-openbsd",
}
"""Debian package of each foreign program that the lab starts."""

_MODULES = {
    "xlvs": "xlvs.cli.main",
    "xlvsd": "xlvs.daemon",
    "ipvsadm": "xlvs.cli.ipvsadm",
}


def run_directory() -> Path:
    """Folder of run-time files; ``XLVS_RUN`` overrides it."""
    return Path(os.environ.get("XLVS_RUN", "/run/xlvs"))


def program(name: str) -> list[str]:
    """Beginning of the argv of one of our own commands.

    The one that belongs to the running interpreter, never the first in PATH: the
    real ipvsadm may be installed as well.
    """
    beside = Path(sys.executable).parent / name
    if beside.exists():
        return [str(beside)]
    return [sys.executable, "-m", _MODULES[name]]


def need(*names: str) -> None:
    """Refuse with one sentence when a foreign program is missing."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = sorted({PACKAGES[name] for name in names if not shutil.which(name, path=path)})
    if missing:
        raise LabError(
            f"the lab needs programs that are not installed: apt-get install {' '.join(missing)}"
        )


def need_root() -> None:
    """Refuse with one sentence without the privilege to make namespaces."""
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces and needs root: run it with sudo")
