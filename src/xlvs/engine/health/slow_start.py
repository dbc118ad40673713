# SPDX-License-Identifier: Apache-2.0
"""A server that has come up gets its weight in steps: caches fill, connections spread."""

from __future__ import annotations

STEPS = 10


def weight(full: int, seconds: float, up: float) -> tuple[int, float | None]:
    """The weight of a server that came up so long ago, and in how many seconds it changes.

    At least 1 and never more than ``full``; None: it stays.
    """
    steps = min(STEPS, full)
    if steps <= 1 or up >= seconds:
        return full, None
    step = seconds / steps
    done = max(int(up / step), 0)
    # Rounding may put `up` right before the step that it is the time of.
    if (done + 1) * step - up < step * 1e-6:
        done += 1
    if done + 1 >= steps + 1:
        return full, None
    return max(full * (done + 1) // (steps + 1), 1), (done + 1) * step - up
