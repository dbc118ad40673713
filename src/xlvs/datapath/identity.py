# SPDX-License-Identifier: Apache-2.0
"""Ids: which entry of a map stands for which service, destination, address or port block.

An id stays with its owner as long as connections may name it, also after the owner
was removed: adding it again finds the same id, with its connections and counters
(IPVS's trash). Ids are read off what the maps hold, so a restarted daemon agrees.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from xlvs.datapath.records import PortBlock, ServiceKey
from xlvs.datapath.tables import Capacity, Have, Release
from xlvs.model.problem import Code, Problem

ServerKey = tuple[int, int, bytes, int]
"""A destination's identity: service id, family, address, port."""


class Free:
    """Numbers that are not taken, the lowest first."""

    def __init__(self, taken: Iterable[int], size: int) -> None:
        self._taken = set(taken)
        self._size = size
        self._next = 0

    def take(self, complaint: str) -> int:
        """The lowest one, taken from now on. Raises Problem with this text if there is none."""
        while self._next in self._taken:
            self._next += 1
        if self._next >= self._size:
            raise Problem(Code.NO_SPACE, complaint)
        self._taken.add(self._next)
        return self._next

    def give(self, number: int) -> None:
        """It is not taken any more."""
        self._taken.discard(number)
        self._next = min(self._next, number)


class FreeIds(NamedTuple):
    """Ids that are nobody's."""

    services: Free
    destinations: Free


class Identities:
    """Hands out ids against what the maps hold. One instance per computation."""

    def __init__(
        self,
        have: Have,
        capacity: Capacity,
        release: Release,
        free: FreeIds | None = None,
    ) -> None:
        """``release``: what nobody refers to any more.

        ``free``: if ``have`` is a part only, the ids that are nobody's in the whole.
        """
        tables = have.tables
        self._capacity = capacity
        self._services: dict[ServiceKey, int] = {
            service.key: id_ for id_, service in tables.services.items()
        }
        self._destinations: dict[ServerKey, int] = {
            (d.service, d.family, d.address, d.port): id_
            for id_, d in tables.destinations.items()
            if id_ not in release.destinations
        }
        self._free = free or FreeIds(
            Free(self._services.values(), capacity.services),
            Free(self._destinations.values(), capacity.destinations),
        )
        known = {i: key for i, key in tables.port_blocks.items() if i not in release.blocks}
        self._blocks = _Blocks(known, have.busy_blocks, capacity.port_blocks)
        self._rows = _Rows(tables.port_rows, capacity.port_rows)

    def service(self, key: ServiceKey) -> int:
        """The service's id. Raises Problem when there is no room."""
        found = self._services.get(key)
        if found is None:
            found = self._free.services.take(
                f"there is no room for more than {self._capacity.services} services"
            )
            self._services[key] = found
        return found

    def destination(self, key: ServerKey) -> int:
        """The destination's id. Raises Problem when there is no room."""
        found = self._destinations.get(key)
        if found is None:
            found = self._free.destinations.take(
                f"there is no room for more than {self._capacity.destinations} destinations"
            )
            self._destinations[key] = found
        return found

    def row(self, keys: Sequence[PortBlock]) -> Row:
        """The row of these blocks of local ports, one for each local address.

        Raises Problem when there is no room.
        """
        return self._rows.find(tuple(self._blocks.find(key) for key in keys))


class Row(NamedTuple):
    """A row of blocks of local ports: its place, and the blocks."""

    place: int
    blocks: tuple[int, ...]


class _Blocks:
    """Blocks of local ports.

    A key has one block, whoever uses it, and keeps it while connections have ports of it:
    two blocks for one (local address, server) would hand out the same port twice.
    """

    def __init__(self, known: Mapping[int, PortBlock], busy: frozenset[int], size: int) -> None:
        """``busy``: blocks that connections use, be it that nobody knows whose they are."""
        self._of = {key: block for block, key in known.items()}
        self._free = Free(busy.union(known), size)
        self._size = size

    def find(self, key: PortBlock) -> int:
        found = self._of.get(key)
        if found is None:
            found = self._of[key] = self._free.take(
                f"there is no room for more than {self._size} pairs of local address and real "
                "server (those with connections that an edit took away count until they end)"
            )
        return found


class _Rows:
    """Rows of blocks; those of one content are one. Place 0 is the empty one's."""

    def __init__(self, there: Mapping[int, tuple[int, ...]], size: int) -> None:
        """``there``: rows that packets read."""
        self._of = {blocks: place for place, blocks in there.items()}
        self._taken = sorted((place, place + len(blocks) + 1) for place, blocks in there.items())
        self._size = size
        # Behind the last one: what was read until a moment ago is not written at once.
        self._next = max((end for _, end in self._taken), default=1)

    def find(self, blocks: tuple[int, ...]) -> Row:
        place = self._of.get(blocks)
        if place is None:
            place = self._of[blocks] = self._take(len(blocks) + 1)
        return Row(place, blocks)

    def _take(self, length: int) -> int:
        for start in (self._next, 1):
            at = start
            for first, end in self._taken:
                if end <= at:
                    continue
                if at + length <= first:
                    break
                at = end
            if at + length <= self._size:
                insort(self._taken, (at, at + length))
                self._next = at + length
                return at
        raise Problem(
            Code.NO_SPACE,
            "there is no room for more sets of local addresses: let services with the same real "
            "servers have the same local addresses",
        )
