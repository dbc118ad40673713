# SPDX-License-Identifier: Apache-2.0
"""The connection table as other directors are to know it, read from the mapped memory.

Pure, as the listing is: bytes and the time in, ``Synced`` out. All of it for a peer that
joins, by lines; single places for what packets told of.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from typing import NamedTuple

from xlvs.datapath.addresses import unpacked
from xlvs.datapath.connections import Place, Server, Shape, live_places
from xlvs.datapath.records import (
    CONNECTION_GENERATION_SHIFT,
    CONNECTION_METHOD_SHIFT,
    CONNECTION_PROTOCOL_SHIFT,
    CONNECTION_STATE,
    ConnectionFlag,
    Method,
    State,
    Tenant,
    Transport,
)
from xlvs.model.synced import SCTP, TCP, UDP, Flag, Forward, Synced, TemplateState

_TICKS = 0xFFFFFFFF
_HALF = 1 << 31
_GENERATION = _TICKS >> CONNECTION_GENERATION_SHIFT << CONNECTION_GENERATION_SHIFT
_KIND = int(ConnectionFlag.LIVE | ConnectionFlag.ANSWER)
_SAME = _KIND | _GENERATION
_PROTOCOL_MASK = 7
_METHOD_MASK = len(Method) - 1
_TEMPLATE = int(Transport.TEMPLATE)

# 0: a template of a mark, which serves all protocols.
_PROTOCOLS = {Transport.TCP: TCP, Transport.UDP: UDP, Transport.SCTP: SCTP, Transport.IP: 0}
_FORWARD = {
    Method.NAT: int(Forward.NAT),
    Method.DR: Forward.DR | Flag.NO_OUTPUT,
    Method.TUN: Forward.TUN | Flag.NO_OUTPUT,
    Method.FULLNAT: int(Forward.FULLNAT),
}
_LOCAL = Forward.LOCAL | Flag.NO_OUTPUT
# The order of the numbers is IPVS's in each protocol; ours follow one another.
_FIRST_SCTP = State.SCTP_INIT1 - 1
_SIP = b"sip"
_WORD = struct.Struct("=I")


class Origin(NamedTuple):
    """The real server of connections. ``address``: 4 or 16 bytes; ``fwmark``: its service's.

    ``method``: templates are told with it, for in the table they have none.
    """

    server: Server
    address: bytes
    method: Method
    fwmark: int = 0


class Remembered(NamedTuple):
    """What a template says besides its place. ``timeout`` in ticks."""

    timeout: int
    assured: bool = False
    call_id: bytes = b""


def sync_state(state: int) -> int:
    """A state of the table as IPVS numbers it within its protocol."""
    if state == State.UDP:
        return 0
    return state - _FIRST_SCTP if state >= State.SCTP_INIT1 else state


def table_state(protocol: int, state: int) -> State:
    """The other way round. Raises ``ValueError`` for what is no state of the protocol's."""
    if protocol == UDP and not state:
        return State.UDP
    if protocol == SCTP and state:
        found = State(state + _FIRST_SCTP)
        if found <= State.SCTP_CLOSED:
            return found
    elif protocol in {TCP, SCTP} and 0 <= state <= State.SYNACK:
        return State(state)
    raise ValueError(f"protocol {protocol} has no state {state}")


