# SPDX-License-Identifier: Apache-2.0
"""The one door to the clocks."""

from __future__ import annotations

import time


def monotonic() -> float:
    """Seconds that only go forward."""
    return time.monotonic()


def wall() -> float:
    """Seconds since the epoch."""
    return time.time()


def table_ms() -> int:
    """The connection table's clock: ms of CLOCK_MONOTONIC as of the last tick, modulo 2**32."""
    return (time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000) & 0xFFFFFFFF
