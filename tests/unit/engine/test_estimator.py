# SPDX-License-Identifier: Apache-2.0
"""The rates that the real IPVS showed (story-rate-estimator), from its arithmetic."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xlvs.engine import estimator
from xlvs.engine.counting import since, total, total_rates
from xlvs.engine.estimator import Estimator
from xlvs.wire.messages import Counters, Rates


def rows(*each):
    return np.array([[getattr(one, name) for name in estimator.FIELDS] for one in each], np.int64)


def began(*each):
    """An estimator whose ids begin at these counters."""
    found = Estimator()
    found.begin(range(len(each)), each)
    found.turn(dict.fromkeys(range(len(each)), True))
    return found


def rates(known, id_=0):
    (found,) = known.rates([id_])
    return found


def test_a_hundred_connections_then_silence():
    counters = Counters(connections=100, in_packets=100, in_bytes=4000)
    known = began(Counters())
    shown = []
    for _ in range(7):
        known.run(0, rows(counters))
        now = rates(known)
        shown.append((now.connections, now.in_packets, now.in_bytes))
    assert shown == [
        (12, 12, 500),
        (9, 9, 375),
        (7, 7, 281),
        (5, 5, 211),
        (4, 4, 158),
        (3, 3, 119),
        (2, 2, 89),
    ]
    assert list(known.last([0])) == [counters]


def test_what_was_counted_before_is_no_rate():
    known = began(Counters(in_packets=10**9))
    known.run(0, rows(Counters(in_packets=10**9)))
    assert rates(known) == Rates()


def test_zeroing_ends_the_rate_and_not_the_count():
    known = began(Counters())
    known.run(0, rows(Counters(in_packets=1000)))
    known.silence([0])
    assert rates(known) == Rates()
    known.run(0, rows(Counters(in_packets=1000)))
    assert rates(known) == Rates()


@given(st.integers(0, 10**12))
def test_a_steady_rate_is_reached_and_never_passed(rate):
    known, count = began(Counters()), 0
    for _ in range(200):
        count += 2 * rate
        known.run(0, rows(Counters(in_packets=count)))
        assert rates(known).in_packets <= rate
    assert rates(known).in_packets >= rate - 1


def test_what_is_stopped_takes_no_part_and_goes_on_from_there():
    known = began(Counters(), Counters())
    known.turn({0: False})
    known.run(0, rows(Counters(in_packets=80), Counters(in_packets=80)))
    assert (rates(known, 0), rates(known, 1)) == (Rates(), Rates(in_packets=10))
    known.turn({0: True})
    known.run(0, rows(Counters(in_packets=80), Counters(in_packets=80)))
    assert rates(known, 0) == Rates(in_packets=10)


@given(st.lists(st.tuples(*[st.integers(0, 2**40)] * 5), min_size=1, max_size=20), st.data())
def test_a_run_in_parts_is_a_run(numbers, data):
    """And every id is its own: the order of ids and where a part is cut say nothing."""
    each = [Counters(*row) for row in numbers]
    whole, parts = began(*each), began(*each)
    now = rows(*each) * 3
    whole.run(0, now)
    cut = data.draw(st.integers(0, len(each)))
    parts.run(cut, now[cut:])
    parts.run(0, now[:cut])
    ids = data.draw(st.permutations(range(len(each))))
    assert list(whole.rates(ids)) == list(parts.rates(ids))
    assert list(whole.last(ids)) == list(parts.last(ids))


def test_ids_that_nobody_told_of_have_nothing():
    known = began(Counters(connections=1))
    assert list(known.last([7])) == [Counters()]
    assert list(known.rates([7])) == [Rates()]
    assert known.reach == 1


def test_since_a_baseline():
    now = Counters(connections=5, in_packets=9, in_bytes=10)
    assert since(now, None) == now
    then = Counters(connections=2, in_packets=10)
    assert since(now, then) == Counters(connections=3, in_bytes=10)


def test_totals():
    assert total([Counters(in_bytes=1), Counters(in_bytes=2, connections=3)]) == Counters(
        connections=3, in_bytes=3
    )
    assert total_rates([Rates(out_packets=1), Rates(out_packets=5)]) == Rates(out_packets=6)
