# SPDX-License-Identifier: Apache-2.0
"""The sending side: connections in, messages out when they are full or old enough.

As IPVS: entries gather in a message; one that is full waits until eight are, or 20 ms;
one that is not full goes two seconds after its first entry. With ``sync_ports`` each port
has messages of its own, and a connection always takes the same port, so its messages
stay in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32

from xlvs.model.synced import Synced
from xlvs.model.syncing import SyncChannel, SyncRole, message_length
from xlvs.protocols.ipvs_sync import codec

PORTS_MAX = 64
WAKE_MESSAGES = 8
WAKE_DELAY = 0.02
"""Seconds that a full message waits for others."""
FLUSH_AFTER = 2.0
"""Seconds that an entry waits for its message to become full."""
LENGTH = message_length(SyncChannel(), SyncRole.MASTER)
QUEUE_MAX = 8192
"""Messages that wait for the socket, of one port; IPVS takes a share of the memory."""


class Outgoing(NamedTuple):
    """``port``: 0 for the daemon's port, 1 for the next one, and so on."""

    port: int
    data: bytes


class Sent(NamedTuple):
    """Counters since the start."""

    connections: int = 0
    messages: int = 0
    bytes: int = 0
    unencodable: int = 0
    """Connections that the protocol cannot express: FULLNAT, mixed families, streams."""
    dropped: int = 0
    """Messages for which the queue was too long."""


class _Port:
    """What one port is to send."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.length = 0
        self.since = 0.0  # when the first of the entries came
        self.queue: deque[bytes] = deque()
        self.queued_at = 0.0  # when the first of the queue came


class Master:
    """Messages of one sync daemon in the role of the master."""

    def __init__(
        self,
        sync_id: int = 0,
        length: int = LENGTH,
        *,
        version: int = codec.VERSION,
        ports: int = 1,
        queue_max: int = QUEUE_MAX,
    ) -> None:
        if not 0 < ports <= PORTS_MAX or ports & ports - 1:
            raise ValueError(f"{ports} ports: IPVS wants a power of two up to {PORTS_MAX}")
        self._sync_id = sync_id
        self._length = length
        self._queue_max = queue_max
        self._header = codec.HEADER.size if version else codec.HEADER0.size
        self._entry = codec.encode_entry if version else codec.encode_entry0
        self._message = codec.header if version else codec.header0
        self._align = 4 if version else 1
        self._ports = [_Port() for _ in range(ports)]
        self._sent = Sent()

    @property
    def sent(self) -> Sent:
        """What was given out so far."""
        return self._sent

    @property
    def queued(self) -> int:
        """Connections and messages that wait."""
        return sum(len(port.entries) + len(port.queue) for port in self._ports)

    def offer(self, connections: Iterable[Synced], now: float) -> None:
        """To be sent, in this order."""
        for connection in connections:
            try:
                entry = self._entry(connection)
            except codec.UnencodableError:
                self._sent = self._sent._replace(unencodable=self._sent.unencodable + 1)
                continue
            self._put(self._port_of(connection), entry, now)

    def next(self, now: float) -> Outgoing | None:
        """A message that is to be sent by now; the caller asks until there is none."""
        for number, port in enumerate(self._ports):
            if port.entries and now >= port.since + FLUSH_AFTER:
                self._close(port, now)
                port.queued_at = min(port.queued_at, now - WAKE_DELAY)
            if port.queue and self._wakes(port) <= now:
                port.queued_at = now - WAKE_DELAY  # what else is in the queue goes with it
                return self._give(number, port)
        return None

    def unsent(self, message: Outgoing) -> None:
        """The socket was full: to be tried again, before all others."""
        port = self._ports[message.port]
        port.queue.appendleft(message.data)
        self._sent = self._sent._replace(
            messages=self._sent.messages - 1,
            bytes=self._sent.bytes - len(message.data),
            connections=self._sent.connections - self._count(message.data),
        )

    def flush(self, now: float) -> None:
        """The last words: all that waits is due now."""
        for port in self._ports:
            if port.entries:
                self._close(port, now)
            port.queued_at = now - WAKE_DELAY

    def deadline(self) -> float | None:
        """When ``next()`` has something, unless more is offered before; None: never."""
        times = [port.since + FLUSH_AFTER for port in self._ports if port.entries]
        times += [self._wakes(port) for port in self._ports if port.queue]
        return min(times, default=None)

    @staticmethod
    def _wakes(port: _Port) -> float:
        full = len(port.queue) >= WAKE_MESSAGES
        return port.queued_at if full else port.queued_at + WAKE_DELAY

    def _port_of(self, connection: Synced) -> _Port:
        if len(self._ports) == 1:
            return self._ports[0]
        ends = connection.client + connection.virtual
        number = crc32(ends, connection.client_port << 16 | connection.virtual_port)
        return self._ports[number & len(self._ports) - 1]

    def _put(self, port: _Port, entry: bytes, now: float) -> None:
        pad = -port.length % self._align
        if port.entries and (
            port.length + pad + len(entry) > self._length or len(port.entries) >= codec.ENTRIES_MAX
        ):
            self._close(port, now)
        if not port.entries:
            port.since = now
            port.length = self._header
            pad = 0
        port.entries.append(bytes(pad) + entry)
        port.length += pad + len(entry)

    def _close(self, port: _Port, now: float) -> None:
        """The message that is being filled goes to the queue."""
        message = self._message(self._sync_id, port.length, len(port.entries))
        if len(port.queue) >= self._queue_max:
            self._sent = self._sent._replace(dropped=self._sent.dropped + 1)
        else:
            if not port.queue:
                port.queued_at = now
            port.queue.append(message + b"".join(port.entries))
        port.entries.clear()
        port.length = 0

    def _give(self, number: int, port: _Port) -> Outgoing:
        data = port.queue.popleft()
        self._sent = self._sent._replace(
            messages=self._sent.messages + 1,
            bytes=self._sent.bytes + len(data),
            connections=self._sent.connections + self._count(data),
        )
        return Outgoing(number, data)

    def _count(self, data: bytes) -> int:
        """Connections of a message of ours."""
        return data[4] if self._header == codec.HEADER.size else data[0]
