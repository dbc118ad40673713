# SPDX-License-Identifier: Apache-2.0
"""The contents of the maps as one value: what there is, and what should be.

Both have the same type, so a difference needs no translation and "applied" means "equal".
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from xlvs.datapath.records import (
    Destination,
    Interface,
    Method,
    Scheduler,
    Service,
    ServiceFlag,
    ServiceKey,
    Settings,
)

EMPTY: Mapping[Any, Any] = MappingProxyType({})


NO_BLOCK = 0xFFFFFFFF
"""Port block of a removed destination whose service has other local addresses by now."""


class Servers(NamedTuple):
    """A service's list: destination ids newest first, and wrr's two numbers."""

    ids: tuple[int, ...] = ()
    gcd: int = 1
    max_weight: int = 0


class BlockKey(NamedTuple):
    """What a block of FULLNAT's local ports belongs to."""

    local: bytes
    server: bytes
    port: int
    protocol: int


class Tables(NamedTuple):
    """Everything that the daemon writes, by id."""

    keys: Mapping[ServiceKey, int] = EMPTY
    services: Mapping[int, Service] = EMPTY
    servers: Mapping[int, Servers] = EMPTY
    destinations: Mapping[int, Destination] = EMPTY
    local_addresses: Mapping[int, bytes] = EMPTY
    interfaces: Mapping[int, Interface] = EMPTY
    settings: Settings = Settings()

    def used(self, service: int) -> bool:
        """Whether there is such a service now, and not only connections of one."""
        found = self.services.get(service)
        return found is not None and bool(found.flags & ServiceFlag.USED)

    def scheduler(self, service: int) -> int:
        """The service's scheduler, NONE if there is no such service."""
        found = self.services.get(service)
        return Scheduler.NONE if found is None else found.scheduler

    def pool(self, service: int) -> tuple[bytes, ...]:
        """A service's local addresses."""
        record = self.services.get(service)
        if record is None:
            return ()
        places = range(record.local_base, record.local_base + record.local_count)
        found = map(self.local_addresses.get, places)
        return tuple(address for address in found if address is not None)

    def blocks(self, without: frozenset[int] = frozenset()) -> dict[int, BlockKey]:
        """Blocks of local ports by index, read off the destinations that name them.

        ``without``: services whose destinations are left out.
        """
        found = {}
        for destination in self.destinations.values():
            service = self.services.get(destination.service)
            if service is None or destination.method != Method.FULLNAT:
                continue
            if destination.port_block == NO_BLOCK or destination.service in without:
                continue
            for i in range(service.local_count):
                local = self.local_addresses.get(service.local_base + i)
                if local is not None:
                    found[destination.port_block + i] = BlockKey(
                        local, destination.address, destination.port, service.key.protocol
                    )
        return found


class Region(NamedTuple):
    """A range of the map service_destinations."""

    base: int
    size: int


class Have(NamedTuple):
    """What the maps hold now.

    ``regions``: per service, the list in use and the one before, which a packet may
    still be reading. ``busy_blocks``: blocks of local ports with connections.
    """

    tables: Tables = Tables()
    regions: Mapping[int, tuple[Region, Region]] = EMPTY
    busy_blocks: frozenset[int] = frozenset()


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
    def local_addresses(self) -> int:
        """FULLNAT's local addresses."""

    @property
    def port_blocks(self) -> int:
        """Blocks of FULLNAT's local ports."""
