# SPDX-License-Identifier: Apache-2.0
"""What virtual services and real servers are called: in keepalived's FIFO, mails and logs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xlvs.model.checker import VirtualService
from xlvs.model.service import DestinationKey, Protocol, ServiceKey


def units(services: Iterable[VirtualService]) -> dict[str, tuple[VirtualService, ...]]:
    """What belongs together, under a name that stays over reloads: a service, or a group's.

    A group may be used twice, by TCP and by UDP; its marks belong to the first of them.
    """
    found: dict[str, list[VirtualService]] = {}
    marks: list[VirtualService] = []
    first: dict[str, str] = {}
    for each in services:
        if each.group and each.service.key.protocol is Protocol.FWM:
            marks.append(each)
            continue
        name = _identity(each)
        found.setdefault(name, []).append(each)
        if each.group:
            first.setdefault(each.group, name)
    for each in marks:
        found.setdefault(first.get(each.group, _identity(each)), []).append(each)
    return {name: _once(members) for name, members in found.items()}


def _once(members: Iterable[VirtualService]) -> tuple[VirtualService, ...]:
    """The same service twice is the reader's to refuse."""
    found: dict[ServiceKey, VirtualService] = {}
    for each in members:
        found.setdefault(each.service.key, each)
    return tuple(found.values())


def _identity(service: VirtualService) -> str:
    key = service.service.key
    if service.group:
        return f"group {service.group} {key.protocol}"
    if key.protocol is Protocol.FWM:
        return f"fwmark {key.fwmark} {key.family}"
    return f"{key.protocol} [{key.address}]:{key.port}"


def virtual(services: Sequence[VirtualService]) -> str:
    """A virtual service, or a group's."""
    if services[0].group:
        return f"[{services[0].group}]:0"
    key = services[0].service.key
    if key.protocol is Protocol.FWM:
        return f"FWM {key.fwmark}"
    return f"[{key.address}]:{key.protocol}:{key.port}"


def real(key: DestinationKey, of: ServiceKey) -> str:
    """A real server of a service."""
    protocol = "none" if of.protocol is Protocol.FWM else of.protocol.value
    return f"[{key.address}]:{protocol}:{key.port}"
