# SPDX-License-Identifier: Apache-2.0
"""The connection table as an operator sees it, read from the mapped memory.

Pure: bytes and the time in, lines of NDJSON out, each a ``ConnectionView``. There may be
ten million connections, so what is done for each of them is little: lines are read by
the thousand, places without a connection are passed over in C, and what many
connections share, such as service and server, is looked up and written once.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from typing import NamedTuple, Self

from xlvs.datapath import support
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
    Tenant,
    Transport,
)
from xlvs.model.service import Protocol
from xlvs.wire.codec import connection_around, encode
from xlvs.wire.messages import ConnectionView

LINES = 1024
"""Lines that are read at once: 64 KiB, some milliseconds of others' waiting."""

_TICKS = 0xFFFFFFFF
_HALF = 1 << 31

_SCTP_STATES = {
    State.SCTP_INIT1: "INIT1",
    State.SCTP_INIT: "INIT",
    State.SCTP_COOKIE_SENT: "C-SENT",
    State.SCTP_COOKIE_REPLIED: "C-REPLIED",
    State.SCTP_COOKIE_WAIT: "C-WAIT",
    State.SCTP_COOKIE: "COOKIE",
    State.SCTP_COOKIE_ECHOED: "C-ECHOED",
    State.SCTP_ESTABLISHED: "ESTABLISHED",
    State.SCTP_SHUTDOWN_SENT: "S-SENT",
    State.SCTP_SHUTDOWN_RECEIVED: "S-RECEIVED",
    State.SCTP_SHUTDOWN_ACK_SENT: "S-ACK-SENT",
    State.SCTP_REJECTED: "REJECTED",
    State.SCTP_CLOSED: "CLOSED",
}
# As IPVS and ipvsadm call them.
_STATES = tuple(_SCTP_STATES.get(state, state.name) for state in State)
_METHODS = tuple(Method(i).name.lower() for i in range(len(Method)))
_METHOD_MASK = len(Method) - 1
_PROTOCOLS: dict[int, Protocol] = {
    Transport.TCP: Protocol.TCP,
    Transport.UDP: Protocol.UDP,
    Transport.SCTP: Protocol.SCTP,
}
_TEMPLATE = Transport.TEMPLATE << CONNECTION_PROTOCOL_SHIFT
_TEMPLATES: dict[int, Protocol] = {
    **{Transport.TEMPLATE | transport: protocol for transport, protocol in _PROTOCOLS.items()},
    Transport.TEMPLATE | Transport.IP: Protocol.FWM,
}
_PROTOCOL_MASK = 7
_GENERATION = _TICKS >> CONNECTION_GENERATION_SHIFT << CONNECTION_GENERATION_SHIFT
_ABANDONED_PORT = 0xFFFF
_METHOD = _METHOD_MASK << CONNECTION_METHOD_SHIFT
_FULLNAT = Method.FULLNAT << CONNECTION_METHOD_SHIFT
# Of a word, what is shown.
_SHOWN = CONNECTION_STATE | _PROTOCOL_MASK << CONNECTION_PROTOCOL_SHIFT | _METHOD

_KIND = int(ConnectionFlag.LIVE | ConnectionFlag.ANSWER)
_SAME = _KIND | _GENERATION

_WORD = 4  # bytes
_TEXTS_MAX = 1 << 16

# A word's second byte -> whether the place has a connection, no ANSWER: both flags are there.
_SECOND = 1
_BYTE = 8  # bits
_IS_LIVE = bytes(byte << _BYTE & _KIND == ConnectionFlag.LIVE for byte in range(1 << _BYTE))

# Ports lie in network byte order among numbers in ours; a list is faster than a call.
_PORTS = [socket.ntohs(port) for port in range(1 << 16)]

# Word, expires, destination, block, local port, then whose it is.
Place = tuple[int, int, int, int, int, bytes, bytes, int, int]
_PLACE4, _PLACE6 = "IIIHH4s4sHH", "IIIHH16s16sHH"


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

    def way(self, way: int) -> struct.Struct:
        """One place of each line, and the line's other bytes passed over."""
        before = self.first + way * self.place
        place = struct.Struct(f"={before}x{_PLACE6 if self.v6 else _PLACE4}")
        return struct.Struct(f"{place.format}{self.line - place.size}x")


class Server(NamedTuple):
    """The real server of connections. ``client_port``: most of them keep their virtual port."""

    address: str
    port: int
    client_port: bool = False
    ftp: bool = False

    def port_of(self, virtual: int) -> int:
        """Where a connection to this virtual port goes, as bpf/connection.h has it."""
        if not self.client_port:
            return self.port
        return self.port if self.ftp and virtual == support.FTP_PORT else virtual


class Remembered(NamedTuple):
    """What a template says besides its place. ``call_id``: None without an engine."""

    assured: bool = False
    call_id: str | None = None


