# SPDX-License-Identifier: Apache-2.0
"""Which connections are wanted, as questions to the bytes of the table's lines.

Pure. Nearly all that can be asked for is one of 256 tables for one byte of a place: does a
connection with this byte there fit? Thousands of places are then asked at once, in C, and
what does not fit costs nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from ipaddress import IPv6Network
from itertools import compress
from typing import NamedTuple, Self

from xlvs.datapath.addresses import unpacked
from xlvs.datapath.connections import STATES
from xlvs.datapath.effective import service_key
from xlvs.datapath.places import Part
from xlvs.datapath.records import CONNECTION_PROTOCOL_SHIFT, CONNECTION_STATE, Transport
from xlvs.datapath.records import Method as MethodNumber
from xlvs.datapath.tables import Tables
from xlvs.datapath.word import CLOSED, METHODS
from xlvs.model.connection import ConnectionFilter, Side, Templates
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Method, Network, Protocol
from xlvs.model.words import key_title

_BYTE = 256
_BITS = 8

# Bytes of a place: state and protocol, method, destination (four), then whose it is.
_KIND, _METHOD, _DESTINATION, _CLIENT = 0, 2, 8, 16
_ID_BYTES = 4
_PORT_BYTES = 2

_TRANSPORTS = {
    Protocol.TCP: Transport.TCP,
    Protocol.UDP: Transport.UDP,
    Protocol.SCTP: Transport.SCTP,
    Protocol.FWM: Transport.IP,
}

Question = tuple[int, bytes]
"""A byte of the place, and for each value of it 1 or 0: does it fit?"""


class Selection(NamedTuple):
    """Some connections; without arguments all of them.

    ``ipv4`` and ``ipv6``: what is asked in that family, None: none of it fits.
    ``destinations``: ids, None: any.
    """

    ipv4: tuple[Question, ...] | None = ()
    ipv6: tuple[Question, ...] | None = ()
    destinations: frozenset[int] | None = None

    @classmethod
    def of(cls, wanted: ConnectionFilter, tables: Tables, *, closed: bool = True) -> Self:
        """What fits, as ``tables`` number destinations. Raises Problem.

        ``closed``: also what an operator has closed already.
        """
        found = _destinations(wanted, tables)
        both = [*_kinds(wanted, closed=closed), *_methods(wanted.methods)]
        if found is not None:
            both += _ids(found)
        return cls(_ends(wanted, both, v6=False), _ends(wanted, both, v6=True), found)

    def asks(self, *, v6: bool) -> bool:
        """Whether anything of the family can fit."""
        return (self.ipv6 if v6 else self.ipv4) is not None

    def choose(self, part: Part) -> bool:
        """Take back what does not fit; whether anything is left."""
        questions = self.ipv6 if part.shape.v6 else self.ipv4
        if questions is None:
            return False
        at, step, size = part.shape.at(part.way), part.shape.line, len(part.wanted)
        mask = int.from_bytes(part.wanted, "little")
        for byte, fits in questions:
            mask &= int.from_bytes(part.copy[at + byte :: step].translate(fits), "little")
            if not mask:
                return False
        if questions:
            part.wanted[:] = mask.to_bytes(size, "little")
        if self.destinations is not None:
            # The bytes of several ids fit others, too.
            ids = memoryview(part.copy).cast("I")[(at + _DESTINATION) // 4 :: step // 4]
            for i in compress(range(size), part.wanted):
                part.wanted[i] = ids[i] in self.destinations
            return any(part.wanted)
        return True


EVERYTHING = Selection()


def _question(byte: int, fits: Callable[[int], bool]) -> Question:
    return byte, bytes(map(fits, range(_BYTE)))


def _kinds(wanted: ConnectionFilter, *, closed: bool) -> Iterable[Question]:
    states = _states(wanted.states)
    transports = {_TRANSPORTS[each] for each in wanted.protocols or _TRANSPORTS}
    # A template has no state, and no method but its server's.
    bare = states is None and not wanted.methods
    if bare and not wanted.protocols and wanted.templates is Templates.WITH and closed:
        return

    def fits(byte: int) -> bool:
        state, kind = byte & CONNECTION_STATE, byte >> CONNECTION_PROTOCOL_SHIFT
        template = bool(kind & Transport.TEMPLATE)
        if kind & ~Transport.TEMPLATE not in transports:
            return False
        if wanted.templates is not Templates.WITH and template is not (
            wanted.templates is Templates.ONLY
        ):
            return False
        if not closed and state in CLOSED:
            return False
        return bare if template else states is None or state in states

    yield _question(_KIND, fits)


def _states(names: Collection[str]) -> set[int] | None:
    """The numbers of states by these names, None: any."""
    for name in names:
        if name not in STATES:
            known = ", ".join(sorted(set(STATES)))
            raise Problem(Code.INVALID, f"no state is called {name!r}; there are {known}", "state")
    return {number for number, name in enumerate(STATES) if name in names} if names else None


def _methods(methods: Collection[Method]) -> Iterable[Question]:
    if methods:
        numbers = {MethodNumber[each.name] for each in methods}
        yield _question(_METHOD, lambda byte: byte & METHODS in numbers)


def _ids(ids: Collection[int]) -> Iterable[Question]:
    for i in range(_ID_BYTES):
        found = {each >> i * _BITS & _BYTE - 1 for each in ids}
        yield _question(_DESTINATION + i, found.__contains__)


def _ends(
    wanted: ConnectionFilter, both: Iterable[Question], *, v6: bool
) -> tuple[Question, ...] | None:
    """What is asked in one family: client, then virtual address, then their ports."""
    size = 16 if v6 else 4
    asked = list(both)
    for i, side in enumerate((wanted.client, wanted.virtual)):
        if side.network is not None:
            if isinstance(side.network, IPv6Network) is not v6:
                return None
            asked += _in(side.network, _CLIENT + i * size)
        if side.port is not None:
            at = _CLIENT + 2 * size + i * _PORT_BYTES
            for j, value in enumerate(side.port.to_bytes(_PORT_BYTES, "big")):
                asked.append(_question(at + j, value.__eq__))
    return tuple(asked)


def _in(network: Network, at: int) -> Iterable[Question]:
    address, mask = network.network_address.packed, network.netmask.packed
    for i, (value, bits) in enumerate(zip(address, mask, strict=True)):
        if bits:
            yield at + i, bytes(byte & bits == value for byte in range(_BYTE))


def _destinations(wanted: ConnectionFilter, tables: Tables) -> frozenset[int] | None:
    """Ids of the service and the destination that are asked for, None: any."""
    if wanted.service is None and wanted.destination == Side():
        return None
    services: Collection[int] = tables.services
    if wanted.service is not None:
        key = service_key(wanted.service)
        services = [id_ for id_, each in tables.services.items() if each.key == key]
        if not services:
            message = f"there is no service {key_title(wanted.service)}"
            raise Problem(Code.NO_SUCH_SERVICE, message, "service")
    return frozenset(
        id_
        for id_, each in tables.destinations.items()
        if each.service in services
        and wanted.destination.port in {None, each.port}
        and _has(wanted.destination.network, each.address)
    )


def _has(network: Network | None, address: bytes) -> bool:
    return network is None or unpacked(address) in network
