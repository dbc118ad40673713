# SPDX-License-Identifier: Apache-2.0
"""The contents of the maps as one value: what there is, and what should be.

Both have the same type, so a difference needs no translation and "applied" means "equal".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from socket import IPPROTO_TCP
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from xlvs.datapath import support
from xlvs.datapath.addresses import slot, text
from xlvs.datapath.marks import NO_MARKS, Marks
from xlvs.datapath.records import (
    ADDRESS_SLOTS,
    AddressRole,
    Admission,
    Destination,
    DestinationFlag,
    Interface,
    Method,
    PortBlock,
    Scheduler,
    Service,
    ServiceFlag,
    ServiceKey,
    Settings,
)
from xlvs.datapath.slots import NO_OWNERS, Owners, Pasts
from xlvs.model.client_list import ClientList
from xlvs.model.problem import Code, Problem

EMPTY: Mapping[Any, Any] = MappingProxyType({})

EVERYWHERE = -1
"""In place of a byte of ``addresses``: all of them."""

# Plain numbers: there may be thousands of destinations.
_STATELESS = int(ServiceFlag.STATELESS)
_STANDBY = int(ServiceFlag.STANDBY)
_SIP = int(ServiceFlag.SIP)
_SYN_PROXY = int(ServiceFlag.SYN_PROXY)
_VIRTUAL = int(AddressRole.VIRTUAL)
_LOCAL_ROLE = int(AddressRole.LOCAL)
_SERVER = int(AddressRole.SERVER)
_STATELESS_ROLE = int(AddressRole.STATELESS)
_LOCAL = int(DestinationFlag.LOCAL)
_AVAILABLE = int(DestinationFlag.AVAILABLE)
_CLIENT_PORT = int(DestinationFlag.CLIENT_PORT)
_NAT = int(Method.NAT)
_PROTOCOLS = (6, 17, 132)
_UNTRANSLATED = frozenset({int(Method.DR), int(Method.TUN)})


class Servers(NamedTuple):
    """A service's list: destination ids newest first, wrr's two numbers, the slots of mh and sh.

    ``owners``: the destination id of each slot; empty unless the scheduler hashes and
    there is a server, for mh one with a weight.
    """

    ids: tuple[int, ...] = ()
    gcd: int = 1
    max_weight: int = 0
    owners: Owners = NO_OWNERS


def check_blocks(blocks: Iterable[PortBlock]) -> None:
    """Raise Problem where two could give one local port away for the same server's port."""
    uses: dict[tuple[bytes, bytes], set[tuple[int, int]]] = {}
    for key in blocks:
        uses.setdefault((key.local, key.server), set()).add((key.port, key.protocol))
    for (local, server), found in uses.items():
        for one, other in combinations(sorted(found), 2):
            if all(a == b or not a or not b for a, b in zip(one, other, strict=True)):
                raise Problem(
                    Code.INVALID,
                    f"fullnat: a service of all ports or a mark, and another service, have "
                    f"{text(server)} as real server and {text(local)} as local address: give one "
                    "of them local addresses of its own",
                )


