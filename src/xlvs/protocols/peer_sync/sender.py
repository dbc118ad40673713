# SPDX-License-Identifier: Apache-2.0
"""The sending end: the whole table first, then what changes, no faster than the peer takes it.

The caller makes the TCP connection and tells ``connected()``, ``received()``, ``disconnected()``;
after each of these, after ``offer()`` and at ``deadline()`` it sends what ``output()`` gives. While
``room()`` is above 0 it reads that much of its table and hands it to ``bulk()``, at the end
``end_bulk()``; another ``generation`` means: from the beginning.

What changes meanwhile waits in a queue with one place for each connection. If that is
full, it is emptied, and the table is sent once more: then nothing is missing either.
"""

from __future__ import annotations

import struct
from collections import Counter, deque
from collections.abc import Iterable
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from xlvs.model.synced import Synced, SyncedKey
from xlvs.protocols.peer_sync import entries, handshake
from xlvs.protocols.peer_sync.frames import PAYLOAD_MAX, Reader, Type, Writer
from xlvs.protocols.peer_sync.problems import PeerError, Reason

QUEUE_MAX = 131_072
"""Connections that wait."""
WINDOW = 8_192
"""Connections on their way, sent and not confirmed: so many of the table, so many changes.

Neither can starve the other.
"""
BATCH = 512
"""Connections that are put into frames at once."""
HEARTBEAT = 1.0
"""Seconds between two words of life."""
SILENCE = 4.0
"""Seconds without any word after which the peer is taken for dead."""

_COUNT = struct.Struct("!Q")
_ACK = struct.Struct("!Qd")
_PING = struct.Struct("!dII")
_U32 = 0xFFFFFFFF


class Phase(StrEnum):
    """How far the session is."""

    AWAY = "away"
    GREETING = "greeting"
    BULK = "bulk"
    CONFIRMING = "confirming"
    """All was sent, not all is confirmed."""
    IN_SYNC = "in_sync"


class Status(NamedTuple):
    """``behind``: seconds that the peer's knowledge is old; None: it has no table yet."""

    phase: Phase
    behind: float | None
    queued: int
    unconfirmed: int
    sent: int
    bulks: int
    resyncs: int
    sessions: int
    round_trip: float | None
    ended: dict[str, int]
    """Sessions that ended, by reason."""


class _Frame(NamedTuple):
    """One on its way."""

    upto: int  # number of its last connection
    size: int  # connections
    bulk: bool
    since: float  # when the oldest of its connections was queued


class _Waiting(NamedTuple):
    connection: Synced
    since: float  # when it was as it says
    first: float  # when it was queued, perhaps as something else


