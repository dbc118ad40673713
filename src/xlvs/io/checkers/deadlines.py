# SPDX-License-Identifier: Apache-2.0
"""Thousands of deadlines by one timer of the loop.

Deadlines of probes are seldom reached. A timer of the loop's own for each would have to be
made, sorted in and cancelled.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Generic, TypeVar

TICK = 0.05
"""Seconds that a deadline may be late."""

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Calls ``late`` with what was not ``done`` by its time."""

    def __init__(self, late: Callable[[T], None]) -> None:
        self._late = late
        self._loop = asyncio.get_running_loop()
        self._ticks: dict[int, set[T]] = {}
        self._next: tuple[int, asyncio.TimerHandle] | None = None

    def add(self, item: T, deadline: float) -> int:
        """Begin; gives what ``done`` wants."""
        tick = math.ceil(deadline / TICK)
        items = self._ticks.get(tick)
        if items is None:
            self._ticks[tick] = items = set()
            if self._next is None or tick < self._next[0]:
                self._arm(tick)
        items.add(item)
        return tick

    def done(self, item: T, tick: int) -> None:
        """Forget it."""
        items = self._ticks.get(tick)
        if items is not None:
            items.discard(item)

    def close(self) -> None:
        """Forget all."""
        self._ticks.clear()
        if self._next is not None:
            self._next[1].cancel()
            self._next = None

    def _arm(self, tick: int) -> None:
        if self._next is not None:
            self._next[1].cancel()
        self._next = (tick, self._loop.call_at(tick * TICK, self._expire))

    def _expire(self) -> None:
        self._next = None
        now = self._loop.time()
        for tick in sorted(tick for tick in self._ticks if tick * TICK <= now):
            for item in self._ticks.pop(tick):
                self._late(item)
        if self._ticks and self._next is None:
            self._arm(min(self._ticks))
