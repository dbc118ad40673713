# SPDX-License-Identifier: Apache-2.0
"""When messages leave, and what is in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.protocols.synced import connection, connections

from xlvs.model.synced import Forward, Synced
from xlvs.protocols.ipvs_sync import codec
from xlvs.protocols.ipvs_sync.master import FLUSH_AFTER, WAKE_DELAY, Master

FULL = (1472 - 8) // 36


def drain(master: Master, now: float) -> list[bytes]:
    found = []
    while (message := master.next(now)) is not None:
        found.append(message.data)
    return found


def many(count: int) -> list[Synced]:
    return [connection(port) for port in range(1000, 1000 + count)]


def test_a_message_that_is_not_full_goes_two_seconds_after_its_first_entry() -> None:
    master = Master(7)
    assert master.deadline() is None
    master.offer(many(1), 10.0)
    master.offer(many(2), 11.0)
    assert master.deadline() == 10.0 + FLUSH_AFTER
    assert drain(master, 11.9) == []
    [message] = drain(master, 12.0)
    assert len(codec.decode(message, 7).entries) == 3
    assert master.deadline() is None


def test_a_full_message_waits_for_others_20_ms() -> None:
    master = Master(7)
    master.offer(many(FULL + 1), 10.0)
    assert master.deadline() == pytest.approx(10.0 + WAKE_DELAY)
    assert drain(master, 10.01) == []
    [message] = drain(master, 10.0 + WAKE_DELAY)
    assert len(message) == 8 + 36 * FULL
    assert master.queued == 1  # the last one has its two seconds


def test_eight_full_messages_go_at_once() -> None:
    master = Master(7)
    master.offer(many(FULL * 8 + 1), 10.0)
    assert master.deadline() == 10.0
    assert len(drain(master, 10.0)) == 8


def test_with_length_1_each_connection_has_its_message() -> None:
    master = Master(7, 1)
    master.offer(many(3), 10.0)
    assert [len(message) for message in drain(master, 20.0)] == [44, 44, 44]


def test_a_message_has_255_connections_at_most() -> None:
    master = Master(7, 65507)
    master.offer(many(300), 10.0)
    master.flush(10.0)
    assert [len(codec.decode(one, 7).entries) for one in drain(master, 10.0)] == [255, 45]


def test_what_the_socket_did_not_take_comes_again_first() -> None:
    master = Master(7, 44)
    master.offer(many(2), 10.0)
    first = master.next(20.0)
    assert first is not None
    master.unsent(first)
    assert master.sent.messages == 0
    assert master.next(20.0) == first
    assert master.sent == (1, 1, 44, 0, 0)


def test_a_queue_that_is_too_long_drops_the_newest() -> None:
    master = Master(7, 44, queue_max=2)
    master.offer(many(5), 10.0)
    master.flush(10.0)
    ports = [codec.decode(one, 7).entries[0].client_port for one in drain(master, 10.0)]
    assert ports == [1000, 1001]
    assert master.sent.dropped == 3


def test_what_cannot_be_said_is_counted() -> None:
    master = Master(7)
    master.offer([connection(flags=int(Forward.FULLNAT)), connection()], 10.0)
    assert master.sent.unencodable == 1
    assert len(drain(master, 20.0)) == 1


def test_ports_share_the_connections_and_each_keeps_its_own() -> None:
    master = Master(7, ports=4)
    for _ in range(3):
        master.offer(many(200), 10.0)
    master.flush(10.0)
    of_port: dict[int, set[int]] = {}
    while (message := master.next(10.0)) is not None:
        ports = {one.client_port for one in codec.decode(message.data, 7).entries}
        of_port.setdefault(message.port, set()).update(ports)
    assert sorted(of_port) == [0, 1, 2, 3]
    assert sum(len(ports) for ports in of_port.values()) == 200
    assert min(len(ports) for ports in of_port.values()) > 20


@pytest.mark.parametrize("ports", [0, 3, 128, -1])
def test_ports_are_a_power_of_two(ports: int) -> None:
    with pytest.raises(ValueError, match="a power of two up to 64"):
        Master(7, ports=ports)


@given(st.lists(connections(), max_size=60), st.integers(1, 3000), st.sampled_from([1, 2, 8]))
def test_all_arrives_in_order(some: list[Synced], length: int, ports: int) -> None:
    master = Master(7, length, ports=ports)
    master.offer(some, 1.0)
    master.flush(1.0)
    found: dict[int, list[Synced]] = {}
    while (message := master.next(1.0)) is not None:
        decoded = codec.decode(message.data, 7)
        assert not decoded.faults
        assert len(message.data) <= length or len(decoded.entries) == 1
        found.setdefault(message.port, []).extend(decoded.entries)
    got = [one for port in found.values() for one in port]
    assert sorted(got, key=repr) == sorted(some, key=repr)
    if ports == 1:
        assert got == some
    assert master.deadline() is None
