# SPDX-License-Identifier: Apache-2.0
"""Addresses as the eBPF program and netlink want them. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from xlvs.model.problem import Code, Problem

Address = IPv4Address | IPv6Address


def virtual_address(text: str) -> str:
    """A virtual address in its usual spelling; a Problem if it cannot be one."""
    try:
        address = ip_address(text)
    except ValueError:
        raise Problem(Code.INVALID, f"{text} is not an IP address", "--vip") from None
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        raise Problem(Code.INVALID, f"{text} cannot be a virtual address", "--vip")
    if isinstance(address, IPv6Address) and (address.is_link_local or address.ipv4_mapped):
        raise Problem(Code.INVALID, f"{text} cannot be a virtual address", "--vip")
    return str(address)


def key(text: str) -> bytes:
    """``struct xlvs_addr``: 16 bytes, IPv4 as ::ffff:a.b.c.d."""
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return bytes(10) + b"\xff\xff" + address.packed
    return address.packed


def host_prefix(text: str) -> int:
    """Length of the prefix that holds this address only."""
    return ip_address(text).max_prefixlen
