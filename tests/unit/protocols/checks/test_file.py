# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlvs.protocols.checks import file
from xlvs.protocols.checks.outcome import Wrong


@pytest.mark.parametrize(
    ("content", "value"), [(b"", 0), (b"12\n", 12), (b" -3 # why\n", -3), (b"\n\n4", 4)]
)
def test_number(content: bytes, value: int) -> None:
    assert file.number(content) == value


def test_no_number() -> None:
    with pytest.raises(Wrong, match='the file has no number but "up"'):
        file.number(b"up\n")


@pytest.mark.parametrize(
    ("value", "weight", "reverse", "ok", "added"),
    [
        (0, 0, False, True, 0),
        (1, 0, False, False, 0),
        (0, 0, True, False, 0),
        (1, 0, True, True, 0),
        (3, 5, False, True, 15),
        (3, 5, True, True, -15),
        (-3, 2**31, False, False, 0),
    ],
)
def test_judge(value: int, weight: int, reverse: bool, ok: bool, added: int) -> None:
    outcome = file.judge(value, weight, reverse=reverse)
    assert (outcome.ok, outcome.added) == (ok, added)
    assert bool(outcome.cause) == (not ok)


@given(st.binary(max_size=40))
def test_any_bytes(content: bytes) -> None:
    try:
        file.number(content)
    except Wrong:
        return
