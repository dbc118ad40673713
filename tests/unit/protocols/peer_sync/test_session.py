# SPDX-License-Identifier: Apache-2.0
"""Both ends against each other, through a line that the test is."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.protocols.synced import connection, connections

from xlvs.model import merging
from xlvs.model.synced import Synced, SyncedKey
from xlvs.protocols.peer_sync import handshake
from xlvs.protocols.peer_sync.frames import Type, Writer
from xlvs.protocols.peer_sync.problems import PeerError, Reason
from xlvs.protocols.peer_sync.receiver import Batch, Receiver
from xlvs.protocols.peer_sync.sender import HEARTBEAT, SILENCE, Phase, Sender

KEY = bytes(range(32))
A, B = b"a" * 16, b"b" * 16


@dataclass
class Line:
    """One session from ``sender`` to a receiver with the table ``there``."""

    sender: Sender
    receiver: Receiver
    there: dict[SyncedKey, Synced] = field(default_factory=dict)
    undone: list[Batch] = field(default_factory=list)
    slow: bool = False

    def pass_on(self, now: float) -> None:
        """Until nothing is under way."""
        while data := self.sender.output():
            for batch in self.receiver.received(data, now):
                self.undone.append(batch)
            if not self.slow:
                self.work()
            self.sender.received(self.receiver.output(), now)

    def work(self) -> None:
        """The receiver's table takes what came."""
        for batch in self.undone:
            for one in batch.connections:
                held = self.there.get(one.key)
                match merging.effect(held, one):
                    case merging.Effect.OPEN | merging.Effect.REPLACE:
                        self.there[one.key] = one
                    case merging.Effect.UPDATE:
                        assert held is not None
                        self.there[one.key] = merging.updated(held, one)
            self.receiver.done(batch)
        self.undone.clear()

    def bulk(self, table: Iterable[Synced], now: float) -> None:
        """All of the table, as fast as it is taken."""
        rest = list(table)
        while rest:
            room = self.sender.room()
            assert room, "the window does not open"
            self.sender.bulk(rest[:room], now)
            del rest[:room]
            self.pass_on(now)
        self.sender.end_bulk(now)
        self.pass_on(now)


def line(now: float = 100.0, key: bytes = KEY, window: int = 8192, queue: int = 1000) -> Line:
    sender = Sender(KEY, A, window=window, queue_max=queue)
    sender.connected(bytes(32), now)
    return Line(sender, Receiver(key, B, b"n" * 32, now))


def in_sync(table: Iterable[Synced] = (), **other: int) -> Line:
    one = line(**other)
    one.pass_on(100.0)
    one.bulk(table, 100.0)
    assert one.sender.phase is Phase.IN_SYNC
    assert one.receiver.in_sync
    return one


def table(count: int) -> list[Synced]:
    return [connection(1000 + i) for i in range(count)]


def test_the_whole_table_and_then_in_sync() -> None:
    one = line()
    one.pass_on(100.0)
    assert one.receiver.greeted
    assert (one.sender.phase, one.receiver.in_sync) == (Phase.BULK, False)
    one.bulk(table(3000), 100.0)
    assert one.sender.phase is Phase.IN_SYNC
    assert one.receiver.in_sync
    assert list(one.there.values()) == table(3000)
    assert one.receiver.status(100.0).of_bulk == 3000
    assert one.sender.status(100.0).behind == 0.0


def test_in_sync_only_when_the_table_has_taken_all() -> None:
    one = line()
    one.pass_on(100.0)
    one.slow = True
    one.sender.bulk(table(3), 100.0)
    one.sender.end_bulk(100.0)
    one.pass_on(100.0)
    assert (one.sender.phase, one.receiver.in_sync) == (Phase.CONFIRMING, False)
    one.work()
    assert one.receiver.in_sync
    one.sender.received(one.receiver.output(), 101.0)
    assert one.sender.phase is Phase.IN_SYNC


def test_changes_follow_also_those_of_a_single_packet() -> None:
    one = in_sync(table(2))
    half_open = connection(5, state=3, timeout=60.0)
    one.sender.offer([half_open], 101.0)
    one.pass_on(101.0)
    assert one.there[half_open.key] == half_open


def test_changes_during_the_bulk_are_not_lost_and_the_last_one_stays() -> None:
    one = line(window=16)
    one.pass_on(100.0)
    one.slow = True
    first = table(16)
    one.sender.bulk(first, 100.0)
    closing = first[3]._replace(state=7, timeout=60.0)
    for state in (4, 7):
        one.sender.offer([closing._replace(state=state)], 101.0)
    one.pass_on(101.0)
    one.slow = False
    one.work()
    one.sender.received(one.receiver.output(), 101.0)
    one.bulk([], 101.0)
    assert one.there[closing.key] == closing


def test_neither_the_table_nor_changes_starve_the_other() -> None:
    one = line(window=100)
    one.pass_on(100.0)
    one.slow = True
    one.sender.offer(table(500), 100.0)
    assert one.sender.room() == 100
    one.sender.bulk([connection(i) for i in range(100)], 100.0)
    assert one.sender.room() == 0
    assert one.sender.status(100.0).unconfirmed == 200


