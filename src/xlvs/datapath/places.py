# SPDX-License-Identifier: Apache-2.0
"""How the lines of the connection table lie in memory, and which of their places are taken.

Pure: mapped memory in. There may be ten million connections, so places are chosen by
the thousand and in C; only those that are wanted are taken apart.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import compress
from typing import NamedTuple, Self

from xlvs.datapath.layout import Layout
from xlvs.datapath.records import ConnectionFlag, Entry4, Entry6, Line4, Line6
from xlvs.datapath.word import GENERATION

LINES = 1024
"""Lines that are read at once: 64 KiB, some milliseconds of others' waiting."""

_WORD = 4  # bytes
_KIND = int(ConnectionFlag.LIVE | ConnectionFlag.ANSWER)
_SAME = _KIND | GENERATION

# A word's second byte -> whether the place has a connection, no ANSWER: both flags are there.
_SECOND = 1
_BYTE = 8  # bits
_IS_LIVE = bytes(byte << _BYTE & _KIND == ConnectionFlag.LIVE for byte in range(1 << _BYTE))

# Word, expires, destination, block, local port, then whose it is.
Place = tuple[int, int, int, int, int, bytes, bytes, int, int]
_PLACE4, _PLACE6 = "IIIHH4s4sHH", "IIIHH16s16sHH"


class Shape(NamedTuple):
    """How the lines of one family lie in memory; sizes in bytes."""

    v6: bool
    line: int
    place: int
    first: int  # of the first place in the line
    ways: int

    @classmethod
    def of(cls, layout: Layout, *, v6: bool) -> Self:
        """As the object that is loaded has it."""
        line = layout.codec(Line6) if v6 else layout.codec(Line4)
        place = layout.size(Entry6 if v6 else Entry4)
        first = line.offsets["way"]
        return cls(v6, line.size, place, first, (line.size - first) // place)

    def at(self, way: int) -> int:
        """Where in a line the place begins."""
        return self.first + way * self.place


@lru_cache
def _way(shape: Shape, way: int) -> struct.Struct:
    """One place of each line, and the line's other bytes passed over."""
    before = shape.at(way)
    place = struct.Struct(f"={before}x{_PLACE6 if shape.v6 else _PLACE4}")
    return struct.Struct(f"{place.format}{shape.line - place.size}x")


class Part(NamedTuple):
    """Places of some lines, one of each line, as they were at one moment.

    ``first``: number of the first line. ``wanted``: 1 for each line whose place is to be looked
    at, else 0. ``copy``: all bytes of the lines.
    """

    shape: Shape
    way: int
    first: int
    wanted: bytearray
    copy: bytes

    def places(self) -> Iterator[Place]:
        """Those that are wanted."""
        return compress(_way(self.shape, self.way).iter_unpack(self.copy), self.wanted)

    def numbered(self) -> Iterator[tuple[int, Place]]:
        """The same with their numbers, line * ways + way."""
        ways = self.shape.ways
        at = range(self.first * ways + self.way, 1 << 32, ways)
        return zip(compress(at, self.wanted), self.places(), strict=False)

    def expiries(self) -> Iterator[int]:
        """When each of them is over, and nothing else of it."""
        column = (self.shape.at(self.way) + _WORD) // _WORD
        ticks = memoryview(self.copy).cast("I")[column :: self.shape.line // _WORD]
        return compress(ticks, self.wanted)

    @property
    def begin(self) -> int:
        """Place of the first line in the order of reading, in which each has its own number."""
        return (self.first // LINES * self.shape.ways + self.way) * LINES


Choose = Callable[[Part], bool]
"""Takes back what is not wanted; whether anything is left."""


def parts(
    lines: memoryview, shape: Shape, first: int = 0, choose: Choose | None = None
) -> Iterator[Part]:
    """The connections in whole lines, of which the first has this number; parts that have any."""
    for way in range(shape.ways):
        live, copy = live_places(lines, shape, way)
        if live is not None:
            part = Part(shape, way, first, live, copy)
            if choose is None or choose(part):
                yield part


def live_places(lines: memoryview, shape: Shape, way: int) -> tuple[bytearray | None, bytes]:
    """In which lines one of the places has a connection, and a copy of all lines.

    Packets write meanwhile. What does not change of a connection lies between two looks
    at its word: if the place changed hands, the copy is of two connections.
    """
    place = shape.at(way)
    words = lines.cast("I")[place // _WORD :: shape.line // _WORD]
    before = bytes(words)
    live = bytearray(before[_SECOND::_WORD].translate(_IS_LIVE))
    if not any(live):
        return None, b""
    copy = bytes(lines)
    after = bytes(words)
    if after != before:
        both = zip(memoryview(before).cast("I"), memoryview(after).cast("I"), strict=True)
        for i, (one, other) in enumerate(both):
            if (one ^ other) & _SAME:
                live[i] = False
    return live, copy
