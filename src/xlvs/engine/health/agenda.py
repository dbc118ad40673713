# SPDX-License-Identifier: Apache-2.0
"""What is due when, for tens of thousands of things."""

from __future__ import annotations

import heapq
from typing import Generic, Protocol, TypeVar


class Due(Protocol):
    """``due``: when, None: never. Written by the agenda alone."""

    due: float | None


Thing = TypeVar("Thing", bound=Due)


class Agenda(Generic[Thing]):
    """Each thing is due at one time at most; setting another forgets the one before.

    Logarithmic. Forgotten entries go when their time has come.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Thing]] = []
        self._count = 0

    def put(self, thing: Thing, when: float | None) -> None:
        """It is due then; None: never."""
        if thing.due == when:
            return
        thing.due = when
        if when is not None:
            self._count += 1
            heapq.heappush(self._heap, (when, self._count, thing))

    def __len__(self) -> int:
        """Entries, the forgotten ones too."""
        return len(self._heap)

    def first(self) -> float | None:
        """When the first thing is due."""
        heap = self._heap
        while heap and heap[0][2].due != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop(self, now: float) -> Thing | None:
        """The first thing that is due by now, which it is no longer then."""
        when = self.first()
        if when is None or when > now:
            return None
        thing = heapq.heappop(self._heap)[2]
        thing.due = None
        return thing
