# SPDX-License-Identifier: Apache-2.0
"""The key of a service, read off the maps."""

from __future__ import annotations

from xlvs.datapath import support
from xlvs.datapath.addresses import AF_INET6, unpacked
from xlvs.datapath.records import ServiceKey
from xlvs.model import service as model

_PROTOCOLS = {number: protocol for protocol, number in support.PROTOCOLS.items()}


def asked_key(key: ServiceKey) -> model.ServiceKey:
    """As an operator asked for it: what ``effective.service_key`` made this of."""
    if key.fwmark:
        inet6 = key.family == AF_INET6
        return model.ServiceKey(
            protocol=model.Protocol.FWM,
            fwmark=key.fwmark,
            family=model.Family.INET6 if inet6 else model.Family.INET,
        )
    return model.ServiceKey(
        protocol=_PROTOCOLS[key.protocol], address=unpacked(key.address), port=key.port
    )
