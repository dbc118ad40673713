# SPDX-License-Identifier: Apache-2.0
"""Secrets of SYN cookies: directors with the same one come to the same keys."""

from __future__ import annotations

import pytest

from xlvs.engine.syn_secret import SLOT, drift, keys, offset, secret_of, slot

EPOCH = 1024
SECRET = b"0123456789abcdef"
BEGIN = 5000 * EPOCH * SLOT


def half(found: tuple[int, ...], at: float) -> tuple[int, ...]:
    """The key that packets of that time go by."""
    epoch = slot(at) // EPOCH & 1
    return found[2 * epoch : 2 * epoch + 2]


def test_directors_whose_clocks_differ_have_the_same_keys() -> None:
    for at in (BEGIN + 1, BEGIN + SLOT * EPOCH / 2, BEGIN + SLOT * EPOCH - 1):
        for other in (at - 2, at, at + 2):
            assert half(keys(SECRET, at, EPOCH), other) == half(keys(SECRET, other, EPOCH), other)


def test_each_epoch_and_each_secret_has_its_own() -> None:
    found = {
        half(keys(secret, BEGIN + n * EPOCH * SLOT, EPOCH), BEGIN + n * EPOCH * SLOT)
        for n in range(20)
        for secret in (SECRET, b"another one of 16")
    }
    assert len(found) == 40


def test_the_key_of_before_stays_for_a_while_and_the_next_comes_early() -> None:
    first, second = BEGIN, BEGIN + EPOCH * SLOT
    late = second - 1
    assert half(keys(SECRET, late, EPOCH), second) == half(keys(SECRET, second, EPOCH), second)
    early = second + 1
    assert half(keys(SECRET, early, EPOCH), first) == half(keys(SECRET, first, EPOCH), first)


@pytest.mark.parametrize("hz", [100, 250, 1000])
def test_ticks_with_the_offset_tell_the_slot(hz: int) -> None:
    wall = BEGIN + 12345.5
    for ticks in (0, 4294667296, 1 << 40):
        moved = (ticks + offset(wall, ticks, hz)) % (1 << 64)
        assert moved // (SLOT * hz) == slot(wall)


def test_clocks_that_drift_are_seen_in_both_directions() -> None:
    early, late = offset(BEGIN, 1000, 100), offset(BEGIN + 0.5, 1000, 100)
    assert drift(early, late) == drift(late, early) == 50
    assert drift(offset(0, 5, 100), offset(1, 5, 100)) == 100  # from below 0 to above
    assert drift(early, early) == 0


def test_a_short_secret_is_refused() -> None:
    assert secret_of(b" 0123456789abcdef\n", ValueError) == SECRET
    with pytest.raises(ValueError, match="16 bytes at least, not 15"):
        secret_of(b"0123456789abcde\n", ValueError)
