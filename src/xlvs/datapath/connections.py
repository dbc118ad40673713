# SPDX-License-Identifier: Apache-2.0
"""The connection table as an operator sees it, read from the mapped memory.

Pure: bytes and the time in, lines of NDJSON out, each a ``ConnectionView``. There may be
ten million connections, so what is done for each of them is little: what many connections
share, such as service and server, is looked up and written once.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from xlvs.datapath import support
from xlvs.datapath.addresses import text
from xlvs.datapath.places import Part, Place, Shape
from xlvs.datapath.records import (
    CONNECTION_METHOD_SHIFT,
    CONNECTION_PROTOCOL_SHIFT,
    CONNECTION_STATE,
    Method,
    State,
    Tenant,
    Transport,
)
from xlvs.datapath.word import CLOSED, GENERATION, HALF, METHODS, PROTOCOLS, TICKS
from xlvs.model.service import Protocol
from xlvs.wire.codec import connection_around, encode
from xlvs.wire.messages import ConnectionView

_NAMES = {
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
    **dict.fromkeys(CLOSED, "CLOSE"),
}
STATES = tuple(_NAMES.get(state, state.name) for state in State)
"""As IPVS and ipvsadm call them. What an operator has closed is as what a reset closed."""

_METHODS = tuple(Method(i).name.lower() for i in range(len(Method)))
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
_ABANDONED_PORT = 0xFFFF
_METHOD = METHODS << CONNECTION_METHOD_SHIFT
_FULLNAT = Method.FULLNAT << CONNECTION_METHOD_SHIFT
# Of a word, what is shown.
_SHOWN = CONNECTION_STATE | PROTOCOLS << CONNECTION_PROTOCOL_SHIFT | _METHOD

_TEXTS_MAX = 1 << 16

# Ports lie in network byte order among numbers in ours; a list is faster than a call.
_PORTS = [socket.ntohs(port) for port in range(1 << 16)]


class Server(NamedTuple):
    """The real server of connections. ``client_port``: most of them keep their virtual port."""

    address: str
    port: int
    client_port: bool = False
    ftp: bool = False
    method: int = 0

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
        # By what they have in common: the text before the time left, and after the client.
        self._texts: dict[tuple[int, int, bytes, int, int], tuple[str, str] | None] = {}

    def read(self, part: Part, now: int) -> str:
        """Those that are wanted and are not over at the tick ``now``."""
        found: list[str] = []
        if self._read(part, now, found.append):
            found += self._templates(part.numbered(), now)
        return "".join(found)

    def _read(self, part: Part, now: int, add: Callable[[str], object]) -> bool:
        """Connections; whether there are templates, too."""
        templates = False
        texts, hz, ports = self._texts, self._hz, _PORTS
        address = text if self._shape.v6 else socket.inet_ntoa
        for word, expires, destination, block, local_port, src, dst, sport, dport in part.places():
            left = expires - now & TICKS
            if not left or left >= HALF:
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
            protocol = _TEMPLATES.get(word >> CONNECTION_PROTOCOL_SHIFT & PROTOCOLS)
            server = self._server(destination)
            left = expires - now & TICKS
            if protocol is None or server is None or not left or left >= HALF:
                continue
            more = self._template(Tenant(at, word & GENERATION | self._shape.v6))
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
                method=_METHODS[server.method],
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
        protocol = _PROTOCOLS.get(word >> CONNECTION_PROTOCOL_SHIFT & PROTOCOLS)
        server = self._server(destination)
        if protocol is None or server is None:
            return None
        view = ConnectionView(
            protocol=protocol,
            state=STATES[word & CONNECTION_STATE],
            expires=0,
            client="",
            client_port=0,
            virtual=text(dst),
            virtual_port=_PORTS[dport],
            destination=server.address,
            destination_port=server.port_of(_PORTS[dport]),
            method=_METHODS[word >> CONNECTION_METHOD_SHIFT & METHODS],
            local=self._local(block) if word & _METHOD == _FULLNAT else None,
        )
        return connection_around(view)
