# SPDX-License-Identifier: Apache-2.0
"""When a service with SYN proxy auto is under attack, and when no more."""

from __future__ import annotations

from ipaddress import IPv4Address

from xlvs.engine.syn_attack import QUIET, Asked, Seen, look
from xlvs.model.service import Protocol, ServiceKey

KEY = ServiceKey(protocol=Protocol.TCP, address=IPv4Address("10.0.0.1"), port=80)


class Play:
    """Seconds, with so many SYNs and so many clients that were there."""

    def __init__(self, threshold: int = 100) -> None:
        self.asked = Asked(0, 0, threshold)
        self.seen = look({}, {KEY: self.asked}, 1)

    def second(self, syns: int, proved: int = 0) -> Seen:
        now = self.asked
        self.asked = Asked(now.syns + syns, now.proved + proved, now.threshold)
        self.seen = look(self.seen, {KEY: self.asked}, 1)
        return self.seen[KEY]


def test_many_clients_are_no_attack() -> None:
    assert not Play().second(100_000, 99_950).attacked


def test_more_than_the_threshold_is_one_at_once() -> None:
    play = Play()
    assert not play.second(100).attacked
    found = play.second(101)
    assert (found.attacked, found.rate) == (True, 101)


def test_it_is_over_when_it_was_quiet_for_long_enough() -> None:
    play = Play()
    play.second(200)
    for _ in range(QUIET - 1):
        assert play.second(50).attacked
    assert play.second(51).attacked, "not few enough: it begins anew"
    for _ in range(QUIET - 1):
        assert play.second(0).attacked
    assert not play.second(0).attacked


def test_who_was_there_late_counts_as_none_too_many() -> None:
    play = Play()
    play.second(60)
    assert play.second(0, 60).rate == 0


def test_counters_that_begin_anew_say_nothing() -> None:
    play = Play()
    play.second(5000)
    play.asked = Asked(0, 0, 100)
    assert play.second(7).attacked, "and nothing ends by it"
    assert look(play.seen, {}, 1) == {}
