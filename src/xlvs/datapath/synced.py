# SPDX-License-Identifier: Apache-2.0
"""Between the table's connections and those that travel between directors. Pure.

Numbers of services, servers and blocks of ports are each director's own; what travels has
addresses. Who takes a connection forwards it by its own method, as IPVS does.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_address

from xlvs.datapath import streams
from xlvs.datapath.addresses import AF_INET, AF_INET6, packed, unpacked
from xlvs.datapath.connections import Server
from xlvs.datapath.held import PROTOCOL_NUMBERS, Held, to_take
from xlvs.datapath.records import (
    Destination,
    DestinationFlag,
    Method,
    PortBlock,
    ServiceFlag,
    ServiceKey,
    State,
    Stream,
    Template,
    Tenant,
    Transport,
)
from xlvs.datapath.records import Synced as ToTake
from xlvs.datapath.tables import Tables
from xlvs.datapath.word import CLOSED
from xlvs.model.synced import Flag, Forward, Synced, TemplateState

_TRANSPORTS = {number: transport for transport, number in PROTOCOL_NUMBERS.items()}
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
        self._blocks = {whose: block for block, whose in tables.port_blocks.items()}
        for id_, each in tables.destinations.items():
            at = self._servers.setdefault(each.service, {})
            at.setdefault(each.address, []).append(id_)
        for service, found in tables.services.items():
            if found.key.fwmark:
                self._marks[found.key.fwmark, found.key.family] = service

    def outgoing(
        self, held: Held, template: Template | None = None, stream: Stream | None = None
    ) -> Synced | None:
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
        block = self._tables.port_blocks.get(held.block) if full else None
        return Synced(
            protocol=PROTOCOL_NUMBERS[held.transport],
            client=held.client.packed,
            client_port=held.client_port,
            virtual=held.virtual.packed,
            virtual_port=held.virtual_port,
            server=unpacked(d.address).packed,
            server_port=_port(d, held.virtual_port)
            if not held.template
            else _template_port(d, held),
            flags=flags,
            state=_number(held, template),
            timeout=life / self._hz,
            fwmark=service.key.fwmark,
            idle=(life - held.left) / self._hz,
            local=unpacked(block.local).packed if block else b"",
            local_port=held.local_port if full else 0,
            stream=None if stream is None else streams.as_it_travels(stream),
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
        idle = round(synced.idle * self._hz)
        left = life - idle
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
        stream = synced.stream and streams.to_take(synced.stream)
        return to_take(held, assured=assured, template_timeout=life, idle=idle, stream=stream)

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
        if synced.local:
            port = 0 if d.flags & DestinationFlag.CLIENT_PORT else d.port
            protocol = self._tables.services[d.service].key.protocol
            whose = PortBlock(packed(ip_address(synced.local)), d.address, port, protocol)
            if whose in self._blocks:
                return self._blocks[whose]
        raise Refused(Refusal.LOCAL)


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
    return State.CLOSE if held.state in CLOSED else held.state


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


def others_destinations(tables: Tables) -> set[int]:
    """Destinations of services whose address another director holds: it tells of them."""
    standby = {id_ for id_, each in tables.services.items() if each.flags & ServiceFlag.STANDBY}
    return {id_ for id_, d in tables.destinations.items() if d.service in standby}
