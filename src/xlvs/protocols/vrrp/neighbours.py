# SPDX-License-Identifier: Apache-2.0
"""Frames that tell a network where an address is now."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from xlvs.model.service import Address

BROADCAST = b"\xff" * 6
_ALL_NODES = IPv6Address("ff02::1")
_ETHERTYPE_ARP, _ETHERTYPE_IPV6 = 0x0806, 0x86DD
_ARP_END = 42
_ICMPV6 = 58
_NEIGHBOUR_ADVERTISEMENT = 136
_ROUTER, _OVERRIDE = 0x80, 0x20
_TARGET_LINK_LAYER = 2


def virtual_mac(router_id: int, *, v6: bool) -> bytes:
    """The MAC address of a virtual router (RFC 9568 7.3)."""
    return bytes([0, 0, 0x5E, 0, 2 if v6 else 1, router_id])


def announcement(address: Address, mac: bytes, *, router: bool = False) -> bytes:
    """The frame for an address of either family. ``router``: this host forwards IPv6."""
    if isinstance(address, IPv4Address):
        return gratuitous_arp(address, mac)
    return unsolicited_advertisement(address, mac, router=router)


def gratuitous_arp(address: IPv4Address, mac: bytes) -> bytes:
    """An ARP announcement (RFC 5227): a request for the sender's own address."""
    return (
        struct.pack(">6s6sH", BROADCAST, mac, _ETHERTYPE_ARP)
        + struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1)
        + mac
        + address.packed
        + BROADCAST
        + address.packed
    ).ljust(60, b"\0")


def arp_sender(frame: bytes) -> tuple[IPv4Address, bytes] | None:
    """Whose IPv4 address a frame with ARP says is at which MAC address; None: it says nothing."""
    if len(frame) < _ARP_END or frame[12:20] != struct.pack(
        ">HHHBB", _ETHERTYPE_ARP, 1, 0x0800, 6, 4
    ):
        return None
    return IPv4Address(frame[28:32]), frame[22:28]


def unsolicited_advertisement(address: IPv6Address, mac: bytes, *, router: bool) -> bytes:
    """A neighbour advertisement to all nodes, override set (RFC 4861 7.2.6)."""
    flags = _OVERRIDE | (_ROUTER if router else 0)
    option = struct.pack(">BB", _TARGET_LINK_LAYER, 1) + mac
    body = struct.pack(">BBHBxxx", _NEIGHBOUR_ADVERTISEMENT, 0, 0, flags) + address.packed + option
    pseudo = address.packed + _ALL_NODES.packed + struct.pack(">IxxxB", len(body), _ICMPV6)
    checksum = struct.pack(">H", _sum(pseudo + body))
    return (
        struct.pack(">6s6sH", b"\x33\x33" + _ALL_NODES.packed[-4:], mac, _ETHERTYPE_IPV6)
        + struct.pack(">IHBB", 6 << 28, len(body), _ICMPV6, 255)
        + address.packed
        + _ALL_NODES.packed
        + body[:2]
        + checksum
        + body[4:]
    )


def _sum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
