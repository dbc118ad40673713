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


def epoch() -> float:
    """What makes a time of ``monotonic`` one of ``wall``."""
    return wall() - monotonic()


def moment() -> None:
    """Let something pass that takes less than the event loop would notice."""
    time.sleep(20e-6)
