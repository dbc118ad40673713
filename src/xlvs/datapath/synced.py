# SPDX-License-Identifier: Apache-2.0
<<<<<<< HEAD
"""Between the table's connections and those that travel between directors. Pure.

Numbers of services, servers and blocks of ports are each director's own; what travels has
addresses. Who takes a connection forwards it by its own method, as IPVS does.
=======
"""The connection table as other directors are to know it, read from the mapped memory.

Pure, as the listing is: bytes and the time in, ``Synced`` out. All of it for a peer that
joins, by lines; single places for what packets told of.
>>>>>>> i5-sync
"""

from __future__ import annotations

<<<<<<< HEAD
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_address
from socket import IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP

from xlvs.datapath.addresses import AF_INET, AF_INET6, packed
from xlvs.datapath.connections import Server
from xlvs.datapath.held import Held, to_take
from xlvs.datapath.records import (
    Destination,
    DestinationFlag,
    Method,
    ServiceKey,
    State,
    Template,
    Tenant,
    Transport,
)
from xlvs.datapath.records import Synced as ToTake
from xlvs.datapath.tables import NO_BLOCK, Tables
from xlvs.model.synced import Flag, Forward, Synced, TemplateState

_NUMBERS = {
    Transport.TCP: IPPROTO_TCP,
    Transport.UDP: IPPROTO_UDP,
    Transport.SCTP: IPPROTO_SCTP,
    Transport.IP: 0,
}
_TRANSPORTS = {number: transport for transport, number in _NUMBERS.items()}
_FORWARDS = {
    Method.NAT: Forward.NAT,
    Method.DR: Forward.DR,
    Method.TUN: Forward.TUN,
    Method.FULLNAT: Forward.FULLNAT,
}
_ACTIVE = frozenset(
    {
        State.ESTABLISHED,
        State.SYN_SENT,
        State.SYN_RECV,
        State.SYNACK,
        State.SCTP_ESTABLISHED,
    }
)
_SCTP_FIRST = State.SCTP_INIT1 - 1
_SCTP_LAST = State.SCTP_CLOSED
_IPV4_BYTES = 4
_NOBODY = Tenant()


class Refusal(StrEnum):
    """Why another director's connection is not taken."""

    SERVICE = "no_service"
    SERVER = "no_server"
    STATE = "no_such_state"
    PROTOCOL = "no_such_protocol"
    LOCAL = "no_such_local_address"
    ENGINE = "persistence_engine"
    OVER = "over"


