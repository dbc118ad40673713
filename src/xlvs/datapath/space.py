# SPDX-License-Identifier: Apache-2.0
"""Room in the maps of lists and slots: regions that no packet may still be reading. Pure."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

from xlvs.datapath import slots
from xlvs.datapath.records import SLOT_PAGE
from xlvs.datapath.tables import Have, Region
from xlvs.model.problem import Code, Problem

NOWHERE = Region(0, 0)


class Space:
    """Free regions below ``size``; with ``page`` none that crosses a multiple of it.

    ``taken``: regions that are not free. It is asked when the first is wanted: most
    changes want none, and there may be ten thousand services.
    """

    def __init__(
        self, taken: Callable[[], Iterable[Region]], size: int, complaint: str, page: int = 0
    ) -> None:
        self._taken = taken
        self._size = size
        self._complaint = complaint
        self._page = page or size
        self._begin: dict[int, int] = {}

    def take(self, count: int) -> Region:
        """The first region of so many that is free, from now on taken. Raises Problem."""
        if not count:
            return NOWHERE
        gaps = self._gaps
        # Unless some are given back gaps only shrink: those that were too small stay so.
        for place in range(self._begin.get(count, 0), len(gaps)):
            gap = gaps[place]
            if gap.size >= count:
                gaps[place] = Region(gap.base + count, gap.size - count)
                self._begin[count] = place
                return Region(gap.base, count)
        raise Problem(Code.NO_SPACE, self._complaint)

    def give(self, region: Region) -> None:
        """It is free again."""
        if not region.size:
            return
        gaps, (base, size) = self._gaps, region
        end = base + size
        first = last = bisect(gaps, region)
        if base % self._page and first and sum(gaps[first - 1]) == base:
            first -= 1
            base = gaps[first].base
        if end % self._page and last < len(gaps) and gaps[last].base == end:
            end = sum(gaps[last])
            last += 1
        gaps[first:last] = [Region(base, end - base)]
        self._begin.clear()

    @property
    def gaps(self) -> tuple[Region, ...]:
        """What is free, in order."""
        return tuple(gap for gap in self._gaps if gap.size)

    @cached_property
    def _gaps(self) -> list[Region]:
        # Gaps, not what is taken: ten thousand new services take theirs one by one.
        found: list[Region] = []
        base = 0
        for region in (*sorted({each for each in self._taken() if each.size}), self._end):
            found.extend(self._paged(base, region.base))
            base = max(base, region.base + region.size)
        return found

    @property
    def _end(self) -> Region:
        return Region(self._size, 0)

    def _paged(self, base: int, end: int) -> Iterator[Region]:
        """What lies between, page by page."""
        while base < end:
            border = min(end, base - base % self._page + self._page)
            yield Region(base, border - base)
            base = border


def page_of(region: Region) -> int:
    """The number of the page that a region of slots lies in."""
    return region.base // SLOT_PAGE


def slots_read(have: Have) -> Iterator[Region]:
    """Regions of slots that packets may be reading.

    Those before are not kept for as long as lists are: they are large, also those of
    services that are gone.
    """
    for id_, (current, before) in have.slot_regions.items():
        yield current
        if (have.now - have.committed.get(id_, have.now)) % slots.TICKS < have.hz:
            yield before


def spare_pages(have: Have) -> list[int]:
    """Pages of slots that no packet reads."""
    if not have.slot_pages:
        return []
    return sorted(have.slot_pages - {page_of(each) for each in slots_read(have) if each.size})
