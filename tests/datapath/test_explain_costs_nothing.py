# SPDX-License-Identifier: Apache-2.0
"""What explaining adds to the source adds no instruction to the programs that packets meet."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hatch_build import SOURCES, compiler, flags

from xlvs.datapath.btf import section

NOTE = re.compile(r"^\s*note\([A-Z]+, [^;]*\);\n", re.MULTILINE)


def compiled(sources: Path, name: str, folder: Path) -> bytes:
    target = folder / f"{name}.o"
    words = [word.replace(str(SOURCES), str(sources)) for word in flags()]
    # Else the empty braces that a note leaves would be complained about.
    command = [compiler(), *words, "-Wno-error", "-c", sources / f"{name}.bpf.c", "-o", target]
    subprocess.run(command, check=True, capture_output=True)
    return target.read_bytes()


@pytest.mark.parametrize("hook", ["xdp", "tc"])
def test_the_instructions_are_those_without_notes(hook: str, tmp_path: Path) -> None:
    bare, folder = tmp_path / "bpf", tmp_path / "objects"
    folder.mkdir()
    shutil.copytree(SOURCES, bare)
    notes = 0
    for path in bare.rglob("*.h"):
        text, count = NOTE.subn("", path.read_text())
        path.write_text(text)
        notes += count
    assert notes > 10, "none were found: this test compares nothing"
    ours, without = compiled(SOURCES, hook, folder), compiled(bare, hook, folder)
    for name in (hook, ".text"):
        assert section(ours, name) == section(without, name)
