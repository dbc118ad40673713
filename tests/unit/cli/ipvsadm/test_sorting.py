# SPDX-License-Identifier: Apache-2.0
"""The circular order of addresses, and that plain lists take the quick way to the same end."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from xlvs.cli.ipvsadm import sorting


def v4(number: int, port: int = 80) -> sorting.Key:
    return (0, 0, 0, (number,), port)


@pytest.mark.parametrize(
    ("value", "signed"), [(0, 0), (2**31 - 1, 2**31 - 1), (2**31, -(2**31)), (2**32 - 1, -1)]
)
def test_signed(value, signed) -> None:
    assert sorting.signed(value) == signed


def test_the_difference_wraps() -> None:
    assert sorting.compare(v4(0xC0A80001), v4(0x09090909)) < 0
    assert sorting.compare(v4(0x09090909), v4(0x0A000001)) < 0
    assert sorting.compare(v4(0x0A000001, 81), v4(0x0A000001, 80)) > 0


def test_families_of_servers_meet_in_their_first_word() -> None:
    six = (0, 0, 0, (0xFD000200, 0, 0, 0x11), 80)
    assert sorting.compare(v4(0xC0A8C810), six) < 0
    assert sorting.compare(six, v4(0x0A000002)) < 0


@hypothesis.given(st.lists(st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 3))))
def test_without_wrapping_it_is_plain_sorting(pairs) -> None:
    keys = [v4(*pair) for pair in pairs]
    merged = [key for key, _ in sorting._merge_sort([(key, None) for key in keys])]
    assert merged == sorted(keys)
    assert sorting._is_plain(keys) or max(pairs)[0] - min(pairs)[0] >= 2**31


@hypothesis.given(st.lists(st.integers(0, 2**32 - 1)))
def test_nothing_is_lost_in_a_circle(numbers) -> None:
    keys = [v4(number) for number in numbers]
    merged = [key for key, _ in sorting._merge_sort([(key, None) for key in keys])]
    assert sorted(merged) == sorted(keys)
