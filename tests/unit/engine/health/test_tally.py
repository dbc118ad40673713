# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from xlvs.engine.health.outcome import Heard
from xlvs.engine.health.tally import Result, Tally


def test_results_are_counted_by_kind():
    tally = Tally()
    tally.count("TCP_CHECK", Heard(ok=True), 0.002)
    tally.count("TCP_CHECK", Heard(ok=False, cause="refused"), 0.003)
    tally.count("HTTP_GET", Heard(ok=True), 0.1)
    assert tally.results == {
        ("TCP_CHECK", Result.OK): 1,
        ("TCP_CHECK", Result.FAILED): 1,
        ("HTTP_GET", Result.OK): 1,
    }
    *_, (_, count) = tally.seconds["TCP_CHECK"].cumulative()
    assert count == 2


def test_what_could_not_be_made_took_no_time():
    tally = Tally()
    tally.count("PING_CHECK", Heard(ok=False, cause="no right", ours=True), 0.0)
    assert tally.results == {("PING_CHECK", Result.NOT_MADE): 1}
    *_, (_, count) = tally.seconds["PING_CHECK"].cumulative()
    assert count == 0
