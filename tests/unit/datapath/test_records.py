# SPDX-License-Identifier: Apache-2.0
"""Macros of bpf/abi.h that BTF cannot tell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xlvs.datapath import records

ABI = (Path(__file__).parents[3] / "bpf" / "abi.h").read_text()
MACROS = {
    name: int(value.rstrip("uUlL"), 0)
    for name, value in re.findall(r"^#define XLVS_(\w+)\s+(0x[0-9a-f]+u?|\d+)\b", ABI, re.MULTILINE)
}


@pytest.mark.parametrize("name", sorted(MACROS))
def test_constant_is_the_same_in_python(name: str) -> None:
    assert getattr(records, name) == MACROS[name]


def test_macros_were_found() -> None:
    assert {"CURSOR_HEAD", "NO_DESTINATION"} <= MACROS.keys()
