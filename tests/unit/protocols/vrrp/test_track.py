# SPDX-License-Identifier: Apache-2.0
"""Weights as keepalived's manual has them."""

from __future__ import annotations

import pytest

from xlvs.protocols.vrrp.track import Dampener, Kind, Watch, effective, judge

S = Kind.SCRIPT


@pytest.mark.parametrize(
    ("weight", "reverse", "up", "adjustment", "faults"),
    [
        (0, False, 1, 0, 0),
        (0, False, 0, 0, 1),
        (0, True, 1, 0, 1),
        (0, True, 0, 0, 0),
        (20, False, 1, 20, 0),
        (20, False, 0, 0, 0),
        (-20, False, 1, 0, 0),
        (-20, False, 0, -20, 0),
        (20, True, 1, -20, 0),
        (20, True, 0, 0, 0),
        (-20, True, 0, 20, 0),
        (-20, True, 1, 0, 0),
    ],
)
def test_weights(weight, reverse, up, adjustment, faults):
    verdict = judge([Watch(S, "x", weight, reverse)], {(S, "x"): up})
    assert (verdict.adjustment, len(verdict.faults)) == (adjustment, faults)


@pytest.mark.parametrize(
    ("weight", "number", "adjustment", "faults"),
    [
        (0, 0, 0, 0),
        (0, 3, 0, 1),
        (1, -60, -60, 0),
        (2, 10, 20, 0),
        (1, -253, -253, 0),
        (1, -254, 0, 1),
        (-1, 254, 0, 1),
    ],
)
def test_files(weight, number, adjustment, faults):
    verdict = judge([Watch(Kind.FILE, "x", weight)], {(Kind.FILE, "x"): number})
    assert (verdict.adjustment, len(verdict.faults)) == (adjustment, faults)


def test_what_is_not_yet_known_says_nothing_but_a_missing_interface_is_down():
    verdict = judge([Watch(S, "x"), Watch(Kind.INTERFACE, "eth9")], {})
    assert verdict.faults == ["interface eth9 is down"]


@pytest.mark.parametrize(
    ("base", "adjustment", "expected"),
    [(100, 5, 105), (100, -100, 1), (250, 100, 254), (255, -200, 255)],
)
def test_effective_priority(base, adjustment, expected):
    assert effective(base, adjustment) == expected


def test_rise_and_fall():
    dampener = Dampener(rise=2, fall=3)
    believed = []
    for success in (True, False, False, True, False, False, False, True, False, True, True):
        dampener.result(success=success)
        believed.append(dampener.up)
    assert believed == [True] * 6 + [False] * 4 + [True]
