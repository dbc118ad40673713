# SPDX-License-Identifier: Apache-2.0
"""Which neighbours to ask for, so that next hops are known before packets need them.

Pure. Packets that the data path forwards do not confirm neighbours to the kernel, so
without this they would grow stale and be forgotten while traffic flows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from xlvs.datapath.observed import (
    NUD_FIXED,
    NUD_INCOMPLETE,
    NUD_PROBE,
    NUD_STALE,
    Neighbour,
    Observed,
    Way,
)
from xlvs.model.service import Address

Target = tuple[int, Address]
"""A link's index and an address on it."""


def targets(ways: Mapping[Address, Way]) -> set[Target]:
    """The neighbours that lead to the destinations."""
    return {
        (way.ifindex, way.gateway)
        for way in ways.values()
        if way.gateway is not None and not way.local
    }


def due(observed: Observed, wanted: Iterable[Target]) -> list[Target]:
    """Neighbours for which the kernel should ask now: unknown, failed or stale ones.

    While it is asking anyway (INCOMPLETE, DELAY, PROBE) it is left alone.
    """
    found = []
    for target in wanted:
        link = observed.links.get(target[0])
        if link is None or not link.up:
            continue
        neighbour = observed.neighbours.get(target)
        if neighbour is None or _lapsed(neighbour):
            found.append(target)
    return found


def _lapsed(neighbour: Neighbour) -> bool:
    if neighbour.state & (NUD_INCOMPLETE | NUD_FIXED):
        return False
    return not neighbour.usable or bool(neighbour.state & NUD_STALE)


def remembered(old: Neighbour | None, new: Neighbour | None) -> Neighbour | None:
    """What to believe after the kernel's table changed.

    A neighbour that was merely forgotten (or is asked for anew) very likely still has
    its MAC address; only when it does not answer (FAILED) is it gone.
    """
    if old is None or not old.usable:
        return new
    if new is None:
        return Neighbour(old.mac, NUD_STALE)
    if new.state in (0, NUD_INCOMPLETE):
        return Neighbour(old.mac, NUD_PROBE)
    return new