class Tables(NamedTuple):
    """Everything that the daemon writes, by id.

    ``port_blocks``: whose each block of FULLNAT's ports is, also of blocks that no
    destination names any more but connections may. ``port_rows``: the blocks of each row
    that destinations name, one for each local address. ``marks``: the set of rules
    that ``settings.mark_set`` names. ``admissions``: by service, those in force.
    ``client_lists``: what the sets of prefixes hold, by number; None of one that was found there.
    """

    keys: Mapping[ServiceKey, int] = EMPTY
    services: Mapping[int, Service] = EMPTY
    servers: Mapping[int, Servers] = EMPTY
    destinations: Mapping[int, Destination] = EMPTY
    port_blocks: Mapping[int, PortBlock] = EMPTY
    interfaces: Mapping[int, Interface] = EMPTY
    settings: Settings = Settings()
    marks: Marks = NO_MARKS
    port_rows: Mapping[int, tuple[int, ...]] = EMPTY
    admissions: Mapping[int, Admission] = EMPTY
    client_lists: Mapping[int, ClientList | None] = EMPTY

    def used(self, service: int) -> bool:
        """Whether there is such a service now, and not only connections of one."""
        found = self.services.get(service)
        return found is not None and bool(found.flags & ServiceFlag.USED)

    def scheduler(self, service: int) -> int:
        """The service's scheduler, NONE if there is no such service."""
        found = self.services.get(service)
        return Scheduler.NONE if found is None else found.scheduler

    def stateless(self, service: int) -> bool:
        """Whether there is such a service now, and it keeps no connections."""
        found = self.services.get(service)
        return found is not None and bool(found.flags & _STATELESS)

    def pools(self) -> dict[int, tuple[bytes, ...]]:
        """Services' local addresses, read off the rows of their destinations."""
        return {
            d.service: tuple(self.port_blocks[block].local for block in self.port_rows[d.port_row])
            for d in self.destinations.values()
            if d.port_row
        }

    def blocks(self) -> dict[int, PortBlock]:
        """Blocks of local ports that new connections take ports of, by index."""
        named = {block for row in self.port_rows.values() for block in row}
        return {block: self.port_blocks[block] for block in sorted(named)}

    def counts(self) -> dict[str, int]:
        """Settings by which packets spare look-ups: of how many services something is true."""
        ports = [key for key in self.keys if not key.fwmark]
        return {
            "services": len(self.keys),
            "zero_ports": sum(1 for key in ports if not key.port),
            "sip_services": sum(1 for s in self.services.values() if s.flags & _SIP),
            "syn_proxies": sum(1 for s in self.services.values() if s.flags & _SYN_PROXY),
            "ftp_services": sum(
                1 for key in ports if key.port == support.FTP_PORT and key.protocol == IPPROTO_TCP
            ),
            "marks": len(self.keys) - len(ports),
            "local_destinations": sum(1 for d in self.destinations.values() if d.flags & _LOCAL),
        }

    def real_servers(self) -> dict[ServiceKey, int]:
        """NAT servers by where their packets come from: of more than one the lowest id."""
        found: dict[ServiceKey, int] = {}
        for key, id_ in self.answering():
            found[key] = min(id_, found.get(key, id_))
        return found

    def answering(
        self, destinations: Mapping[int, Destination] | None = None
    ) -> Iterator[tuple[ServiceKey, int]]:
        """Where each NAT server's packets come from; a mark's by each protocol.

        ``destinations``: only of these.
        """
        listed = self.destinations if destinations is None else destinations
        for id_, d in listed.items():
            service = self.services.get(d.service)
            if d.method != _NAT or not d.flags & _AVAILABLE or service is None or not d.port:
                continue
            protocols = _PROTOCOLS if service.key.fwmark else (service.key.protocol,)
            for protocol in protocols:
                yield ServiceKey(d.address, port=d.port, protocol=protocol, family=d.family), id_

    def roles(self) -> bytes:
        """What the map ``addresses`` must tell of addresses."""
        uses = set(self.role_uses())
        everywhere = 0
        for at, role in uses:
            everywhere |= role if at == EVERYWHERE else 0
        roles = bytearray([everywhere]) * ADDRESS_SLOTS
        for at, role in uses:
            if at != EVERYWHERE:
                roles[at] |= role
        return bytes(roles)

    def role_uses(self) -> Iterator[tuple[int, int]]:
        """Each reason that a byte of ``addresses`` has to tell a role, some more than once.

        Whatever has connections keeps its roles: services and destinations that were
        removed are here as long as connections name them, and so are blocks of ports.
        """
        for service in self.services.values():
            if service.flags & _STANDBY:
                continue
            at = slot(service.key.address)
            # Any address may be a mark's.
            yield EVERYWHERE if service.key.fwmark else at, _VIRTUAL
            if service.flags & _STATELESS:
                yield at, _STATELESS_ROLE
        for block in self.port_blocks.values():
            yield slot(block.local), _LOCAL_ROLE
        for d in self.destinations.values():
            yield slot(d.address), _SERVER
            # On the director itself a server answers by DR or TUN in the VIP's name.
            if d.flags & _LOCAL and d.method in _UNTRANSLATED and d.service in self.services:
                key = self.services[d.service].key
                yield EVERYWHERE if key.fwmark else slot(key.address), _SERVER


class Region(NamedTuple):
    """A range of the map service_destinations, or of the slots in one page of hash_slots."""

    base: int
    size: int


class Have(NamedTuple):
    """What the maps hold now.

    ``regions``: per service, the list in use and the one before, which a packet may
    still be reading. ``busy_blocks``: blocks of local ports with connections.
    ``roles``: all of the map ``addresses``. ``hz``: ticks per second, as of the start.
    ``egress``: what is sent passes our program.

    ``slot_regions``: as ``regions``, of slots. ``committed``: the tick of each
    service's last change; soon after it nobody reads the slots before. ``pasts``: per
    service, what the slots in use remember. ``now``: the tick. ``busy``: destinations
    with connections, as far as slots remember them. ``unseen``: those that never had a
    packet, as far as they lose slots. ``slot_pages``: pages of slots that take memory.
    """

    tables: Tables = Tables()
    regions: Mapping[int, tuple[Region, Region]] = EMPTY
    busy_blocks: frozenset[int] = frozenset()
    roles: bytes = bytes(ADDRESS_SLOTS)
    hz: int = 250
    egress: bool = False
    slot_regions: Mapping[int, tuple[Region, Region]] = EMPTY
    committed: Mapping[int, int] = EMPTY
    pasts: Mapping[int, Pasts] = EMPTY
    now: int = 0
    busy: frozenset[int] = frozenset()
    unseen: frozenset[int] = frozenset()
    slot_pages: frozenset[int] = frozenset()

    def remembered(self) -> set[int]:
        """Destinations that slots remember: their ids must be nobody else's."""
        return {past.destination for pasts in self.pasts.values() for past in pasts.values()}

    def hashed(self) -> set[int]:
        """Destinations that connections of slots that remember may have."""
        found = self.remembered()
        for pasts in self.pasts.values():
            found.update(*{past.others for past in pasts.values()})
        return found


class Release(NamedTuple):
    """What nobody refers to any more: removed destinations, blocks of local ports."""

    destinations: frozenset[int] = frozenset()
    blocks: frozenset[int] = frozenset()


class Capacity(Protocol):
    """How many entries the maps have (``loader.Sizes`` is one)."""

    @property
    def services(self) -> int:
        """Service ids."""

    @property
    def destinations(self) -> int:
        """Destination ids."""

    @property
    def service_destinations(self) -> int:
        """Places in all lists together."""

    @property
    def port_blocks(self) -> int:
        """Blocks of FULLNAT's local ports."""

    @property
    def port_rows(self) -> int:
        """Places in all rows of blocks together."""

    @property
    def hash_slots(self) -> int:
        """Slots in all tables of mh and sh together."""
