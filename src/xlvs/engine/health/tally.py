# SPDX-License-Identifier: Apache-2.0
"""How many probes of each kind found what, and how long they took."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

from xlvs.engine.health.outcome import Outcome
from xlvs.engine.histogram import Histogram

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds. A check in a rack takes one or two milliseconds, a time-out is some seconds."""


class Result(StrEnum):
    """What became of a probe."""

    OK = "ok"
    FAILED = "failed"
    NOT_MADE = "not_made"
    """The director could not ask: nothing is known and nothing follows."""


class Tally:
    """Since the checks began. Kinds are the configuration file's words, such as TCP_CHECK."""

    def __init__(self) -> None:
        self.results: Counter[tuple[str, Result]] = Counter()
        self.seconds: dict[str, Histogram] = {}

    def count(self, kind: str, outcome: Outcome, seconds: float) -> None:
        """A probe is over. One that could not be made took no time worth to be told."""
        self.results[kind, _result(outcome)] += 1
        times = self.seconds.setdefault(kind, Histogram(BOUNDS))
        if not outcome.ours:
            times.observe(seconds)


def _result(outcome: Outcome) -> Result:
    if outcome.ours:
        return Result.NOT_MADE
    return Result.OK if outcome.ok else Result.FAILED
