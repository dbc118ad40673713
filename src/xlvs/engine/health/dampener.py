# SPDX-License-Identifier: Apache-2.0
"""What is believed of a check, after how many results in a row: one rule for all checkers."""

from __future__ import annotations

from typing import NamedTuple


class Belief(NamedTuple):
    """``known``: there was a result. ``failures``, ``successes``: in a row, one of them is 0."""

    passing: bool
    known: bool = False
    failures: int = 0
    successes: int = 0


def after(belief: Belief, *, ok: bool, rise: int, fall: int) -> Belief:
    """What is believed after one more result.

    The very first one is believed at once, as keepalived does: there is nothing that it
    could contradict but a guess.
    """
    if ok:
        successes = belief.successes + 1
        passing = belief.passing or successes >= rise or not belief.known
        return Belief(passing=passing, known=True, successes=successes)
    failures = belief.failures + 1
    passing = belief.passing and failures < fall and belief.known
    return Belief(passing=passing, known=True, failures=failures)
