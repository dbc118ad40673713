# SPDX-License-Identifier: Apache-2.0
"""Drains: real servers that get no new clients, and when they are to go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from xlvs.model.problem import Code, Problem
from xlvs.model.service import Destination, DestinationKey, ServiceKey

DRAIN_MAX = 31 * 86400
"""Seconds that a drain may last."""


class Drained(NamedTuple):
    """Whose drain it is."""

    service: ServiceKey
    destination: DestinationKey


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds since the epoch, so that a restart goes on. ``until`` 0: nobody removes it."""

    since: float
    until: float = 0.0


Drains = Mapping[Drained, Drain]


def drain(now: float, seconds: int) -> Drain:
    """A drain that begins now and lasts so long; 0: for ever. Raises Problem."""
    if not 0 <= seconds <= DRAIN_MAX:
        raise Problem(Code.INVALID, f"a drain lasts 0 to {DRAIN_MAX} s, not {seconds}", "/seconds")
    return Drain(since=now, until=now + seconds if seconds else 0.0)


def emptied(destination: Destination) -> Destination:
    """The destination while it is drained."""
    before = destination.weight or destination.weight_before
    return msgspec.structs.replace(destination, weight=0, weight_before=before)


def refilled(destination: Destination, *, draining: bool) -> Destination:
    """The destination with its weight of before. Raises Problem if it was not taken away."""
    if destination.weight:
        raise Problem(
            Code.INVALID,
            f"it is not being drained: its weight is {destination.weight}",
            "/destination",
        )
    if not destination.weight_before and not draining:
        raise Problem(
            Code.INVALID,
            "it is not being drained, and it never had a weight but 0: ipvsadm -e -w gives it one",
            "/destination",
        )
    return msgspec.structs.replace(destination, weight=destination.weight_before, weight_before=0)


def due(drains: Drains, now: float) -> Iterator[Drained]:
    """Whose time is over."""
    return (drained for drained, each in drains.items() if each.until and each.until <= now)
