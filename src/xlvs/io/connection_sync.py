# SPDX-License-Identifier: Apache-2.0
"""Connection sync of this director: from its table to others, and from others to its table."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from xlvs.datapath.held import Held
from xlvs.datapath.libbpf import RingBuffer
from xlvs.datapath.records import Synced as ToTake
from xlvs.datapath.records import SyncedResult
from xlvs.datapath.synced import Book, Refused, others_destinations, used_since
from xlvs.datapath.tables import Tables
from xlvs.io.sync.ipvs import DEFAULT, Tuning
from xlvs.io.sync.service import Status, Sync
from xlvs.io.sync_maps import SyncMaps
from xlvs.io.tasks import Tasks
from xlvs.model.problem import Problem
from xlvs.model.synced import Synced
from xlvs.model.syncing import Roles, SyncDaemon

PERIOD = 0.02
"""Seconds between two looks at what the data path tells."""

REFRESH = 60.0
"""Seconds between two looks at the whole table, for connections that are merely used on."""

FRESH = 2.0
"""Seconds. Peers tell once a second how far behind they are."""

_TRIES = 3
_IDLE = round(1 / PERIOD)
"""Looks without anything new between two at what was not told: a second."""

log = logging.getLogger(__name__)


class ConnectionSync:
    """Runs while it is configured. ``tables``: what the maps hold now; ``hz``: its ticks."""

    def __init__(
        self,
        daemon: SyncDaemon,
        maps: SyncMaps,
        tables: Callable[[], Tables],
        hz: int,
        tasks: Tasks,
        *,
        tuning: Tuning = DEFAULT,
    ) -> None:
        self.daemon = daemon
        self.refused: Counter[str] = Counter()
        """Connections of others that were not taken, by reason."""
        self.taken = 0
        self._maps = maps
        self._tables = tables
        self._hz = hz
        self._book: tuple[Tables, Book] | None = None
        self._tasks = tasks
        self._ring = RingBuffer(maps.events_fd)
        self._untold = maps.untold()
        self._running: list[asyncio.Task[None]] = []
        self._sync = Sync(daemon, self._deliver, self._snapshot, tasks, tuning)

    async def start(self) -> None:
        """Open everything. Raises OSError."""
        self._ring.read()  # what was told to nobody is in the table
        await self._sync.start()
        self._running = [
            self._tasks.start("sync: changes", self._changes()),
            self._tasks.start("sync: refresh", self._refresh()),
        ]

    async def stop(self) -> None:
        """Send what waits, and close."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running = []
        await self._sync.stop()
        self._ring.close()

    def roles(self, wanted: Roles) -> None:
        """Be this in IPVS's protocol. Raises OSError."""
        self._sync.roles(wanted)

    def is_fresh(self, seconds: float) -> bool:
        """Whether what peers hold is known here, and was told within that time."""
        return self._sync.is_fresh(min(seconds, FRESH))

    def status(self) -> Status:
        """For an operator."""
        return self._sync.status()

    # ---- from the table to others

    async def _changes(self) -> None:
        idle = 0
        while True:
            await asyncio.sleep(PERIOD)
            events = self._ring.read()
            if events:
                self._offer(self._maps.told(events))
            idle = 0 if events else (idle + 1) % _IDLE
            # Only a full ring has no room, so who drains it looks; and now and then for all.
            if not idle:
                self._look_for_untold()

    def _look_for_untold(self) -> None:
        untold = self._maps.untold()
        if untold != self._untold:
            log.warning("sync: %d changes found no room: all is told", untold - self._untold)
            self._untold = untold
            self._sync.resync()

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH)
            await self._pass(round((REFRESH + 1) * self._hz))

    async def _pass(self, ticks: int) -> None:
        """What of the whole table was used within that time, by clients of this director."""
        tables = self._tables()
        timeouts = tables.settings.timeout
        others = others_destinations(tables)
        for part in self._maps.everything():
            self._offer(
                each
                for each in part
                if each.destination not in others
                and (each.template or used_since(each, timeouts, ticks))
            )
            await asyncio.sleep(0)

    def _offer(self, found: Iterator[Held]) -> None:
        self._sync.offer(list(self._outgoing(found)))

    def _outgoing(self, found: Iterator[Held]) -> Iterator[Synced]:
        book = self._of_now()
        above: set[tuple[int, int]] = set()
        for held in found:
            if held.controlled:
                template = self._maps.above(held)
                if template is not None and template.tenant not in above:
                    above.add(template.tenant)
                    yield from self._one(book, template)
            yield from self._one(book, held)

    def _one(self, book: Book, held: Held) -> Iterator[Synced]:
        more = self._maps.template(held) if held.template else None
        synced = book.outgoing(held, more, self._maps.stream(held))
        if synced is not None:
            yield synced

    def _snapshot(self) -> Iterator[Sequence[Synced]]:
        for part in self._maps.everything():
            yield list(self._outgoing(iter(part)))

    # ---- from others to the table

    def _deliver(self, connections: Sequence[Synced]) -> None:
        book = self._of_now()
        wanted: list[ToTake] = []
        for each in connections:
            try:
                wanted.append(book.incoming(each))
            except Refused as refused:
                self.refused[refused.reason.value] += 1
        for _ in range(_TRIES):
            try:
                results = self._maps.take(wanted)
            except Problem as problem:
                log.error("sync: %s", problem.message)  # noqa: TRY400 - a sentence
                break
            again: list[ToTake] = []
            for taken, result in zip(wanted, results, strict=True):
                if result in {SyncedResult.OPENED, SyncedResult.UPDATED}:
                    self.taken += 1
                elif result is SyncedResult.CONTENDED:
                    again.append(taken)
                else:
                    self.refused[result.name.lower()] += 1
            wanted = again
            if not wanted:
                return
        self.refused[SyncedResult.CONTENDED.name.lower()] += len(wanted)

    def _of_now(self) -> Book:
        tables = self._tables()
        if self._book is None or self._book[0] is not tables:
            self._book = (tables, Book(tables, self._hz))
        return self._book[1]
