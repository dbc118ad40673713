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
from xlvs.model.desired import Desired, Timeouts
from xlvs.model.drain import Drained
from xlvs.model.edit import (
    AddDestination,
    AddService,
    AnyEdit,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    SetTimeouts,
)
from xlvs.model.service import Destination, DestinationKey, ServiceKey

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
) -> list[AnyEdit]:
    """The edits, none if all is as the file says.

    ``before``: what was the file's until now. A drain that goes on keeps its weight 0.
    ``timeouts``: None, the file does not say.
    """
    edits: list[AnyEdit] = []
    if timeouts is not None and timeouts != desired.timeouts:
        edits.append(SetTimeouts(**asdict(timeouts)))
    wanted = {each.service.key for each in services}
    edits += (
        DeleteService(key=key) for key in before if key not in wanted and key in desired.services
    )
    for each in services:
        edits += _service(desired, before.get(each.service.key, ()), each)
    return edits


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
    keys = {real.destination.key for real in wanted.real_servers}
    for each in before:
        if each not in keys and each in there:
            yield DeleteDestination(service=key, destination=each)
    for real in wanted.real_servers:
        destination = settled(service, real.destination)
        if destination.key not in there:
            yield AddDestination(service=key, destination=destination)
            continue
        now = there[destination.key]
        if Drained(key, destination.key) in desired.drains:
            destination = replace(destination, weight=now.weight)
        if replace(now, weight_before=0) != replace(destination, weight_before=0):
            yield EditDestination(service=key, destination=destination)
