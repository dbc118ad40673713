# SPDX-License-Identifier: Apache-2.0
"""Mark rules for tests: written past the control plane, and what they mean said plainly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network

from xlvs.datapath.marks import compiled
from xlvs.io.mark_maps import MarkMaps
from xlvs.model.mark import MARK_MAX, MarkRule, settled_rule
from xlvs.model.service import Family

from .world import World


def rule(
    mark: int,
    to: str | None = None,
    source: str | None = None,
    *,
    protocol: int = 0,
    ports: Iterable[tuple[int, int]] = (),
    mask: int = MARK_MAX,
    family: Family | None = None,
) -> MarkRule:
    """A rule, settled."""
    return settled_rule(
        MarkRule(
            mark=mark,
            mask=mask,
            to=None if to is None else ip_network(to),
            source=None if source is None else ip_network(source),
            family=family,
            protocol=protocol,
            ports=tuple(ports),
        )
    )


def load(world: World, rules: Sequence[MarkRule], number: int = 1) -> None:
    """Put rules in force as set ``number``, in the place of those that are there."""
    maps = MarkMaps(world.path)
    maps.write(number, compiled(rules), number - 1)
    world.set(mark_set=number, mark_rules=len(rules))
    maps.drop_others(number)


def mark_of(
    rules: Iterable[MarkRule], source: str, to: str, protocol: int, port: int, mark: int = 0
) -> int:
    """What iptables would do: every rule in turn."""
    src, dst = ip_address(source), ip_address(to)
    for each in rules:
        inet6 = dst.version == 6
        if each.family is not None and inet6 is not (each.family is Family.INET6):
            continue
        if each.to is not None and dst not in each.to:
            continue
        if each.source is not None and src not in each.source:
            continue
        if each.protocol not in (0, protocol):
            continue
        if each.ports and not any(first <= port <= last for first, last in each.ports):
            continue
        mark = (mark & ~each.mask & MARK_MAX) ^ each.mark
    return mark
