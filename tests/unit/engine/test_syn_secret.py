# SPDX-License-Identifier: Apache-2.0
"""Secrets of SYN cookies: directors with the same one come to the same keys."""

from __future__ import annotations

from itertools import pairwise

import pytest

from xlvs.engine.syn_secret import (
    KEPT,
    SLOT,
    Secrets,
    drift,
    follow,
    in_force,
    keys,
    offset,
    slot,
)

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


OTHER = b"another one of 16"
THIRD = b"and a third of 16"


def test_cookies_of_the_secret_of_before_are_good_for_a_while() -> None:
    old = follow(None, (SECRET,), 100.0)
    assert old == Secrets(SECRET)
    new = follow(old, (OTHER,), 200.0)
    assert in_force(new, 200.0 + KEPT - 1) == new == Secrets(OTHER, SECRET, 200.0 + KEPT)
    assert in_force(new, 200.0 + KEPT) == Secrets(OTHER)
    assert KEPT > 2 * SLOT, "a cookie lives for two slots"


def test_a_file_that_is_read_again_does_not_begin_anew() -> None:
    new = follow(follow(None, (SECRET,), 100.0), (OTHER,), 200.0)
    assert follow(new, (OTHER,), 250.0) == new
    assert follow(in_force(new, 900.0), (OTHER,), 900.0) == Secrets(OTHER)


def test_directors_in_three_steps_understand_one_another_all_the_while() -> None:
    steps = [(SECRET,), (SECRET, OTHER), (OTHER, SECRET), (OTHER,)]
    seen: list[Secrets] = []
    for number, each in enumerate(steps):
        before = seen[-1] if seen else None
        seen.append(in_force(follow(before, each, 1000.0 * number), 1000.0 * number))
    for here, there in pairwise(seen):
        assert here.made in {there.made, there.other}
        assert there.made in {here.made, here.other}
    # What was removed just now was what others may have made cookies of.
    assert seen[-1] == Secrets(OTHER, SECRET, 3000.0 + KEPT)
    assert in_force(seen[1], 1e9) == seen[1], "as long as the file says it"


def test_two_changes_in_a_row() -> None:
    first = follow(follow(None, (SECRET,), 0.0), (OTHER,), 10.0)
    assert follow(first, (THIRD,), 20.0) == Secrets(THIRD, OTHER, 20.0 + KEPT)
