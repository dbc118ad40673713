# SPDX-License-Identifier: Apache-2.0
"""The receiving end of one session: frames in, connections and confirmations out.

The caller hands each batch to the table and then tells ``done()``: a slow table thus
slows the sender down.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from xlvs.model.synced import Synced
from xlvs.protocols.peer_sync import entries, handshake
from xlvs.protocols.peer_sync.frames import Reader, Type, Writer
from xlvs.protocols.peer_sync.problems import PeerError, Reason
from xlvs.protocols.peer_sync.sender import SILENCE

_ACK = struct.Struct("!Qd")
_PING = struct.Struct("!dII")
_COUNT = struct.Struct("!Q")
_NEVER = 0xFFFFFFFF
_OF_END = -1.0  # in place of a PING's time: this ACK says that the whole table is here


class Batch(NamedTuple):
    """Connections, in order. ``bulk``: of the whole table; ``last``: now all of it came."""

    connections: list[Synced]
    bulk: bool
    last: bool = False


class Status(NamedTuple):
    """``behind``: seconds that what we know of the peer is old; None: not the whole table yet."""

    greeted: bool
    in_sync: bool
    behind: float | None
    queued: int
    """Connections that wait at the peer, as it last said."""
    received: int
    of_bulk: int
    bulks: int


class Receiver:
    """The end of one TCP connection that a peer made."""

    def __init__(self, key: bytes, node: bytes, nonce: bytes, now: float) -> None:
        if len(key) < handshake.KEY_MIN:
            raise ValueError(f"a key of {len(key)} bytes, {handshake.KEY_MIN} are wanted")
        self._key = key
        self._node = node
        self._nonce = nonce
        self._reader = Reader()
        self._writer = Writer()
        self._out: list[bytes] = []
        self._said = b""
        self._proved = False
        self._bulk = False
        self._done = 0
        self._received = 0
        self._of_bulk = 0
        self._bulks = 0
        self._heard = now
        self._queued = 0
        self._their_lag: float | None = None
        self.in_sync = False
        """The peer's whole table is here."""

    @property
    def greeted(self) -> bool:
        """The peer has proved itself."""
        return self._proved

    def received(self, data: bytes, now: float) -> list[Batch]:
        """Bytes of the peer. Raises ``PeerError``: the session is over.

        The last words of ``output()`` then say why, if the peer may know.
        """
        self._reader.feed(data)
        found: list[Batch] = []
        try:
            while (frame := self._reader.next()) is not None:
                self._heard = now
                self._frame(*frame, found)
        except PeerError as error:
            if not self._proved:
                self._out.append(self._writer.frame(Type.REFUSED, handshake.refused(error)))
            raise
        return found

    def _frame(self, kind: Type, payload: bytes, found: list[Batch]) -> None:
        if not self._proved:
            self._greet(kind, payload)
        elif kind == Type.ENTRIES:
            batch = Batch(entries.decode(payload), self._bulk)
            self._received += len(batch.connections)
            self._of_bulk += len(batch.connections) if batch.bulk else 0
            found.append(batch)
        elif kind == Type.PING and len(payload) == _PING.size:
            at, self._queued, lag = _PING.unpack(payload)
            self._their_lag = None if lag == _NEVER else lag / 1000
            self._acknowledge(at)
        elif kind == Type.BULK and not payload:
            self._bulk, self.in_sync = True, False
            self._bulks += 1
        elif kind == Type.END and self._bulk and len(payload) == _COUNT.size:
            if _COUNT.unpack(payload)[0] != self._received:
                raise PeerError(Reason.FRAME, "the peer counts other connections than came")
            self._bulk = False
            found.append(Batch([], bulk=True, last=True))
        else:
            raise PeerError(Reason.FRAME, f"{kind.name} of {len(payload)} bytes")

    def _greet(self, kind: Type, payload: bytes) -> None:
        if kind == Type.HELLO and not self._said:
            handshake.read_hello(payload, self._node)
            answer = handshake.welcome(self._key, payload, self._node, self._nonce)
            self._said = payload + answer
            self._out.append(self._writer.frame(Type.WELCOME, answer))
        elif kind == Type.PROOF and self._said:
            handshake.check_proof(self._key, self._said, payload)
            self._reader.key, self._writer.key = handshake.keys(self._key, self._said)
            self._proved = True
        elif kind == Type.REFUSED:
            raise handshake.read_refused(payload)
        else:
            raise PeerError(Reason.FRAME, f"{kind.name} during the greeting")

    def _acknowledge(self, echo: float) -> None:
        self._out.append(self._writer.frame(Type.ACK, _ACK.pack(self._done, echo)))

    def done(self, batch: Batch) -> None:
        """The table has taken it."""
        self._done += len(batch.connections)
        if batch.last:
            self.in_sync = not self._bulk
            self._their_lag = 0.0
        self._acknowledge(_OF_END if batch.last else 0.0)

    def tick(self, now: float) -> None:
        """At ``deadline()``. Raises ``PeerError`` if the peer is silent."""
        if now >= self.deadline():
            raise PeerError(Reason.SILENT, f"nothing was heard for {SILENCE:g} s")

    def deadline(self) -> float:
        """When the peer is given up."""
        return self._heard + SILENCE

    def output(self) -> bytes:
        """What is to be written to the TCP connection."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def status(self, now: float) -> Status:
        """For an operator."""
        lag = self._their_lag if self.in_sync else None
        return Status(
            greeted=self._proved,
            in_sync=self.in_sync,
            behind=None if lag is None else lag + now - self._heard,
            queued=self._queued,
            received=self._received,
            of_bulk=self._of_bulk,
            bulks=self._bulks,
        )
