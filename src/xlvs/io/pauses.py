# SPDX-License-Identifier: Apache-2.0
"""How long the event loop stood still: whoever waits for an answer must not blame others for it."""

from __future__ import annotations

import asyncio
from collections import deque

from xlvs.engine.histogram import Histogram
from xlvs.io import clock

PERIOD = 0.1
"""Seconds between two looks at the clock."""

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
"""Seconds, of ``Pauses.late``."""

WORTH_NOTING = 0.2
_KEPT = 1000


class Pauses:
    """Looks at the clock again and again; ``close`` it. Times are of ``clock.monotonic``."""

    def __init__(self) -> None:
        self.late = Histogram(BOUNDS)
        """How late each look was."""
        self._loop = asyncio.get_running_loop()
        self._found: deque[tuple[float, float]] = deque(maxlen=_KEPT)  # its end, its length
        self._seen = clock.monotonic()
        self._timer = self._loop.call_later(PERIOD, self._beat)

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def longest_since(self, moment: float) -> float:
        """Seconds of the longest pause that was not over at this moment, 0.0: there was none.

        A pause that has only just ended counts, too.
        """
        now = clock.monotonic()
        longest = self._pause(now)
        for end, length in reversed(self._found):
            if end < moment:
                break
            longest = max(longest, length)
        return longest

    def _pause(self, now: float) -> float:
        late = self._late(now)
        return late if late >= WORTH_NOTING else 0.0

    def _late(self, now: float) -> float:
        return now - self._seen - PERIOD

    def _beat(self) -> None:
        now = clock.monotonic()
        self.late.observe(max(self._late(now), 0.0))
        if late := self._pause(now):
            self._found.append((now, late))
        self._seen = now
        self._timer = self._loop.call_later(PERIOD, self._beat)
