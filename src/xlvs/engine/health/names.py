# SPDX-License-Identifier: Apache-2.0
"""What virtual services and real servers are called: in keepalived's FIFO, mails and logs."""

from __future__ import annotations

from collections.abc import Sequence

from xlvs.model.checker import VirtualService
from xlvs.model.service import DestinationKey, Protocol, ServiceKey


def identity(service: VirtualService) -> str:
    """The same for all services of a group and different for all others; stays over reloads."""
    if service.group:
        return f"group {service.group}"
    key = service.service.key
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