def test_lag_is_the_age_of_what_is_not_confirmed() -> None:
    one = in_sync()
    one.slow = True
    one.sender.offer([connection(1)], 100.5)
    one.pass_on(100.5)
    one.sender.offer([connection(2)], 101.5)
    one.pass_on(101.5)
    assert one.sender.behind(103.5) == 3.0
    one.sender.tick(103.5)  # its PING tells the receiver
    one.pass_on(103.5)
    assert one.receiver.status(104.0).behind == 3.5
    assert one.receiver.status(104.0).queued == 2
    one.work()
    one.sender.received(one.receiver.output(), 104.5)
    assert one.sender.behind(104.5) == 0.0


def test_what_waits_in_the_queue_grows_older() -> None:
    one = in_sync(window=1)
    one.slow = True
    one.sender.offer([connection(1)], 100.0)
    one.pass_on(100.0)
    one.sender.offer([connection(2, idle=1.0)], 100.0)
    one.work()
    one.slow = False
    one.sender.received(one.receiver.output(), 103.0)
    one.pass_on(103.0)
    assert one.there[connection(2).key].idle == 4.0


def test_a_slow_receiver_is_served_by_another_bulk() -> None:
    one = in_sync(window=10, queue=50)
    one.slow = True
    one.sender.offer(table(30), 101.0)
    assert one.sender.status(101.0).resyncs == 0
    one.sender.offer([connection(i) for i in range(100)], 101.0)
    status = one.sender.status(101.0)
    assert (status.resyncs, status.queued, status.phase) == (1, 0, Phase.BULK)
    assert status.behind is None
    one.pass_on(101.0)
    assert not one.receiver.in_sync
    one.slow = False
    one.work()
    one.sender.received(one.receiver.output(), 102.0)
    one.bulk(table(60), 102.0)
    assert one.receiver.in_sync
    assert set(one.there) >= {each.key for each in table(60)}


def test_too_much_during_the_bulk_means_another_one_after_it() -> None:
    one = line(window=10, queue=50)
    one.pass_on(100.0)
    one.slow = True
    one.sender.offer(table(80), 100.0)
    one.sender.offer(table(80), 100.0)
    generation = one.sender.generation
    assert one.sender.phase is Phase.BULK
    one.sender.end_bulk(100.0)
    assert (one.sender.phase, one.sender.generation) == (Phase.BULK, generation + 1)
    one.slow = False
    one.pass_on(100.0)
    assert not one.receiver.in_sync
    one.bulk(table(80), 100.0)
    assert one.receiver.in_sync
    assert one.sender.status(100.0).bulks == 2


def test_a_resync_when_changes_were_lost() -> None:
    one = in_sync(table(2))
    one.sender.resync(101.0)
    one.pass_on(101.0)
    assert not one.receiver.in_sync
    one.bulk(table(5), 101.0)
    assert one.receiver.in_sync
    assert len(one.there) == 5
    one.sender.disconnected()
    one.sender.resync(102.0)  # the next session begins with the table anyway
    assert one.sender.phase is Phase.AWAY


def test_many_changes_of_one_connection_take_one_place() -> None:
    one = in_sync(window=1, queue=2)
    one.slow = True
    for state in range(1, 9):
        one.sender.offer([connection(1), connection(2, state=state)], 101.0)
    assert one.sender.status(101.0).resyncs == 0
    assert one.sender.status(101.0).queued <= 2


def test_another_key_is_refused_on_both_ends() -> None:
    one = line(key=bytes(32))
    greeting = one.sender.output()
    one.receiver.received(greeting, 100.0)
    with pytest.raises(PeerError) as at_sender:
        one.sender.received(one.receiver.output(), 100.0)
    assert at_sender.value.reason is Reason.KEY
    with pytest.raises(PeerError, match="the peer does not have our key") as at_receiver:
        one.receiver.received(one.sender.output(), 100.0)
    assert at_receiver.value.reason is Reason.REFUSED
    assert not one.receiver.greeted


def test_who_cannot_prove_the_key_gets_nothing_in() -> None:
    one = line()
    one.receiver.received(one.sender.output(), 100.0)
    writer = Writer()
    with pytest.raises(PeerError) as raised:
        one.receiver.received(writer.frame(Type.PROOF, bytes(32)), 100.0)
    assert raised.value.reason is Reason.KEY
    assert b"does not have our key" in one.receiver.output()
    receiver = Receiver(KEY, B, b"n" * 32, 100.0)
    with pytest.raises(PeerError, match="ENTRIES during the greeting"):
        receiver.received(writer.frame(Type.ENTRIES, b"x"), 100.0)