class Reading:
    """Connections of one family.

    ``origin`` by destination's id, None: nobody has it. ``local`` by block of ports, 4 or 16
    bytes. ``template`` by tenant, None: it has gone. ``timeout``: ticks that a connection
    lives in a state (``State``), of a destination, and whether its service has its own.
    """

    def __init__(
        self,
        shape: Shape,
        hz: int,
        origin: Callable[[int], Origin | None],
        local: Callable[[int], bytes],
        *,
        template: Callable[[Tenant], Remembered | None],
        timeout: Callable[[int, int, bool], int],
    ) -> None:
        self._shape = shape
        self._hz = hz
        self._origin = origin
        self._local = local
        self._template = template
        self._timeout = timeout
        self._ways = [shape.way(way) for way in range(shape.ways)]
        self._place = struct.Struct(shape.place_format())
        self._origins: dict[int, Origin | None] = {}
        self._timeouts: dict[tuple[int, int], int] = {}

    def forget(self) -> None:
        """What was asked of destinations and settings may have changed."""
        self._origins.clear()
        self._timeouts.clear()

    def read(self, lines: memoryview, now: int, first: int = 0) -> list[Synced]:
        """The connections in whole lines that are not over at the tick ``now``.

        ``first``: the number of the first of these lines.
        """
        found: list[Synced] = []
        for way in range(self._shape.ways):
            live, copy = live_places(lines, self._shape, way)
            if live is None:
                continue
            at = range(first * self._shape.ways + way, 1 << 32, self._shape.ways)
            places = zip(at, self._ways[way].iter_unpack(copy), strict=False)
            found += self._synced(compress(places, live), now)
        return found

    def pick(self, table: memoryview, tenants: Iterable[Tenant], now: int) -> list[Synced]:
        """These connections, as they are now; those that have ended are left out.

        ``table``: all lines. Of a tenant named twice there is one.
        """
        return list(self._synced(self._found(table, dict.fromkeys(tenants)), now))

    def _found(self, table: memoryview, tenants: Iterable[Tenant]) -> Iterator[tuple[int, Place]]:
        shape = self._shape
        for tenant in tenants:
            line, way = divmod(tenant.at, shape.ways)
            at = line * shape.line + shape.first + way * shape.place
            place: Place = self._place.unpack_from(table, at)
            (word,) = _WORD.unpack_from(table, at)
            # Whose is it, and was it so all the time?
            wanted = tenant.generation & _GENERATION | ConnectionFlag.LIVE
            if place[0] & _SAME == wanted == word & _SAME:
                yield tenant.at, place

    def _synced(self, places: Iterable[tuple[int, Place]], now: int) -> Iterator[Synced]:
        for at, place in places:
            left = place[1] - now & _TICKS
            if not left or left >= _HALF:
                continue  # it is over and only waits for the sweep
            protocol = place[0] >> CONNECTION_PROTOCOL_SHIFT & _PROTOCOL_MASK
            if protocol & _TEMPLATE:
                found = self._one_template(at, place, left)
            else:
                found = self._one(place, left)
            if found is not None:
                yield found

    def _one(self, place: Place, left: int) -> Synced | None:
        word, _, destination, block, local_port, src, dst, sport, dport = place
        origin = self._origin_of(destination)
        protocol = _PROTOCOLS.get(Transport(word >> CONNECTION_PROTOCOL_SHIFT & _PROTOCOL_MASK))
        if origin is None or not protocol:
            return None
        flags = _LOCAL if word & ConnectionFlag.ON_DIRECTOR else _FORWARD[_method(word)]
        fullnat = flags == Forward.FULLNAT
        if word & ConnectionFlag.INACTIVE:
            flags |= Flag.INACTIVE
        timeout = self._timeout_of(word, destination)
        virtual_port = _swapped(dport)
        return Synced(
            protocol=protocol,
            client=src,
            client_port=_swapped(sport),
            virtual=dst,
            virtual_port=virtual_port,
            server=origin.address,
            server_port=origin.server.port_of(virtual_port),
            flags=flags,
            state=sync_state(word & CONNECTION_STATE),
            timeout=timeout / self._hz,
            fwmark=origin.fwmark,
            idle=max(0, timeout - left) / self._hz,
            local=self._local(block) if fullnat else b"",
            local_port=_swapped(local_port) if fullnat else 0,
        )

    def _one_template(self, at: int, place: Place, left: int) -> Synced | None:
        word, _, destination, _, _, src, dst, _, dport = place
        origin = self._origin_of(destination)
        tenant = Tenant(at, word & _GENERATION | self._shape.v6)
        more = self._template(tenant)
        if origin is None or more is None or word & CONNECTION_STATE == State.ABANDONED:
            return None
        transport = (word >> CONNECTION_PROTOCOL_SHIFT & _PROTOCOL_MASK) & ~_TEMPLATE
        virtual_port = _swapped(dport)
        # One that stays for its connections lives longer than its time-out says.
        timeout = max(more.timeout, left)
        return Synced(
            protocol=_PROTOCOLS[Transport(transport)],
            client=src,
            client_port=0,
            virtual=dst,
            virtual_port=virtual_port,
            server=origin.address,
            server_port=origin.server.port if virtual_port else 0,
            flags=_FORWARD[origin.method] | Flag.INACTIVE | Flag.TEMPLATE,
            state=TemplateState.ASSURED if more.assured else TemplateState.NONE,
            timeout=timeout / self._hz,
            fwmark=origin.fwmark,
            idle=(timeout - left) / self._hz,
            engine=_SIP if more.call_id else b"",
            engine_data=more.call_id,
        )

    def _origin_of(self, destination: int) -> Origin | None:
        try:
            return self._origins[destination]
        except KeyError:
            found = self._origins[destination] = self._origin(destination)
            return found

    def _timeout_of(self, word: int, destination: int) -> int:
        own = word & ConnectionFlag.OWN_TIMEOUTS
        key = (word & (CONNECTION_STATE | own), destination if own else 0)
        try:
            return self._timeouts[key]
        except KeyError:
            state = word & CONNECTION_STATE
            found = self._timeouts[key] = self._timeout(state, destination, bool(own))
            return found


def _method(word: int) -> Method:
    return Method(word >> CONNECTION_METHOD_SHIFT & _METHOD_MASK)


def _swapped(port: int) -> int:
    """Ports lie in network byte order among numbers in ours."""
    return (port & 0xFF) << 8 | port >> 8


def address_bytes(data: bytes) -> bytes:
    """The maps' form of an address as sync has it: 4 bytes or 16."""
    return unpacked(data).packed
