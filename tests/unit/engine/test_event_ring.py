# SPDX-License-Identifier: Apache-2.0
"""Events are kept for a while, and what is lost is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xlvs.engine.event_ring import EventRing
from xlvs.wire.events import Kind


def ring(events, *, first=100, size=4):
    found = EventRing(first, size)
    for n in range(events):
        found.add(float(n), Kind.EDIT, f"event {n}")
    return found


def test_later_ones_in_order():
    assert [each.id for each in ring(3).after(100, 0.0)] == [101, 102]
    assert [each.id for each in ring(3).after(99, 0.0)] == [100, 101, 102]
    assert ring(3).after(102, 0.0) == []
    assert ring(0).after(99, 0.0) == []


def test_a_gap_is_told_first():
    gap, *rest = ring(10).after(102, 7.0)
    assert (gap.kind, gap.id, gap.at) == (Kind.GAP, 105, 7.0)
    assert [each.id for each in rest] == [106, 107, 108, 109]
    assert ring(10).after(105, 7.0) == rest


def test_ids_of_another_daemon_are_a_gap():
    assert ring(2).after(7, 0.0)[0].kind is Kind.GAP
    assert ring(2).after(102, 0.0)[0].kind is Kind.GAP  # the future
    assert ring(0).after(7, 0.0)[0].kind is Kind.GAP


@given(st.integers(0, 30), st.integers(1, 8), st.integers(90, 140))
def test_whoever_follows_misses_nothing_unless_told(events, size, after):
    found = ring(events, size=size)
    shown = found.after(after, 0.0)
    if shown and shown[0].kind is Kind.GAP:
        after = shown.pop(0).id
    assert [each.id for each in shown] == list(range(after + 1, found.next))