class Listing:
    """Lines of connections. ``server`` by destination's id, ``local`` by block of ports.

    Both are asked seldom, not once for each connection; ``server`` says None for an id
    that nobody has. ``template`` is asked for each template, by its tenant.
    """

    def __init__(
        self,
        shape: Shape,
        hz: int,
        server: Callable[[int], Server | None],
        local: Callable[[int], str],
        template: Callable[[Tenant], Remembered],
    ) -> None:
        self._shape = shape
        self._hz = hz
        self._server = server
        self._local = local
        self._template = template
        self._ways = [shape.way(way) for way in range(shape.ways)]
        # By what they have in common: the text before the time left, and after the client.
        self._texts: dict[tuple[int, int, bytes, int, int], tuple[str, str] | None] = {}

    def read(self, lines: memoryview, now: int, first: int = 0) -> bytes:
        """The connections in whole lines that are not over at the tick ``now``.

        ``first``: the number of the first of these lines.
        """
        found: list[str] = []
        for way in range(self._shape.ways):
            live, copy = live_places(lines, self._shape, way)
            if live is not None and self._read(way, live, copy, now, found.append):
                at = range(first * self._shape.ways + way, 1 << 32, self._shape.ways)
                places = compress(zip(at, self._ways[way].iter_unpack(copy), strict=False), live)
                found += self._templates(places, now)
        return "".join(found).encode()

    def _read(
        self, way: int, live: bytearray, copy: bytes, now: int, add: Callable[[str], object]
    ) -> bool:
        """Connections; whether there are templates, too."""
        templates = False
        texts, hz, ports = self._texts, self._hz, _PORTS
        address = text if self._shape.v6 else socket.inet_ntoa
        places = compress(self._ways[way].iter_unpack(copy), live)
        for word, expires, destination, block, local_port, src, dst, sport, dport in places:
            left = expires - now & _TICKS
            if not left or left >= _HALF:
                continue  # it is over and only waits for the sweep
            if word & _METHOD == _FULLNAT:
                local, port = block, ports[local_port]
            else:
                local = port = 0  # the fields have another meaning
            key = (word & _SHOWN, destination, dst, dport, local)
            try:
                around = texts[key]
            except KeyError:
                around = self._learn(key)
            if around is not None:
                before, after = around
                add(
                    f'{before}{left // hz},"client":"{address(src)}",'
                    f'"client_port":{ports[sport]}{after}{port}}}\n'
                )
            elif word & _TEMPLATE:
                templates = True
        return templates

    def _templates(self, places: Iterable[tuple[int, Place]], now: int) -> Iterator[str]:
        """Those in these places: IPVS's connections without a client's port."""
        for at, (word, expires, destination, _, _, src, dst, _, dport) in places:
            protocol = _TEMPLATES.get(word >> CONNECTION_PROTOCOL_SHIFT & _PROTOCOL_MASK)
            server = self._server(destination)
            left = expires - now & _TICKS
            if protocol is None or server is None or not left or left >= _HALF:
                continue
            more = self._template(Tenant(at, word & _GENERATION | self._shape.v6))
            virtual_port = _PORTS[dport]
            # IPVS: a template of all ports has no port of the server's either.
            port = server.port if virtual_port else 0
            if word & CONNECTION_STATE == State.ABANDONED:
                virtual_port = port = _ABANDONED_PORT
            view = ConnectionView(
                protocol=protocol,
                state="ASSURED" if more.assured else "NONE",
                expires=left // self._hz,
                client=text(src),
                client_port=0,
                virtual=text(dst),
                virtual_port=virtual_port,
                destination=server.address,
                destination_port=port,
                method=_METHODS[word >> CONNECTION_METHOD_SHIFT & _METHOD_MASK],
                persistence_engine="" if more.call_id is None else support.SIP,
                persistence_data=more.call_id or "",
            )
            yield f"{encode(view).decode()}\n"

    def _learn(self, key: tuple[int, int, bytes, int, int]) -> tuple[str, str] | None:
        if len(self._texts) >= _TEXTS_MAX:
            self._texts.clear()
        around = self._texts[key] = self._around(*key)
        return around

    def _around(
        self, word: int, destination: int, dst: bytes, dport: int, block: int
    ) -> tuple[str, str] | None:
        """None for what is no connection of ours."""
        protocol = _PROTOCOLS.get(word >> CONNECTION_PROTOCOL_SHIFT & _PROTOCOL_MASK)
        server = self._server(destination)
        if protocol is None or server is None:
            return None
        view = ConnectionView(
            protocol=protocol,
            state=_STATES[word & CONNECTION_STATE],
            expires=0,
            client="",
            client_port=0,
            virtual=text(dst),
            virtual_port=_PORTS[dport],
            destination=server.address,
            destination_port=server.port_of(_PORTS[dport]),
            method=_METHODS[word >> CONNECTION_METHOD_SHIFT & _METHOD_MASK],
            local=self._local(block) if word & _METHOD == _FULLNAT else None,
        )
        return connection_around(view)


def live_places(lines: memoryview, shape: Shape, way: int) -> tuple[bytearray | None, bytes]:
    """In which lines one of the places has a connection, and a copy of all lines.

    Packets write meanwhile. What does not change of a connection lies between two looks
    at its word: if the place changed hands, the copy is of two connections.
    """
    place = shape.first + way * shape.place
    words = lines.cast("I")[place // _WORD :: shape.line // _WORD]
    before = bytes(words)
    live = bytearray(before[_SECOND::_WORD].translate(_IS_LIVE))
    if not any(live):
        return None, b""
    copy = bytes(lines)
    after = bytes(words)
    if after != before:
        both = zip(memoryview(before).cast("I"), memoryview(after).cast("I"), strict=True)
        for i, (one, other) in enumerate(both):
            if (one ^ other) & _SAME:
                live[i] = False
    return live, copy
