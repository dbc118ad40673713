# SPDX-License-Identifier: Apache-2.0
"""How many connections, and who has most of them, in memory that does not grow with them.

Pure. Who has most is counted in as many counters as there are clients, until there are too
many; then all counters lose the same, those with little are gone, and what was lost is said
(Misra and Gries, 1982; merged as by Agarwal et al., PODS 2012).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

from xlvs.datapath.places import Part
from xlvs.datapath.word import HALF, TICKS

COUNTERS = 1 << 16
"""At most so many remain, twice that meanwhile: some 10 MB."""

Whose = bytes | int
"""A client's address, or a destination's id."""

K = TypeVar("K")


class Tally:
    """Counts parts of the table. ``whose``: fields of a place; None: the sum alone is wanted."""

    def __init__(self, whose: str | None = None, counters: int = COUNTERS) -> None:
        self.connections = 0
        self.lost = 0
        """The most by which any count of ``counts`` may be too low; 0: they are exact."""
        self.counts: Counter[Whose] = Counter()
        self._whose = _WHOSE[whose] if whose else None
        self._counters = counters

    def add(self, part: Part, now: int) -> None:
        """Count those that are wanted and are not over at the tick ``now``."""
        if self._whose is None:
            self.connections += sum(0 < (each - now & TICKS) < HALF for each in part.expiries())
            return
        found = list(self._whose(part, now))
        self.connections += len(found)
        self.counts.update(found)
        if len(self.counts) > 2 * self._counters:
            self._forget()

    def _forget(self) -> None:
        low = sorted(self.counts.values(), reverse=True)[self._counters]
        self.lost += low
        self.counts = Counter({key: n - low for key, n in self.counts.items() if n > low})

    def top(self, most: int, name: Callable[[Whose], K]) -> list[tuple[K, int]]:
        """Who has most, by name: several may have one."""
        by_name: Counter[K] = Counter()
        for key, count in self.counts.items():
            by_name[name(key)] += count
        return by_name.most_common(most)


def _clients(part: Part, now: int) -> Iterator[Whose]:
    for _, expires, _, _, _, client, _, _, _ in part.places():
        if 0 < (expires - now & TICKS) < HALF:
            yield client


def _destinations(part: Part, now: int) -> Iterator[Whose]:
    for _, expires, destination, _, _, _, _, _, _ in part.places():
        if 0 < (expires - now & TICKS) < HALF:
            yield destination


_WHOSE: dict[str, Callable[[Part, int], Iterator[Whose]]] = {
    "client": _clients,
    "destination": _destinations,
}