def test_a_recorded_session_is_of_no_use_again() -> None:
    one = line()
    recorded = [one.sender.output()]
    one.receiver.received(recorded[0], 100.0)
    one.sender.received(one.receiver.output(), 100.0)
    one.sender.bulk(table(3), 100.0)
    recorded.append(one.sender.output())
    assert one.receiver.received(recorded[1], 100.0)
    again = Receiver(KEY, B, b"m" * 32, 200.0)  # it chose another number
    again.received(recorded[0], 200.0)
    with pytest.raises(PeerError) as raised:
        again.received(recorded[1], 200.0)
    assert raised.value.reason is Reason.KEY


def test_a_receivers_proof_is_no_senders() -> None:
    said = b"hello"
    answer = handshake.welcome(KEY, said, B, bytes(32))
    assert handshake.proof(KEY, said + answer) != answer[-handshake.PROOF :]
    keys = handshake.keys(KEY, said + answer)
    assert keys.client != keys.server


def test_another_version_is_told() -> None:
    one = line()
    data = bytearray(one.sender.output())
    data[5 + 4 : 5 + 6] = bytes((3, 9))
    with pytest.raises(PeerError, match="the peer speaks versions 3 to 9, we 2"):
        one.receiver.received(bytes(data), 100.0)
    with pytest.raises(PeerError, match="versions 3 to 9") as raised:
        one.sender.received(one.receiver.output(), 100.0)
    assert raised.value.reason is Reason.REFUSED


def test_a_director_does_not_sync_with_itself() -> None:
    sender = Sender(KEY, A)
    sender.connected(bytes(32), 0.0)
    with pytest.raises(PeerError, match="our own"):
        Receiver(KEY, A, bytes(32), 0.0).received(sender.output(), 0.0)


def test_a_short_key_is_an_error() -> None:
    with pytest.raises(ValueError, match="a key of 5 bytes, 32 are wanted"):
        Sender(b"short", A)
    with pytest.raises(ValueError, match="a key of 0 bytes"):
        Receiver(b"", A, bytes(32), 0.0)


def test_silence_ends_the_session_on_both_ends() -> None:
    one = in_sync()
    one.sender.tick(100.0 + HEARTBEAT)
    one.pass_on(100.0 + HEARTBEAT)
    assert one.sender.status(102.0).round_trip == 0.0
    assert one.receiver.deadline() == 100.0 + HEARTBEAT + SILENCE
    for end in (one.sender, one.receiver):
        with pytest.raises(PeerError) as raised:
            end.tick(100.0 + HEARTBEAT + SILENCE)
        assert raised.value.reason is Reason.SILENT


def test_without_a_session_nothing_is_kept_and_the_next_one_begins_anew() -> None:
    one = in_sync(table(2))
    one.sender.offer([connection(9)], 101.0)
    one.sender.disconnected(Reason.SILENT)
    one.sender.offer([connection(10)], 101.0)
    assert one.sender.output() == b""
    assert one.sender.status(101.0).queued == 0
    assert one.sender.deadline() is None
    again = Line(one.sender, Receiver(KEY, B, b"o" * 32, 102.0), one.there)
    one.sender.connected(b"2" * 32, 102.0)
    again.pass_on(102.0)
    again.bulk([*table(2), connection(9), connection(10)], 102.0)
    assert again.receiver.in_sync
    assert len(one.there) == 4
    assert one.sender.status(102.0).sessions == 2
    assert one.sender.status(102.0).ended == {"silent": 1}


def test_both_hold_the_same_connection_and_the_one_with_packets_is_right() -> None:
    """The cable was cut: A kept an old record, B forwards. Now each tells the other."""
    stale, live = connection(idle=30.0), connection(idle=0.5, state=4, timeout=120.0)
    at_a, at_b = {stale.key: stale}, {live.key: live}
    for there, table in ((at_b, at_a), (at_a, at_b)):
        one = line()
        one.there = there
        one.pass_on(100.0)
        one.bulk(table.values(), 100.0)
    assert at_a[live.key].state == at_b[live.key].state == 4


def test_a_peer_that_counts_wrongly_is_not_believed() -> None:
    one = line()
    one.pass_on(100.0)
    one.sender._sent += 1
    one.sender.end_bulk(100.0)
    with pytest.raises(PeerError, match="counts other connections"):
        one.receiver.received(one.sender.output(), 100.0)


@given(st.binary(max_size=200))
def test_any_bytes_at_the_greeting_are_refused(data: bytes) -> None:
    one = line()
    for end in (one.sender, one.receiver):
        with suppress(PeerError):
            end.received(data, 100.0)


@given(st.lists(st.lists(connections(ours=True), max_size=8), max_size=6), st.integers(1, 20))
def test_whatever_is_offered_arrives(changes: list[list[Synced]], window: int) -> None:
    one = in_sync(window=window)
    expected: dict[SyncedKey, Synced] = {}
    for some in changes:
        one.sender.offer(some, 100.0)
        for each in some:
            expected[each.key] = each
        one.pass_on(100.0)
    assert set(one.there) == {
        key
        for key in one.there.keys() | expected.keys()
        if key in one.there or merging.effect(None, expected[key]) is merging.Effect.OPEN
    }
    assert one.sender.behind(100.0) == 0.0
