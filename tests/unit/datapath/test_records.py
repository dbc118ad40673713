# SPDX-License-Identifier: Apache-2.0
"""Macros of bpf/abi.h that BTF cannot tell."""

from __future__ import annotations

import re
from enum import IntFlag
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


@pytest.mark.parametrize(
    "flags",
    [
        each
        for each in vars(records).values()
        if isinstance(each, type) and issubclass(each, IntFlag) and each is not IntFlag
    ],
    ids=lambda each: each.__name__,
)
def test_flags_have_a_bit_each(flags: type[IntFlag]) -> None:
    """C's are compared with these when an object is loaded."""
    values = [each.value for each in flags.__members__.values()]
    assert len(set(values)) == len(values)
    assert all(value.bit_count() == 1 for value in values)


def test_macros_were_found() -> None:
    assert {"CURSOR_HEAD", "NO_DESTINATION"} <= MACROS.keys()
