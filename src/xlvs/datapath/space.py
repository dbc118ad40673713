# SPDX-License-Identifier: Apache-2.0
"""Where in a map of lists there is room. Pure."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping

from xlvs.datapath.tables import Region
from xlvs.model.problem import Code, Problem

NOWHERE = Region(0, 0)


class Space:
    """Free regions of a map of lists: no packet may still be reading there."""

    def __init__(
        self, regions: Mapping[int, tuple[Region, Region]], size: int, complaint: str
    ) -> None:
        self._complaint = complaint
        # Gaps, not what is taken: ten thousand new services take theirs one by one.
        self._free: list[Region] = []
        base = 0
        for region in sorted({region for both in regions.values() for region in both}):
            if region.base > base and region.size:
                self._free.append(Region(base, region.base - base))
            base = max(base, region.base + region.size)
        if size > base:
            self._free.append(Region(base, size - base))

    @property
    def gaps(self) -> tuple[Region, ...]:
        """What is free, in order and in one piece each."""
        return tuple(self._free)

    def take(self, count: int) -> Region:
        """The first region that has so many places. Raises Problem if there is none."""
        if not count:
            return NOWHERE
        for place, gap in enumerate(self._free):
            if gap.size < count:
                continue
            rest = Region(gap.base + count, gap.size - count)
            self._free[place : place + 1] = [rest] if rest.size else []
            return Region(gap.base, count)
        raise Problem(Code.NO_SPACE, self._complaint)

    def give(self, region: Region) -> None:
        """Nobody reads there any more."""
        if not region.size:
            return
        place = bisect(self._free, region)
        base, end = region.base, region.base + region.size
        first, last = place, place
        if place and sum(self._free[place - 1]) == base:
            first, base = place - 1, self._free[place - 1].base
        if place < len(self._free) and self._free[place].base == end:
            last, end = place + 1, sum(self._free[place])
        self._free[first:last] = [Region(base, end - base)]
