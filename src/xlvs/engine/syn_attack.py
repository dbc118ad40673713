# SPDX-License-Identifier: Apache-2.0
"""Which services with SYN proxy ``auto`` are under attack.

What counts is how many a second ask for a connection and are not there when they are
answered. More than the threshold: it is switched on at once. It goes off again when there
were fewer than half as many for ten looks in a row, so it does not flap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from xlvs.model.service import ServiceKey

QUIET = 10
"""Looks in a row with few, after which it is over."""


class Asked(NamedTuple):
    """Counters of one service since it is there, and the rate that switches on."""

    syns: int
    proved: int
    threshold: int


class Seen(NamedTuple):
    """What is remembered of one service."""

    syns: int
    proved: int
    rate: int = 0
    attacked: bool = False
    quiet: int = 0


def look(
    before: Mapping[ServiceKey, Seen], now: Mapping[ServiceKey, Asked], seconds: float
) -> dict[ServiceKey, Seen]:
    """What is known now; ``seconds`` since the last look."""
    return {key: _one(before.get(key), asked, seconds) for key, asked in now.items()}


def _one(before: Seen | None, asked: Asked, seconds: float) -> Seen:
    if before is None or asked.syns < before.syns or seconds <= 0:
        # Counters that begin anew say nothing of a second.
        return Seen(asked.syns, asked.proved, 0, before.attacked if before else False)
    missing = asked.syns - before.syns - (asked.proved - before.proved)
    rate = max(0, round(missing / seconds))
    if rate > asked.threshold:
        return Seen(asked.syns, asked.proved, rate, attacked=True)
    quiet = before.quiet + 1 if rate <= asked.threshold // 2 else 0
    attacked = before.attacked and quiet < QUIET
    return Seen(asked.syns, asked.proved, rate, attacked, quiet if attacked else 0)
