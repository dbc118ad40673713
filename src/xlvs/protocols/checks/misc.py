# SPDX-License-Identifier: Apache-2.0
"""MISC_CHECK: what a program's exit status means."""

from __future__ import annotations

from xlvs.protocols.checks.outcome import GOOD, Outcome, failed

FAILED = 1
FIRST_WEIGHT = 2
"""Exit status that means weight 0; one more is weight 1, and so on."""

LAST_STATUS = 255


def judge(status: int, *, dynamic: bool, said: str = "") -> Outcome:
    """``said``: the first line that it printed."""
    if not status:
        return GOOD
    if dynamic and FIRST_WEIGHT <= status <= LAST_STATUS:
        return Outcome(ok=True, weight=status - FIRST_WEIGHT)
    return failed(f"exit status {status}" + (f": {said}" if said else ""))
