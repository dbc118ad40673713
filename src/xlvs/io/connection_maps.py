# SPDX-License-Identifier: Apache-2.0
"""The connection table of one data path, for an operator: listed, counted, closed."""

from __future__ import annotations

from collections.abc import Iterator

from xlvs.datapath import records
from xlvs.datapath.addresses import text
from xlvs.datapath.connections import Listing, Remembered, Server
from xlvs.datapath.loader import CLOSE_PROGRAM, DataPath
from xlvs.datapath.places import LINES, Part, Shape, parts
from xlvs.datapath.port import Closed, Piece
from xlvs.datapath.records import Closing, ClosingResult, Tenant
from xlvs.datapath.selection import Selection
from xlvs.datapath.tally import Tally
from xlvs.datapath.word import GENERATION
from xlvs.io.batches import Batches

_MAPS = (("connections4", False), ("connections6", True))


class ConnectionMaps:
    """Close it before the path. What is read is read some thousand places at a time."""

    def __init__(self, path: DataPath) -> None:
        self._path = path
        self._layout = path.layout
        self._hz = path.geometry.hz
        self._views = [path.map(name).view() for name, _ in _MAPS]
        self._shapes = [Shape.of(path.layout, v6=v6) for _, v6 in _MAPS]
        self._closings = Batches(
            path, Closing, entries="closings", batch="closing_batch", program=CLOSE_PROGRAM
        )

    def close(self) -> None:
        """Let go of the maps' memory."""
        for view in self._views:
            view.release()
        self._closings.close()

    def listed(self, selection: Selection, after: int, limit: int | None) -> Iterator[Piece]:
        """What ``Port.connections`` gives."""
        listings = [
            Listing(shape, self._hz, self._server, self._local, self._template)
            for shape in self._shapes
        ]
        left = limit
        for base, found in self._parts(selection, after):
            now = self._path.ticks()
            lines = []
            for part in found:
                end = None if left is None else _cut(part, left)
                lines.append(listings[part.shape.v6].read(part, now))
                if end is not None:
                    yield Piece("".join(lines).encode(), base + end)
                    return
                if left is not None:
                    left -= sum(part.wanted)
            yield Piece("".join(lines).encode())

    def tally(self, selection: Selection, tally: Tally) -> Iterator[None]:
        """What ``Port.tally`` does."""
        for _, found in self._parts(selection):
            now = self._path.ticks()
            for part in found:
                tally.add(part, now)
            yield

    def end(self, selection: Selection, limit: int, *, reset: bool) -> Iterator[Closed]:
        """What ``Port.close_connections`` does."""
        left = limit
        for _, found in self._parts(selection):
            for part in found:
                more = _cut(part, left) is not None
                left -= sum(part.wanted)
                yield self._end(part, reset=reset, more=more)
                if more:
                    return
            yield Closed()

    def _end(self, part: Part, *, reset: bool, more: bool) -> Closed:
        v6 = part.shape.v6
        wanted = [
            Closing(Tenant(at, word & GENERATION | v6), int(reset))
            for at, (word, *_) in part.numbered()
        ]
        results = [ClosingResult(each.result) for each in self._closings.run(wanted)]
        return Closed(
            reset=results.count(ClosingResult.RESET),
            ended=results.count(ClosingResult.ENDED),
            gone=results.count(ClosingResult.GONE),
            contended=results.count(ClosingResult.CONTENDED),
            more=more,
        )

    def _parts(self, selection: Selection, after: int = 0) -> Iterator[tuple[int, list[Part]]]:
        """Some lines at a time, also without a connection, from a place in the order of reading.

        With the number of that order at which the map begins.
        """
        base = 0
        for view, shape in zip(self._views, self._shapes, strict=True):
            count = len(view) // shape.line
            span = -(-count // LINES) * LINES * shape.ways
            begun = max(after - base, 0)
            first = begun // (LINES * shape.ways) * LINES
            if selection.asks(v6=shape.v6):
                for line in range(first, count, LINES):
                    lines = view[line * shape.line : (line + LINES) * shape.line]
                    found = parts(lines, shape, line, selection.choose)
                    yield base, [part for part in found if _from(part, begun)]
            base += span

    def _server(self, destination: int) -> Server | None:
        raw = self._path.map("destinations").lookup(destination)
        if raw is None:
            return None
        found = self._layout.unpack(records.Destination, raw)
        keeps = bool(found.flags & records.DestinationFlag.CLIENT_PORT)
        ftp = bool(found.flags & records.DestinationFlag.FTP)
        return Server(text(found.address), found.port, keeps, ftp, found.method)

    def _template(self, tenant: Tenant) -> Remembered:
        """Nothing, if the template went meanwhile."""
        key = self._layout.pack(tenant)
        raw = self._path.map("templates").lookup(key)
        if raw is None:
            return Remembered()
        found = self._layout.unpack(records.Template, raw)
        call_id = self._path.map("call_ids").lookup(key) if found.call_id else None
        if call_id is None:
            return Remembered(bool(found.assured))
        whole = self._layout.unpack(records.CallId, call_id)
        data = whole.text[: whole.length].decode(errors="backslashreplace")
        return Remembered(bool(found.assured), data)

    def _local(self, block: int) -> str:
        raw = self._path.map("port_blocks").lookup(block)
        found = self._layout.unpack(records.PortBlock, raw) if raw else records.PortBlock()
        return text(found.local)


def _from(part: Part, place: int) -> bool:
    """Take back what lies before a place in the order of reading; whether anything is left."""
    passed = min(place - part.begin, len(part.wanted))
    if passed > 0:
        part.wanted[:passed] = bytes(passed)
        return any(part.wanted)
    return True


def _cut(part: Part, limit: int) -> int | None:
    """Take back what is beyond the first ones; the place behind them, None if all may stay."""
    if sum(part.wanted) <= limit:
        return None
    end = -1
    for _ in range(limit):
        end = part.wanted.index(1, end + 1)
    part.wanted[end + 1 :] = bytes(len(part.wanted) - end - 1)
    return part.begin + end + 1
