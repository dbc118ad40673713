# SPDX-License-Identifier: Apache-2.0
"""What packets must know of a service's lists and limits."""

from __future__ import annotations

from collections.abc import Mapping

from xlvs.datapath.records import ADMISSION_LISTS, Admission
from xlvs.model import service as model
from xlvs.model.admission import address_bits
from xlvs.model.client_list import ClientList

_BITS = 128
_EVERY_BIT = (1 << _BITS) - 1
_CLIENT6 = 64
"""Bits of an IPv6 client: a subnet is one household's, and its hosts take addresses at will."""


def admission(service: model.Service, lists: Mapping[str, ClientList]) -> Admission | None:
    """The record; None: everybody may open connections."""
    if not service.guarded:
        return None
    limits = service.limits
    numbers = [lists[name].number for name in (*service.deny, *service.allow)]
    numbers += [0] * (ADMISSION_LISTS - len(numbers))
    return Admission(
        list=tuple(numbers),
        denies=len(service.deny),
        allows=len(service.allow),
        client=_client(service),
        client_connections=limits.client.connections,
        client_rate=limits.client.rate,
        client_burst=limits.client.burst or limits.client.rate,
        service_connections=limits.service.connections,
        service_rate=limits.service.rate,
        service_burst=limits.service.burst or limits.service.rate,
    )


def counts(service: model.Service) -> bool:
    """Whether the service's connections are counted for a limit."""
    return bool(service.limits.client.connections or service.limits.service.connections)


def _client(service: model.Service) -> bytes:
    bits = address_bits(service)
    prefix = service.limits.client_prefix or min(bits, _CLIENT6)
    zeros = bits - prefix
    return (_EVERY_BIT >> zeros << zeros).to_bytes(_BITS // 8, "big")
