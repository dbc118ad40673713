# SPDX-License-Identifier: Apache-2.0
"""The connection table as an operator sees it, read from the mapped memory.

Pure: bytes and the time in, views out. There may be ten million connections, so what
is done for each of them is little: lines are read by the thousand, and what many
connections share, such as their server, is looked up once.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

from xlvs.datapath.addresses import text
from xlvs.datapath.layout import Layout
from xlvs.datapath.records import (
    CONNECTION_GENERATION_SHIFT,
    CONNECTION_METHOD_SHIFT,
    CONNECTION_PROTOCOL_SHIFT,
    CONNECTION_STATE,
    ConnectionFlag,
    Entry4,
    Entry6,
    Line4,
    Line6,
    Method,
    State,
    Transport,
)
from xlvs.model.service import Protocol
from xlvs.wire.messages import ConnectionView

LINES = 1024
"""Lines that are read at once: 64 KiB."""

_STATES = tuple(State(i).name for i in range(len(State)))
_METHODS = tuple(Method(i).name.lower() for i in range(len(Method)))
_METHOD_MASK = len(Method) - 1
_PROTOCOLS: dict[int, Protocol] = {
    Transport.TCP: Protocol.TCP,
    Transport.UDP: Protocol.UDP,
    Transport.SCTP: Protocol.SCTP,
}
_PROTOCOL_MASK = 7
_FULLNAT = _METHODS[Method.FULLNAT]

_KIND = int(ConnectionFlag.LIVE | ConnectionFlag.ANSWER)
_LIVE = int(ConnectionFlag.LIVE)
_SAME = _KIND | 0xFFFFFFFF >> CONNECTION_GENERATION_SHIFT << CONNECTION_GENERATION_SHIFT

_TICKS = 0xFFFFFFFF
_HALF = 1 << 31
_WORD = 4  # bytes

# Ports lie in network byte order among numbers in ours; a list is faster than a call.
_PORTS = [socket.ntohs(port) for port in range(1 << 16)]

# An entry without its word: expires, destination, block, local port, then whose it is.
_PLACE4 = struct.Struct("=4xIIHH4s4sHH")
_PLACE6 = struct.Struct("=4xIIHH16s16sHH")


class Shape(NamedTuple):
    """How the lines of one family lie in memory; sizes in bytes."""

    v6: bool
    line: int
    place: int
    first: int  # of the first place in the line
    ways: int

    @classmethod
    def of(cls, layout: Layout, *, v6: bool) -> Self:
        """As the object that is loaded has it."""
        line = layout.codec(Line6) if v6 else layout.codec(Line4)
        place = layout.size(Entry6 if v6 else Entry4)
        first = line.offsets["way"]
        return cls(v6, line.size, place, first, (line.size - first) // place)


class Server(NamedTuple):
    """The real server of connections."""

    address: str
    port: int


class Listing:
    """Views of connections. ``server`` by destination's id, ``local`` by block of ports.

    Both are asked once for each; ``server`` says None for an id that nobody has.
    """

    def __init__(
        self, hz: int, server: Callable[[int], Server | None], local: Callable[[int], str]
    ) -> None:
        self._hz = hz
        self._server = server
        self._local = local
        self._servers: dict[int, Server | None] = {}
        self._locals: dict[int, str] = {}
        self._virtual: dict[bytes, str] = {}

    def read(self, lines: memoryview, shape: Shape, now: int) -> list[ConnectionView]:
        """The connections in whole lines that are not over at the tick ``now``."""
        return [
            view
            for way in range(shape.ways)
            for word, at, copy in _live(lines, shape, way)
            if (view := self._view(word, at, copy, shape, now)) is not None
        ]

    def _view(
        self, word: int, at: int, copy: bytes, shape: Shape, now: int
    ) -> ConnectionView | None:
        expires, destination, block, local_port, src, dst, sport, dport = (
            _PLACE6 if shape.v6 else _PLACE4
        ).unpack_from(copy, at)
        left = expires - now & _TICKS
        if not left or left >= _HALF:
            return None  # it is over and only waits for the sweep
        protocol = _PROTOCOLS.get(word >> CONNECTION_PROTOCOL_SHIFT & _PROTOCOL_MASK)
        server = self._server_of(destination)
        if protocol is None or server is None:
            return None
        method = _METHODS[word >> CONNECTION_METHOD_SHIFT & _METHOD_MASK]
        translated = method is _FULLNAT
        return ConnectionView(
            protocol=protocol,
            state=_STATES[word & CONNECTION_STATE],
            expires=left // self._hz,
            client=text(src),
            client_port=_PORTS[sport],
            virtual=self._virtual.get(dst) or self._virtual.setdefault(dst, text(dst)),
            virtual_port=_PORTS[dport],
            destination=server.address,
            destination_port=server.port,
            method=method,
            local=self._local_of(block) if translated else None,
            local_port=_PORTS[local_port] if translated else 0,
        )

    def _server_of(self, destination: int) -> Server | None:
        try:
            return self._servers[destination]
        except KeyError:
            return self._servers.setdefault(destination, self._server(destination))

    def _local_of(self, block: int) -> str:
        try:
            return self._locals[block]
        except KeyError:
            return self._locals.setdefault(block, self._local(block))


def _live(lines: memoryview, shape: Shape, way: int) -> Iterator[tuple[int, int, bytes]]:
    """Connections in one of each line's places: word, where, and in a copy of which bytes.

    Packets write meanwhile. What does not change of a connection lies between two looks
    at its word: if the place changed hands, the copy is of two connections.
    """
    place = shape.first + way * shape.place
    words = lines.cast("I")[place // _WORD :: shape.line // _WORD]
    before = words.tolist()
    found = [i for i, word in enumerate(before) if word & _KIND == _LIVE]
    if not found:
        return
    copy = bytes(lines)
    after = words.tolist()
    for i in found:
        if not (before[i] ^ after[i]) & _SAME:
            yield after[i], i * shape.line + place, copy
