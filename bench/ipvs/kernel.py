# SPDX-License-Identifier: Apache-2.0
"""Debian's kernel: fetched with apt, unpacked, not installed."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.ipvs.failure import Failure

# What the guest loads, with what these need.
MODULES = ("veth", "sch_ingress", "cls_bpf", "ip_vs", "ip_vs_rr")


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel package."""

    image: Path
    modules: Path
    """.../lib/modules/RELEASE"""

    @property
    def release(self) -> str:
        """As ``uname -r`` says in the guest."""
        return self.modules.name


def _package(name: str) -> str:
    """The package with the kernel in it: a meta package depends on it."""
    said = subprocess.run(
        ["apt-cache", "depends", name], check=False, capture_output=True, text=True
    ).stdout
    words = (line.split() for line in said.splitlines())
    found = [w[1] for w in words if w[:1] == ["Depends:"] and w[1].startswith("linux-image-")]
    return found[0] if found else name


def _fetch(name: str, folder: Path) -> None:
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    found = subprocess.run(
        ["apt-get", "download", _package(name)],
        cwd=partial,
        check=False,
        capture_output=True,
        text=True,
    )
    packages = list(partial.glob("*.deb"))
    if found.returncode or not packages:
        raise Failure(
            f"apt-get download of {name} failed: {found.stderr.strip()} (apt-get update?)"
        )
    subprocess.run(["dpkg", "-x", packages[0], partial], check=True)
    packages[0].unlink()
    (modules,) = (partial / "lib/modules").iterdir()
    subprocess.run(["depmod", "-b", partial, modules.name], check=True)
    partial.rename(folder)


def kernel(name: str, cache: Path) -> Kernel:
    """The kernel of Debian's package ``name``, from the cache if it is there."""
    folder = cache / name
    if not folder.exists():
        _fetch(name, folder)
    (modules,) = (folder / "lib/modules").iterdir()
    return Kernel(folder / "boot" / f"vmlinuz-{modules.name}", modules)


def module_files(of: Kernel) -> list[Path]:
    """The guest's modules and the index that modprobe reads, below ``of.modules``."""
    found = set(of.modules.glob("modules.*"))
    for module in MODULES:
        said = subprocess.run(
            ["modprobe", "-d", of.modules.parents[2], "-S", of.release, "--show-depends", module],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        words = (line.split() for line in said.splitlines())
        found |= {Path(w[1]) for w in words if w[0] == "insmod"}
    return sorted(found)
