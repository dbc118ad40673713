# SPDX-License-Identifier: Apache-2.0
"""What blocks have to be together: names that others mean, router ids, members of groups."""

from __future__ import annotations

from collections import Counter

from xlvs.config.keepalived.places import Place
from xlvs.config.keepalived.reading import Reading
from xlvs.model.tracking import Tracked
from xlvs.model.vrrp import Group, Instance

OWNER = 255


def validate(reading: Reading) -> None:
    """Notes all problems between blocks."""
    _references(reading)
    _groups(reading)
    _router_ids(reading)
    _virtual_addresses(reading)
    _weights(reading)


def _names(reading: Reading) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for kind, name in reading.places:
        found.setdefault(kind, set()).add(name)
    return found


def _references(reading: Reading) -> None:
    names = _names(reading)
    for each in reading.references:
        if each.name not in names.get(each.kind, ()):
            reading.findings.problem(
                each.place, f"{each.said_by}: there is no {each.kind} {each.name!r}"
            )


def _place(reading: Reading, kind: str, name: str) -> Place:
    return reading.places[kind, name]


def _groups(reading: Reading) -> None:
    member_of: dict[str, str] = {}
    for group in reading.groups:
        for name in group.instances:
            other = member_of.setdefault(name, group.name)
            if other != group.name:
                reading.findings.problem(
                    _place(reading, "vrrp_sync_group", group.name),
                    f"{name} is a member of {other} already",
                )


def _router_ids(reading: Reading) -> None:
    """Instances of one interface, family and way of sending have router ids of their own."""
    seen: dict[tuple[object, ...], Instance] = {}
    for each in reading.instances:
        ways = each.unicast_peers or (each.multicast_group,)
        for way in ways:
            key = (each.interface, each.family, each.router_id, bool(each.unicast_peers), way)
            other = seen.setdefault(key, each)
            if other is not each:
                reading.findings.problem(
                    _place(reading, "vrrp_instance", each.name),
                    f"{each.name} has the virtual_router_id {each.router_id} of {other.name}, on "
                    "the same interface",
                )
                break


def _virtual_addresses(reading: Reading) -> None:
    for each in reading.instances:
        found = Counter((one.address, one.device) for one in (*each.addresses, *each.excluded))
        twice = sorted(str(address) for (address, _), count in found.items() if count > 1)
        for address in twice:
            reading.findings.remark(
                _place(reading, "vrrp_instance", each.name),
                f"{each.name} has the address {address} twice",
            )


_TRACKED = {
    "track_interfaces": "interface",
    "track_scripts": "vrrp_script",
    "track_files": "track_file",
    "track_processes": "vrrp_track_process",
    "track_bfd": "bfd_instance",
}


def _weights(reading: Reading) -> None:
    """Members of a group have one priority, and an address owner's does not change."""
    defaults = {
        "vrrp_script": {each.name: each.weight for each in reading.scripts},
        "track_file": {each.name: each.weight for each in reading.files},
        "vrrp_track_process": {each.name: each.weight for each in reading.processes},
        "bfd_instance": {each.name: each.weight for each in reading.bfds},
        "interface": {},
    }
    weighted_groups = {name: group for group in reading.groups for name in group.instances}

    def weighty(one: Instance | Group) -> list[str]:
        found: list[str] = []
        for field, kind in _TRACKED.items():
            tracked: tuple[Tracked, ...] = getattr(one, field)
            found += [
                each.name
                for each in tracked
                if (each.weight if each.weight is not None else defaults[kind].get(each.name, 0))
            ]
        return found

    for each in reading.instances:
        names = weighty(each)
        if not names:
            continue
        group = weighted_groups.get(each.name)
        why = ""
        if each.priority == OWNER:
            why = "the priority 255 of an address owner does not change"
        elif group is not None and not group.tracking_has_weight:
            why = (
                f"the members of {group.name} have one priority "
                "(sync_group_tracking_weight would allow it)"
            )
        if why:
            reading.findings.remark(
                _place(reading, "vrrp_instance", each.name),
                f"{each.name}: weights of {', '.join(names)} have no effect: {why}",
            )
