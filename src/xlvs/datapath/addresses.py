# SPDX-License-Identifier: Apache-2.0
"""The maps' one address form: 16 bytes, IPv4 as ::ffff:a.b.c.d."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from xlvs.model.service import Address

AF_INET = 2
AF_INET6 = 10

_MAPPED = bytes(10) + b"\xff\xff"


def packed(address: Address) -> bytes:
    """The address as the maps hold it."""
    if isinstance(address, IPv4Address):
        return _MAPPED + address.packed
    return address.packed


def unpacked(data: bytes) -> Address:
    """The address that ``packed`` made these bytes of."""
    if data.startswith(_MAPPED):
        return IPv4Address(data[12:])
    return IPv6Address(data)


def family(address: Address) -> int:
    """AF_INET or AF_INET6, as the kernel numbers them."""
    return AF_INET if isinstance(address, IPv4Address) else AF_INET6
