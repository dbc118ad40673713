# SPDX-License-Identifier: Apache-2.0
"""How services and addresses are called in messages to people."""

from __future__ import annotations

from ipaddress import IPv6Address

from xlvs.model.service import Address, Service, ServiceKey


def service_title(service: Service) -> str:
    """A service in two words, such as ``tcp 10.0.0.1:80`` or ``fwm 7``."""
    return key_title(service.key)


def key_title(key: ServiceKey) -> str:
    """The same, by the service's key."""
    if key.address is None:
        return f"fwm {key.fwmark}"
    return f"{key.protocol.value} {host_port(key.address, key.port)}"


def host_port(address: Address, port: int) -> str:
    """``10.0.0.1:80`` or ``[fd00::1]:80``."""
    return f"[{address}]:{port}" if isinstance(address, IPv6Address) else f"{address}:{port}"
