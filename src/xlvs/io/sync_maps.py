# SPDX-License-Identifier: Apache-2.0
"""Connection sync's way to the data path: what is told, what is there, what is to be taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xlvs.datapath.held import Held, Holder
from xlvs.datapath.loader import SYNC_PROGRAM, DataPath
from xlvs.datapath.places import LINES, Shape
from xlvs.datapath.records import (
    Stream,
    Synced,
    SyncedResult,
    TableCounts,
    Template,
    Tenant,
)
from xlvs.io.batches import Batches

_MAPS = ("connections4", "connections6")


class SyncMaps:
    """The maps of one data path. Close it before the path."""

    def __init__(self, path: DataPath) -> None:
        self._path = path
        self._layout = path.layout
        self._tables = [path.map(name).view() for name in _MAPS]
        self._holders = [Holder(Shape.of(self._layout, v6=v6)) for v6 in (False, True)]
        self._batches = Batches(
            path, Synced, entries="synced", batch="sync_batch", program=SYNC_PROGRAM
        )

    def close(self) -> None:
        """Let go of the maps' memory."""
        for view in self._tables:
            view.release()
        self._batches.close()

    @property
    def events_fd(self) -> int:
        """Descriptor of the ring buffer in which connections are told."""
        return self._path.map("sync_events").fd

    def untold(self) -> int:
        """How many were not told since the maps are there, for the ring was full."""
        codec = self._layout.codec(TableCounts)
        counts = self._path.map("table_counts").lookup_percpu(0)
        return sum(codec.unpack(raw).untold for raw in counts)

    def told(self, events: Sequence[bytes]) -> Iterator[Held]:
        """The connections that the ring buffer's records name, each once, as they are now."""
        now = self._path.ticks()
        for raw in dict.fromkeys(events):
            held = self._read(self._layout.unpack(Tenant, raw), now)
            if held is not None:
                yield held

    def above(self, held: Held) -> Held | None:
        """The template that a connection was opened under."""
        raw = self._path.map("controlled").lookup(self._layout.pack(held.tenant))
        if raw is None:
            return None
        return self._read(self._layout.unpack(Tenant, raw), self._path.ticks())

    def template(self, held: Held) -> Template | None:
        """What a template says besides its place; None if it went meanwhile."""
        raw = self._path.map("templates").lookup(self._layout.pack(held.tenant))
        return None if raw is None else self._layout.unpack(Template, raw)

    def stream(self, held: Held) -> Stream | None:
        """What is done to its segments, if anything."""
        if not held.special:
            return None
        raw = self._path.map("streams").lookup(self._layout.pack(held.tenant))
        return None if raw is None else self._layout.unpack(Stream, raw)

    def everything(self) -> Iterator[list[Held]]:
        """All connections, some thousand places at a time, also none."""
        for view, holder, name in zip(self._tables, self._holders, _MAPS, strict=True):
            stride = self._path.map(name).stride
            for at in range(0, len(view), LINES * stride):
                lines = view[at : at + LINES * stride]
                yield list(holder.read(lines, self._path.ticks(), at // stride))

    def take(self, connections: Sequence[Synced]) -> list[SyncedResult]:
        """Put connections into the table, or bring them up to date there."""
        return [SyncedResult(each.result) for each in self._batches.run(connections)]

    def _read(self, tenant: Tenant, now: int) -> Held | None:
        v6 = tenant.generation & 1
        return self._holders[v6].read_one(self._tables[v6], tenant, now)
