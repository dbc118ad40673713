# SPDX-License-Identifier: Apache-2.0
"""Counting connections, and who has most."""

from __future__ import annotations

from collections import Counter

import hypothesis.strategies as st
from hypothesis import given
from tests.unit.datapath_plan.lines import HZ, LAYOUT, NOW, VIP, entry

from xlvs.datapath.places import Shape, parts
from xlvs.datapath.records import Entry4, Line4
from xlvs.datapath.tally import Tally

SHAPE = Shape.of(LAYOUT, v6=False)


def add(tally, *found, now=NOW):
    lines = [Line4(way=(place, Entry4())) for place in found]
    for part in parts(memoryview(b"".join(map(LAYOUT.pack, lines))), SHAPE):
        tally.add(part, now)


def of(client, destination=3, **more):
    return Entry4(entry(destination=destination, **more), client, VIP, 30000, 80)


def test_the_sum_alone():
    tally = Tally()
    add(tally, of(1), of(1), of(2), of(3, expires=NOW), of(3, expires=NOW - 1))
    assert tally.connections == 3
    assert tally.top(10, str) == []


def test_by_client_and_by_destination():
    tally = Tally("client")
    add(tally, of(1), of(1), of(2), of(2, expires=NOW))
    assert tally.top(1, lambda whose: whose) == [(bytes([0, 0, 0, 1]), 2)]
    assert tally.connections == 3
    tally = Tally("destination")
    add(tally, of(1, 7), of(2, 7), of(3, 8), of(4, 9))
    assert tally.top(10, lambda id_: "one" if id_ == 7 else "others") == [("one", 2), ("others", 2)]


@given(st.lists(st.lists(st.integers(0, 40).map(lambda n: n * n // 20), max_size=30), max_size=30))
def test_bounded_memory_and_a_bounded_error(rounds):
    tally, exact = Tally("client", counters=8), Counter()
    for clients in rounds:
        add(tally, *map(of, clients))
        exact.update(clients)
    assert tally.connections == exact.total()
    assert len(tally.counts) <= 16
    for client, count in exact.items():
        seen = tally.counts[client.to_bytes(4, "big")]
        assert count - tally.lost <= seen <= count
    # What is lost was lost by nine clients at a time.
    assert tally.lost * 9 <= exact.total()


def test_the_time_goes_round():
    tally = Tally()
    add(tally, of(1, expires=HZ), now=0xFFFFFFFF)
    assert tally.connections == 1
