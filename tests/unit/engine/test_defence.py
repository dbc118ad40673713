# SPDX-License-Identifier: Apache-2.0
"""The defence's modes, as the kernel's own changed and acted."""

from __future__ import annotations

from itertools import pairwise

import pytest
from tests.oracle.facts import load

from xlvs.engine.defence import MODES, Defence, automatic, defence

RECORDED_PAGES = 370_000
"""About what the recorded machine had free: between its thresholds."""


def modes(mode, **more):
    return {**dict.fromkeys(MODES, (mode,)), **{key: (value,) for key, value in more.items()}}


def shown(values, available):
    now = {name: values[name][0] for name in MODES}
    now.update(defence(values, available).shown)
    return {name: str(mode) for name, mode in now.items()}


def test_the_modes_that_the_kernel_shows():
    steps = load("settings/settings")["defence"]
    assert len(steps) == 32
    for (start, first), (_, then) in zip(steps[::2], steps[1::2], strict=True):
        mode = int(start[1])
        for recorded in (first, then):
            values = modes(mode, amemthresh=int(recorded["amemthresh"]))
            expected = {name: recorded[name] for name in MODES}
            assert shown(values, RECORDED_PAGES) == expected, start


@pytest.mark.parametrize(
    ("mode", "available", "expected"),
    [
        (0, 0, Defence()),
        (1, 1024, Defence()),
        (2, 1024, Defence(shown=tuple((name, 1) for name in MODES))),
        (1, 1000, Defence(1024 // 24, 1, 1, tuple((name, 2) for name in MODES))),
        (2, 1023, Defence(1024, 1, 1)),
        (1, 0, Defence(1, 1, 1, tuple((name, 2) for name in MODES))),
        (3, 10**9, Defence(10, 1, 1)),
        (3, 0, Defence(10, 1, 1)),
    ],
)
def test_what_each_mode_does(mode, available, expected):
    assert defence(modes(mode), available) == expected


@pytest.mark.parametrize(("asked", "rate"), [(0, 0), (1, 1), (25, 25), (-7, 1)])
def test_the_rate_of_always(asked, rate):
    assert defence(modes(3, am_droprate=asked), 0).drop_rate == rate


def test_a_threshold_below_nothing_is_never_met():
    assert defence(modes(1, amemthresh=-5), 0) == Defence()
    assert defence(modes(1, amemthresh=0), 0) == Defence()


def test_only_automatic_modes_need_to_know_the_memory():
    assert [automatic(modes(mode)) for mode in (0, 1, 2, 3)] == [False, True, True, False]
    assert not automatic({})


@pytest.mark.parametrize("row", load("settings/drop_packet")["rows"], ids=str)
def test_the_kernels_rate(row):
    values = {name: (row[name],) for name in ("drop_packet", "amemthresh", "am_droprate")}
    found = defence(values, row["available"])
    assert dict(found.shown).get("drop_packet", row["drop_packet"]) == row["shown"]
    dropped = [at for at, fate in enumerate(row["datagrams"]) if fate == "x"]
    if found.drop_rate == 0:
        assert not dropped
        return
    assert dropped
    assert all(b - a == found.drop_rate for a, b in pairwise(dropped))
    # None is missed before the first or after the last one.
    assert dropped[0] < max(found.drop_rate, 3)
    assert len(row["datagrams"]) - dropped[-1] <= found.drop_rate