class Refused(Exception):  # noqa: N818 - it says what became of it
    """Another director's connection is not taken."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Book:
    """Finds numbers for addresses and the other way round, in one state of the tables."""

    def __init__(self, tables: Tables, hz: int) -> None:
        self._tables = tables
        self._hz = hz
        self._servers: dict[int, dict[bytes, list[int]]] = {}
        self._marks: dict[tuple[int, int], int] = {}
        for id_, each in tables.destinations.items():
            at = self._servers.setdefault(each.service, {})
            at.setdefault(each.address, []).append(id_)
        for service, found in tables.services.items():
            if found.key.fwmark:
                self._marks[found.key.fwmark, found.key.family] = service

    def outgoing(self, held: Held, template: Template | None = None) -> Synced | None:
        """As it travels. ``template``: what a template says besides; None for nobody's."""
        d = self._tables.destinations.get(held.destination)
        service = None if d is None else self._tables.services.get(d.service)
        if d is None or service is None or (held.template and template is None):
            return None
        if template is not None and template.call_id:
            return None  # its Call-ID is known as a hash only to packets
        flags: int = _FORWARDS[held.method] if not held.template else _FORWARDS[Method(d.method)]
        if held.template:
            flags |= Flag.TEMPLATE
        elif held.state not in _ACTIVE:
            flags |= Flag.INACTIVE
        if held.no_output:
            flags |= Flag.NO_OUTPUT
        life = template.timeout if template is not None else self._timeout(held.state)
        life = max(life, held.left)
        full = held.method is Method.FULLNAT and not held.template
        local = self._tables.port_blocks.get(held.block, b"") if full else b""
        return Synced(
            protocol=_NUMBERS[held.transport],
            client=held.client.packed,
            client_port=held.client_port,
            virtual=held.virtual.packed,
            virtual_port=held.virtual_port,
            server=_plain(d.address),
            server_port=_port(d, held.virtual_port)
            if not held.template
            else _template_port(d, held),
            flags=flags,
            state=_number(held, template),
            timeout=life / self._hz,
            fwmark=service.key.fwmark,
            idle=(life - held.left) / self._hz,
            local=_plain(local) if local else b"",
            local_port=held.local_port if full else 0,
        )

    def incoming(self, synced: Synced) -> ToTake:
        """As the table takes it. Raises Refused."""
        if synced.engine:
            raise Refused(Refusal.ENGINE)
        transport = _transport(synced)
        id_ = self._server(self._service(synced), synced)
        d = self._tables.destinations[id_]
        state = State.NONE if synced.template else _state(transport, synced.state)
        life = round(synced.timeout * self._hz) or self._timeout(state)
        left = life - round(synced.idle * self._hz)
        if left <= 0:
            raise Refused(Refusal.OVER)
        full = d.method == Method.FULLNAT and not synced.template
        held = Held(
            tenant=_NOBODY,
            transport=transport,
            client=ip_address(synced.client),
            client_port=synced.client_port,
            virtual=ip_address(synced.virtual),
            virtual_port=synced.virtual_port,
            destination=id_,
            state=state,
            left=left,
            method=Method(d.method),
            template=synced.template,
            no_output=bool(synced.flags & Flag.NO_OUTPUT),
            block=self._block(d, synced) if full else 0,
            local_port=synced.local_port if full else 0,
        )
        assured = synced.template and synced.state == TemplateState.ASSURED
        return to_take(held, assured=assured, template_timeout=life)

    def _timeout(self, state: State) -> int:
        return self._tables.settings.timeout[state]

    def _service(self, synced: Synced) -> int:
        family = AF_INET if len(synced.virtual) == _IPV4_BYTES else AF_INET6
        address = packed(ip_address(synced.virtual))
        found: int | None
        if synced.fwmark:
            found = self._marks.get((synced.fwmark, family))
        else:
            # A port of its own, or one that has all: what is there decides.
            keys = (
                ServiceKey(address, 0, port, synced.protocol, family)
                for port in (synced.virtual_port, 0)
            )
            there = self._tables.keys
            found = next((there[key] for key in keys if key in there), None)
            found = self._removed(address, synced) if found is None else found
        if found is None:
            raise Refused(Refusal.SERVICE)
        return found

    def _removed(self, address: bytes, synced: Synced) -> int | None:
        return next(
            (
                id_
                for id_, each in self._tables.services.items()
                if each.key.address == address
                and each.key.protocol == synced.protocol
                and each.key.port in (synced.virtual_port, 0)
                and not each.key.fwmark
            ),
            None,
        )

    def _server(self, service: int, synced: Synced) -> int:
        address = packed(ip_address(synced.server))
        fitting = [
            id_
            for id_ in self._servers.get(service, {}).get(address, ())
            if self._fits(self._tables.destinations[id_], synced)
        ]
        wanted = [
            id_
            for id_ in fitting
            if self._tables.destinations[id_].flags & DestinationFlag.AVAILABLE
        ]
        if not fitting:
            raise Refused(Refusal.SERVER)
        return (wanted or fitting)[0]

    @staticmethod
    def _fits(d: Destination, synced: Synced) -> bool:
        return not synced.server_port or _port(d, synced.virtual_port) == synced.server_port

    def _block(self, d: Destination, synced: Synced) -> int:
        service = self._tables.services[d.service]
        if synced.local and d.port_block != NO_BLOCK:
            local = packed(ip_address(synced.local))
            for block in range(d.port_block, d.port_block + service.local_count):
                if self._tables.port_blocks.get(block) == local:
                    return block
        raise Refused(Refusal.LOCAL)


def _plain(address: bytes) -> bytes:
    """Four bytes of what is IPv4."""
    found = ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).packed


def _port(d: Destination, virtual: int) -> int:
    keeps = bool(d.flags & DestinationFlag.CLIENT_PORT)
    return Server("", d.port, keeps, bool(d.flags & DestinationFlag.FTP)).port_of(virtual)


def _template_port(d: Destination, held: Held) -> int:
    return d.port if held.virtual_port else 0


def _number(held: Held, template: Template | None) -> int:
    """The state as IPVS numbers it."""
    if template is not None:
        return TemplateState.ASSURED if template.assured else TemplateState.NONE
    if held.transport is Transport.UDP:
        return 0
    if held.transport is Transport.SCTP:
        return max(held.state - _SCTP_FIRST, 0)
    return held.state


def _transport(synced: Synced) -> Transport:
    found = _TRANSPORTS.get(synced.protocol)
    if found is None or (found is Transport.IP and not synced.template):
        raise Refused(Refusal.PROTOCOL)
    return found


def _state(transport: Transport, number: int) -> State:
    if transport is Transport.UDP:
        return State.UDP
    first = _SCTP_FIRST if transport is Transport.SCTP and number else 0
    last = _SCTP_LAST if transport is Transport.SCTP else State.SYNACK
    if not 0 <= number <= last - first:
        raise Refused(Refusal.STATE)
    return State(first + number)


def used_since(held: Held, timeouts: Mapping[int, int] | tuple[int, ...], ticks: int) -> bool:
    """Whether a packet came within so many ticks, as far as its time-out tells."""
    return timeouts[held.state] - held.left <= ticks
=======
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
>>>>>>> i5-sync
