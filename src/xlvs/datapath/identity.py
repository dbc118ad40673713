# SPDX-License-Identifier: Apache-2.0
"""Ids: which entry of a map stands for which service, destination, address or port block.

An id stays with its owner as long as connections may name it, also after the owner
was removed: adding it again finds the same id, with its connections and counters
(IPVS's trash). Ids are read off what the maps hold, so a restarted daemon agrees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from xlvs.datapath.records import ServiceKey
from xlvs.datapath.tables import BlockKey, Capacity, Have
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
        release: frozenset[int],
        moved: frozenset[int] = frozenset(),
        free: FreeIds | None = None,
    ) -> None:
        """``release``: ids of removed destinations that nobody refers to any more.

        ``moved``: services that get other local addresses; their blocks of ports are
        not theirs any more, and nobody else's yet. ``free``: if ``have`` is a part only,
        the ids that are nobody's in the whole.
        """
        tables = have.tables
        self._capacity = capacity
        self._services: dict[ServiceKey, int] = {
            service.key: id_ for id_, service in tables.services.items()
        }
        self._destinations: dict[ServerKey, int] = {
            (d.service, d.family, d.address, d.port): id_
            for id_, d in tables.destinations.items()
            if id_ not in release
        }
        self._free = free or FreeIds(
            Free(self._services.values(), capacity.services),
            Free(self._destinations.values(), capacity.destinations),
        )
        known = tables.blocks(without=moved)
        left = (have.busy_blocks | tables.blocks().keys()) - known.keys()
        self._blocks = _Blocks(known, left, capacity.port_blocks)

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

    def blocks(self, keys: Sequence[BlockKey]) -> int:
        """First of as many blocks of local ports in a row, one per key."""
        return self._blocks.find(keys)


class _Blocks:
    """Blocks of local ports.

    A key has one block, whoever uses it: two blocks for one (local address, server)
    would hand out the same port twice.
    """

    def __init__(self, taken: dict[int, BlockKey], left: frozenset[int], size: int) -> None:
        """``left``: blocks that connections use though nobody owns them any more."""
        self._at: dict[int, BlockKey] = taken
        self._of: dict[BlockKey, int] = {key: block for block, key in taken.items()}
        self._left = left
        self._size = size
        self._next = 0

    def find(self, keys: Sequence[BlockKey]) -> int:
        known = {self._of[key] - i for i, key in enumerate(keys) if key in self._of}
        if len(known) > 1:
            raise Problem(
                Code.NOT_SUPPORTED,
                "local addresses of services with the same real server overlap in part: "
                "give them the same local addresses, or none in common",
            )
        candidates: Iterable[int] = known or range(self._next, self._size)
        for base in candidates:
            if self._fits(base, keys):
                for i, key in enumerate(keys):
                    self._at[base + i] = key
                    self._of[key] = base + i
                if not known:
                    self._next = base
                return base
        if known:
            raise Problem(
                Code.NOT_SUPPORTED,
                "local addresses cannot be added while another service with the same real "
                "server uses some of them: give both the same local addresses",
            )
        raise Problem(
            Code.NO_SPACE,
            f"there is no room for more than {self._size} pairs of local address and real server",
        )

    def _fits(self, base: int, keys: Sequence[BlockKey]) -> bool:
        if base < 0 or base + len(keys) > self._size:
            return False
        return all(
            self._at.get(base + i, key) == key and base + i not in self._left
            for i, key in enumerate(keys)
        )