class Sender:
    """One peer, for good: sessions come and go."""

    def __init__(
        self, key: bytes, node: bytes, *, queue_max: int = QUEUE_MAX, window: int = WINDOW
    ) -> None:
        if len(key) < handshake.KEY_MIN:
            raise ValueError(f"a key of {len(key)} bytes, {handshake.KEY_MIN} are wanted")
        self._key = key
        self._node = node
        self._queue_max = queue_max
        self._window = window
        self.phase = Phase.AWAY
        self.generation = 0
        """Grows with each bulk transfer that begins."""
        self.ended: Counter[Reason] = Counter()
        self._sessions = 0
        self._resyncs = 0
        self._round_trip: float | None = None
        self._total = 0
        self._reset()

    def _reset(self) -> None:
        self._writer = Writer()
        self._reader = Reader()
        self._out: list[bytes] = []
        self._said = b""
        self._queue: dict[SyncedKey, _Waiting] = {}
        self._on_way: deque[_Frame] = deque()
        self._bulk_on_way = 0
        self._sent = 0
        self._confirmed = 0
        self._again = False
        self._end_at: int | None = None
        self._heard = 0.0
        self._ping_at = 0.0

    # ---- the session ---------------------------------------------------------

    def connected(self, nonce: bytes, now: float) -> None:
        """The TCP connection is there. ``nonce``: ``handshake.NONCE`` random bytes."""
        self._reset()
        self._sessions += 1
        self._heard = now
        self.phase = Phase.GREETING
        self._said = handshake.hello(self._node, nonce)
        self._out.append(self._writer.frame(Type.HELLO, self._said))

    def disconnected(self, reason: Reason = Reason.CLOSED) -> None:
        """It is gone. What waits is forgotten: the next session begins with the whole table."""
        self.ended[reason] += 1
        self._reset()
        self.phase = Phase.AWAY

    def received(self, data: bytes, now: float) -> None:
        """Bytes of the peer. Raises ``PeerError``: the session is over.

        The last words of ``output()`` then say why, if the peer may know.
        """
        self._reader.feed(data)
        try:
            while (frame := self._reader.next()) is not None:
                self._heard = now
                self._frame(*frame, now)
        except PeerError as error:
            if self.phase == Phase.GREETING:
                self._out.append(self._writer.frame(Type.REFUSED, handshake.refused(error)))
            raise

    def _frame(self, kind: Type, payload: bytes, now: float) -> None:
        if kind == Type.REFUSED:
            raise handshake.read_refused(payload)
        if self.phase == Phase.GREETING and kind == Type.WELCOME:
            handshake.read_welcome(self._key, self._said, payload, self._node)
            self._said += payload
            said = self._said
            self._out.append(self._writer.frame(Type.PROOF, handshake.proof(self._key, said)))
            self._writer.key, self._reader.key = handshake.keys(self._key, said)
            self._begin_bulk(now)
        elif self.phase not in {Phase.AWAY, Phase.GREETING} and kind == Type.ACK:
            if len(payload) != _ACK.size:
                raise PeerError(Reason.FRAME, f"an ACK of {len(payload)} bytes")
            number, echo = _ACK.unpack(payload)
            self._confirm(number, echo, now)
        else:
            raise PeerError(Reason.FRAME, f"{kind.name} while {self.phase}")

    def _confirm(self, number: int, echo: float, now: float) -> None:
        if not self._confirmed <= number <= self._sent:
            text = f"{number} confirmed, {self._sent} were sent"
            raise PeerError(Reason.FRAME, text)
        self._confirmed = number
        while self._on_way and self._on_way[0].upto <= number:
            frame = self._on_way.popleft()
            self._bulk_on_way -= frame.size if frame.bulk else 0
        if 0 < echo <= now:
            self._round_trip = now - echo
        if self.phase == Phase.CONFIRMING and number == self._end_at and echo < 0:
            self.phase = Phase.IN_SYNC
        self._pump(now)

    # ---- the table ------------------------------------------------------------

    def _begin_bulk(self, now: float) -> None:
        self.generation += 1
        self.phase = Phase.BULK
        self._again = False
        self._end_at = None
        self._ping_at = now + HEARTBEAT
        self._out.append(self._writer.frame(Type.BULK))

    def room(self) -> int:
        """Connections of the table that may be given now; 0: nothing is wanted."""
        if self.phase != Phase.BULK:
            return 0
        return max(0, min(BATCH, self._window - self._bulk_on_way))

    def bulk(self, connections: Iterable[Synced], now: float) -> None:
        """A part of the table, as it is now."""
        if self.phase == Phase.BULK:
            self._send([(entries.encode(one), now) for one in connections], bulk=True)
            self._pump(now)

    def end_bulk(self, now: float) -> None:
        """That was all of the table."""
        if self.phase != Phase.BULK:
            return
        self.phase = Phase.CONFIRMING
        self._end_at = self._sent
        self._out.append(self._writer.frame(Type.END, _COUNT.pack(self._sent)))
        if self._again:
            self._begin_bulk(now)

    # ---- what changes ----------------------------------------------------------

    def offer(self, connections: Iterable[Synced], now: float) -> None:
        """Connections that began or changed. Without a session nothing need be kept."""
        if self.phase in {Phase.AWAY, Phase.GREETING}:
            return
        queue = self._queue
        for connection in connections:
            key = connection.key
            before = queue.get(key)
            first = now if before is None else before.first
            queue[key] = _Waiting(connection, now, first)
        if len(queue) > self._queue_max:
            self.resync(now)
        self._pump(now)

    def resync(self, now: float) -> None:
        """Changes were lost: the table is sent once more, and brings them all."""
        if self.phase in {Phase.AWAY, Phase.GREETING}:
            return
        self._queue.clear()
        self._resyncs += 1
        if self.phase == Phase.BULK:
            self._again = True
        else:
            self._begin_bulk(now)

    def _pump(self, now: float) -> None:
        """From the queue into frames, as far as the window goes."""
        while self._queue:
            changes = self._sent - self._confirmed - self._bulk_on_way
            room = min(BATCH, self._window - changes)
            if room <= 0:
                return
            waiting = [self._queue.pop(key) for key in list(islice(self._queue, room))]
            self._send(
                [(entries.encode(one.connection, now - one.since), one.first) for one in waiting]
            )

    def _send(self, encoded: list[tuple[bytes, float]], *, bulk: bool = False) -> None:
        at = 0
        for payload, count in entries.frames((data for data, _ in encoded), PAYLOAD_MAX):
            since = min(since for _, since in encoded[at : at + count])
            at += count
            self._sent += count
            self._total += count
            self._bulk_on_way += count if bulk else 0
            self._on_way.append(_Frame(self._sent, count, bulk, since))
            self._out.append(self._writer.frame(Type.ENTRIES, payload))

    # ---- time -------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """At ``deadline()``. Raises ``PeerError`` if the peer is silent."""
        if self.phase == Phase.AWAY:
            return
        if now >= self._heard + SILENCE:
            raise PeerError(Reason.SILENT, f"nothing was heard for {SILENCE:g} s")
        if self.phase != Phase.GREETING and now >= self._ping_at:
            self._ping_at = now + HEARTBEAT
            behind = self.behind(now)
            milliseconds = _U32 if behind is None else min(int(behind * 1000), _U32 - 1)
            queued = min(len(self._queue) + self._sent - self._confirmed, _U32)
            self._out.append(self._writer.frame(Type.PING, _PING.pack(now, queued, milliseconds)))

    def deadline(self) -> float | None:
        """When ``tick()`` has something to do."""
        if self.phase == Phase.AWAY:
            return None
        silence = self._heard + SILENCE
        return silence if self.phase == Phase.GREETING else min(silence, self._ping_at)

    def output(self) -> bytes:
        """What is to be written to the TCP connection."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def behind(self, now: float) -> float | None:
        """Seconds since the oldest change that is not confirmed; 0.0: the peer has them all."""
        if self.phase != Phase.IN_SYNC:
            return None
        since = [self._on_way[0].since] if self._on_way else []
        since += [one.first for one in islice(self._queue.values(), 1)]
        return max(0.0, now - min(since)) if since else 0.0

    def status(self, now: float) -> Status:
        """For an operator."""
        return Status(
            phase=self.phase,
            behind=self.behind(now),
            queued=len(self._queue),
            unconfirmed=self._sent - self._confirmed,
            sent=self._total,
            bulks=self.generation,
            resyncs=self._resyncs,
            sessions=self._sessions,
            round_trip=self._round_trip,
            ended={str(reason): count for reason, count in self.ended.items()},
        )
