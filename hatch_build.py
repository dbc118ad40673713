# SPDX-License-Identifier: Apache-2.0
"""Compile bpf/*.bpf.c into the package: the build hook, and `python hatch_build.py` by itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path(__file__).resolve().parent / "bpf"
OBJECTS = SOURCES.parent / "src" / "xlvs" / "datapath" / "objects"
FLAGS = ("-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror")
CLANGS = ("clang-19", "clang-18", "clang-17", "clang-16", "clang", "clang-15", "clang-14")
STRIPS = tuple(name.replace("clang", "llvm-strip") for name in CLANGS)


def compiler() -> str:
    """The clang to use: the newest that is installed."""
    for name in CLANGS:
        if shutil.which(name):
            return name
    raise SystemExit("clang is missing: apt-get install clang-16 libbpf-dev")


def flags() -> list[str]:
    """Flags for every eBPF source; asm/ headers lie in the multiarch folder."""
    multiarch = sysconfig.get_config_var("MULTIARCH") or f"{_machine()}-linux-gnu"
    return [*FLAGS, "-I", str(SOURCES), "-I", f"/usr/include/{multiarch}"]


def build() -> list[Path]:
    """Compile every object; all or none is exchanged."""
    clang = compiler()
    strip = next((name for name in STRIPS if shutil.which(name)), None)
    OBJECTS.mkdir(parents=True, exist_ok=True)

    def one(source: Path) -> Path:
        fresh = OBJECTS / (source.stem + ".o.new")
        print(f"  {clang} {source.name}", file=sys.stderr, flush=True)
        subprocess.run([clang, *flags(), "-c", str(source), "-o", str(fresh)], check=True)
        if strip:
            # DWARF is of no use to the kernel; BTF stays.
            subprocess.run([strip, "-g", str(fresh)], check=True)
        return fresh

    with ThreadPoolExecutor() as pool:
        built = list(pool.map(one, sorted(SOURCES.glob("*.bpf.c"))))
    return [fresh.rename(fresh.with_suffix("")) for fresh in built]


def _machine() -> str:
    return sysconfig.get_platform().rpartition("-")[2]


class BpfBuildHook(BuildHookInterface[Any]):
    """Runs before the wheel is put together, also for an editable install."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; hatchling packs what ``artifacts`` in pyproject.toml names."""
        del version, build_data
        build()


if __name__ == "__main__":
    try:
        build()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{error.cmd[0]} failed: see above") from None
