# SPDX-License-Identifier: Apache-2.0
"""How often something was how long."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import inf


class Histogram:
    """Counts of observations, in seconds, up to each of ``bounds`` and above them."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.sum = 0.0
        """Of all observations."""
        self._counts = [0] * (len(self.bounds) + 1)

    def observe(self, seconds: float) -> None:
        """One more. A bound itself belongs to what is up to it."""
        self._counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """For each bound, and at last for infinity, how many observations were at most that."""
        return zip((*self.bounds, inf), accumulate(self._counts), strict=True)
