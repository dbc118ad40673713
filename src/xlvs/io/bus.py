# SPDX-License-Identifier: Apache-2.0
"""Events from whoever has something to tell to whoever listens. Telling never waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from xlvs.engine.event_ring import EventRing
from xlvs.io import clock
from xlvs.wire.events import Event, Kind

SIZE = 2048
"""How many events are kept: some minutes of a bad day."""


class Bus:
    """All events of one director. ``wall``: seconds since the epoch."""

    def __init__(self, wall: Callable[[], float] = clock.wall, size: int = SIZE) -> None:
        self._wall = wall
        # Ids grow over a restart if there was less than one event each millisecond.
        self._ring = EventRing(int(wall() * 1000), size)
        self._more = asyncio.Event()
        self._closed = False

    def tell(self, kind: Kind, text: str, about: str = "", by: str = "") -> None:
        """An event, now."""
        self._ring.add(self._wall(), kind, text, about, by)
        self._wake()

    def close(self) -> None:
        """Whoever listens has heard all."""
        self._closed = True
        self._wake()

    async def follow(self, after: int | None, quiet: float) -> AsyncIterator[Event | None]:
        """Events later than that one, None: from now on; None where ``quiet`` seconds had none.

        A reader that is so slow that events are lost is told a gap, and nothing after it.
        """
        last = self._ring.next - 1 if after is None else after
        begun = False
        while True:
            events = self._ring.after(last, self._wall())
            for event in events:
                yield event
                last = event.id
                if begun and event.kind is Kind.GAP:
                    return
            begun = True
            if self._ring.next - 1 != last:
                continue  # there came more while these were taken
            if self._closed:
                return
            more = self._more
            try:
                async with asyncio.timeout(quiet):
                    await more.wait()
            except TimeoutError:
                yield None

    def _wake(self) -> None:
        # Who waits, waits for this one; who comes later waits for the next one.
        self._more.set()
        self._more = asyncio.Event()
