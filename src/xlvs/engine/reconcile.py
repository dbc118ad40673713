# SPDX-License-Identifier: Apache-2.0
"""From what is wanted now to what a configuration file wants: edits, and what they say. Pure.

The file is compared with what there is, never with the file before: what somebody has
deleted by hand comes back. What run-time commands have added stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec.structs import asdict, replace

from xlvs.model.checker import VirtualService
from xlvs.model.checks import settled
from xlvs.model.client_list import client_list
from xlvs.model.desired import Desired, Timeouts
from xlvs.model.drain import Drained
from xlvs.model.edit import (
    AddDestination,
    AddService,
    AnyEdit,
    DeleteDestination,
    DeleteList,
    DeleteService,
    EditDestination,
    EditService,
    PutList,
    SetTimeouts,
    StopSync,
)
from xlvs.model.service import Destination, DestinationKey, ServiceKey
from xlvs.model.syncing import SyncDaemon

Owned = Mapping[ServiceKey, Collection[DestinationKey]]
"""What a file put in: services, and destinations of each. Nothing of it need be there still."""


def owned(services: Iterable[VirtualService]) -> dict[ServiceKey, frozenset[DestinationKey]]:
    """What is the file's when it has been applied."""
    return {
        each.service.key: frozenset(real.destination.key for real in each.real_servers)
        for each in services
    }


def reconcile(
    desired: Desired,
    before: Owned,
    services: Sequence[VirtualService],
    timeouts: Timeouts | None = None,
    *,
    lists: Mapping[str, tuple[str, ...]] = {},
    lists_before: Collection[str] = (),
) -> list[AnyEdit]:
    """The edits, none if all is as the file says.

    ``before``, ``lists_before``: what was the file's until now. A drain that goes on keeps its
    weight 0. ``timeouts``: None, the file does not say. ``lists``: of clients, by name.
    """
    # Services name them: so they come first, and go last.
    edits: list[AnyEdit] = [
        PutList(name=name, prefixes=prefixes)
        for name, prefixes in lists.items()
        if desired.lists.get(name) != client_list(prefixes)
    ]
    if timeouts is not None and timeouts != desired.timeouts:
        edits.append(SetTimeouts(**asdict(timeouts)))
    wanted = {each.service.key for each in services}
    edits += (
        DeleteService(key=key) for key in before if key not in wanted and key in desired.services
    )
    for each in services:
        edits += _service(desired, before.get(each.service.key, ()), each)
    gone = (name for name in lists_before if name not in lists and name in desired.lists)
    kept = {
        name
        for key, (service, _) in desired.services.items()
        if key not in wanted and key not in before
        for name in (*service.allow, *service.deny)
    }
    edits += (DeleteList(name=name) for name in gone if name not in kept)
    return edits


def displaced(desired: Desired, sync: SyncDaemon | None) -> list[AnyEdit]:
    """The edits that end run-time sync daemons where a file has its own."""
    owned = sync is not None and bool(sync.interface)
    return [StopSync(role=role) for role in desired.sync] if owned else []


def _service(
    desired: Desired, before: Collection[DestinationKey], wanted: VirtualService
) -> Iterator[AnyEdit]:
    service, key = wanted.service, wanted.service.key
    there: dict[DestinationKey, Destination] = {}
    if key not in desired.services:
        yield AddService(service=service)
    else:
        found, listed = desired.services[key]
        there = {each.key: each for each in listed}
        if found != service:
            yield EditService(service=service)
    destinations = [
        _draining(desired, key, there, settled(service, real.destination))
        for real in wanted.real_servers
    ]
    yield from destination_edits(key, there, before, destinations)


def _draining(
    desired: Desired,
    service: ServiceKey,
    there: Mapping[DestinationKey, Destination],
    wanted: Destination,
) -> Destination:
    if wanted.key in there and Drained(service, wanted.key) in desired.drains:
        return replace(wanted, weight=there[wanted.key].weight)
    return wanted


def destination_edits(
    service: ServiceKey,
    there: Mapping[DestinationKey, Destination],
    before: Collection[DestinationKey],
    wanted: Collection[Destination],
) -> Iterator[AddDestination | EditDestination | DeleteDestination]:
    """The edits of one service's destinations, of which ``there`` are there.

    Of those the ones that were there ``before`` and are not wanted any more go. ``wanted`` are
    settled (``xlvs.model.checks``).
    """
    keys = {each.key for each in wanted}
    for each in before:
        if each not in keys and each in there:
            yield DeleteDestination(service=service, destination=each)
    for destination in wanted:
        now = there.get(destination.key)
        if now is None:
            yield AddDestination(service=service, destination=destination)
        elif replace(now, weight_before=0) != replace(destination, weight_before=0):
            yield EditDestination(service=service, destination=destination)
