# SPDX-License-Identifier: Apache-2.0
"""Rules with times; the others are replayed from the kernel (``tests/oracle/test_sync.py``)."""

from __future__ import annotations

from tests.unit.protocols.synced import connection

from xlvs.model.synced import Flag, TcpState
from xlvs.protocols.ipvs_sync.rules import NEW, Memory, Rules, Watch, needed


def test_the_default_sends_packet_3_and_every_50th_after_it() -> None:
    watch = Watch()
    sent = [n for n in range(1, 160) if watch.packet(connection(), n, 0.0)]
    assert sent == [3, 53, 103, 153]


def test_an_end_is_sent_at_once_and_once() -> None:
    watch = Watch()
    closing = connection(state=TcpState.CLOSE_WAIT, timeout=60.0)
    assert watch.packet(connection(), 1, 0.0) == []
    assert watch.packet(closing, 2, 1.0) == [closing]
    assert watch.packet(closing, 4, 2.0) == []


def test_half_open_is_never_sent() -> None:
    for state in (TcpState.SYN_RECV, TcpState.SYN_SENT, TcpState.LAST_ACK, TcpState.NONE):
        assert needed(connection(state=state), 3, NEW, Rules(), 0.0) is None


def test_a_refresh_comes_after_its_period_whatever_the_count() -> None:
    rules = Rules(3, 0, refresh_period=30.0)
    watch = Watch(rules)
    times = [t for t in range(200) if watch.packet(connection(), t + 1, float(t))]
    assert times == list(range(0, 200, 30))


def test_a_short_life_is_refreshed_by_half_but_not_within_ten_seconds() -> None:
    rules = Rules(3, 0, refresh_period=1000.0)
    for timeout, every in ((100.0, 50), (4.0, 10)):
        watch = Watch(rules)
        one = connection(timeout=timeout)
        assert [t for t in range(101) if watch.packet(one, 1, float(t))] == [*range(0, 101, every)]


def test_repetitions_come_an_eighth_of_the_period_apart() -> None:
    rules = Rules(3, 0, refresh_period=80.0, retries=2)
    watch = Watch(rules)
    times = [t for t in range(160) if watch.packet(connection(), 1, float(t))]
    # A repetition says when the connection ends, so the period begins anew.
    assert times == [0, 10, 20, 100, 110, 120]


def test_what_was_sent_is_remembered() -> None:
    memory = needed(connection(), 3, NEW, Rules(), 5.0)
    assert memory == Memory(TcpState.ESTABLISHED, 905.0, 0)


def test_a_forgotten_connection_is_a_new_one() -> None:
    watch = Watch()
    closing = connection(state=TcpState.CLOSE)
    assert watch.packet(closing, 1, 0.0)
    assert not watch.packet(closing, 2, 0.0)
    watch.forget(closing.key)
    assert watch.packet(closing, 2, 0.0)


def test_a_template_that_stays_is_sent() -> None:
    watch = Watch(Rules(3, 0))
    template = connection(0, flags=int(Flag.TEMPLATE), timeout=60.0)
    assert watch.kept(template, 1.0) == [template]
