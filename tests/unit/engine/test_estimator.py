# SPDX-License-Identifier: Apache-2.0
"""The rates that the real IPVS showed (story-rate-estimator), from its arithmetic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xlvs.engine import estimator
from xlvs.engine.counting import since, total, total_rates
from xlvs.engine.estimator import Estimate
from xlvs.wire.messages import Counters, Rates


def test_a_hundred_connections_then_silence():
    counters = Counters(connections=100, in_packets=100, in_bytes=4000)
    estimate = Estimate()
    shown = []
    for _ in range(7):
        estimate = estimator.run(estimate, counters)
        rates = estimator.rates(estimate)
        shown.append((rates.connections, rates.in_packets, rates.in_bytes))
    assert shown == [
        (12, 12, 500),
        (9, 9, 375),
        (7, 7, 281),
        (5, 5, 211),
        (4, 4, 158),
        (3, 3, 119),
        (2, 2, 89),
    ]
    assert estimate.last == counters


def test_what_was_counted_before_is_no_rate():
    estimate = estimator.run(
        estimator.begin(Counters(in_packets=10**9)), Counters(in_packets=10**9)
    )
    assert estimator.rates(estimate) == Rates()


def test_zeroing_ends_the_rate_and_not_the_count():
    estimate = estimator.run(Estimate(), Counters(in_packets=1000))
    silent = estimator.silenced(estimate)
    assert estimator.rates(silent) == Rates()
    assert estimator.rates(estimator.run(silent, Counters(in_packets=1000))) == Rates()


@given(st.integers(0, 10**12))
def test_a_steady_rate_is_reached_and_never_passed(rate):
    estimate, count = Estimate(), 0
    for _ in range(200):
        count += 2 * rate
        estimate = estimator.run(estimate, Counters(in_packets=count))
        assert estimator.rates(estimate).in_packets <= rate
    assert estimator.rates(estimate).in_packets >= rate - 1


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
