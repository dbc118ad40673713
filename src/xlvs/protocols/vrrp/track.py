# SPDX-License-Identifier: Apache-2.0
"""Tracked things: what their state does to a priority, and when a result is believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from xlvs.protocols.vrrp.packet import OWNER

_LOWEST, _HIGHEST = 1, 254
_FILE_FAULT = -254
"""A tracked file's product at or below this is a failure."""


class Kind(StrEnum):
    """What is tracked."""

    INTERFACE = "interface"
    SCRIPT = "script"
    FILE = "file"
    PROCESS = "process"
    BFD = "BFD instance"
    STATIC = "static address"


@dataclass(frozen=True, slots=True)
class Watch:
    """A tracked thing with the weight that counts here."""

    kind: Kind
    name: str
    weight: int = 0
    reverse: bool = False


Results = Mapping[tuple[Kind, str], int]
"""Per thing: 1 up, 0 down; of a file its number. What is not there is not yet known."""


@dataclass(slots=True)
class Verdict:
    """``adjustment``: of the priority. ``faults``: in words."""

    adjustment: int = 0
    faults: list[str] = field(default_factory=list)


def judge(watches: Iterable[Watch], results: Results) -> Verdict:
    """What all tracked things together say.

    Weight 0: its failure is a fault. Positive: added while it is up; negative: added while
    it is down (so the priority falls); ``reverse`` turns the sign around.
    """
    verdict = Verdict()
    for watch in watches:
        result = results.get((watch.kind, watch.name))
        if result is None and watch.kind is Kind.INTERFACE:
            result = 0  # there is none of this name
        if result is None:
            continue
        if watch.kind is Kind.FILE:
            _judge_file(watch, result, verdict)
            continue
        up = bool(result)
        if not watch.weight:
            if up == watch.reverse:
                verdict.faults.append(f"{watch.kind} {watch.name} is {'up' if up else 'down'}")
        elif up == (watch.weight > 0):
            verdict.adjustment += -watch.weight if watch.reverse else watch.weight
    return verdict


def _judge_file(watch: Watch, number: int, verdict: Verdict) -> None:
    if not watch.weight:
        if bool(number) != watch.reverse:
            verdict.faults.append(f"{watch.kind} {watch.name} says {number}")
        return
    product = number * (-watch.weight if watch.reverse else watch.weight)
    if product <= _FILE_FAULT:
        verdict.faults.append(f"{watch.kind} {watch.name} says {number}")
    else:
        verdict.adjustment += product


def effective(base: int, adjustment: int) -> int:
    """The priority in adverts. An owner's is 255 whatever happens, nobody else's ever is."""
    if base == OWNER:
        return OWNER
    return min(max(base + adjustment, _LOWEST), _HIGHEST)


@dataclass(slots=True)
class Dampener:
    """``rise`` successes, or ``fall`` failures, in a row change what is believed.

    ``up`` None: nothing is known yet; the first result is believed as it is.
    """

    rise: int = 1
    fall: int = 1
    up: bool | None = None
    _row: int = 0

    def result(self, *, success: bool) -> bool:
        """Count one result and return whether what is believed changed."""
        if self.up is None:
            self.up = success
            return True
        if success == self.up:
            self._row = 0
            return False
        self._row += 1
        if self._row < (self.rise if success else self.fall):
            return False
        self.up, self._row = success, 0
        return True
