# SPDX-License-Identifier: Apache-2.0
"""A SYN as bytes (RFC 9293 3.1), as the data path makes it of a client's acknowledgement."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

_SYN = 0x02
_TCP = 6
_TTL = 64
_IPV4_HEADER = 20
_HEADER = struct.Struct("!HHIIBBHHH")


class Toa(NamedTuple):
    """The option that tells a server its client."""

    kind: int
    client: IPv4Address | IPv6Address
    port: int


class Syn(NamedTuple):
    """What it says. ``stamp`` None: no time stamps, no SACK, no scale; ``scale`` None: none."""

    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    source_port: int
    destination_port: int
    number: int
    window: int
    mss: int
    stamp: int | None = None
    sack: bool = False
    scale: int | None = None
    toa: Toa | None = None


def segment(syn: Syn) -> bytes:
    """The TCP segment with its checksum."""
    options = b"" if syn.toa is None else _toa(syn.toa)
    options += struct.pack("!BBH", 2, 4, syn.mss)
    if syn.stamp is not None:
        options += b"\x04\x02" if syn.sack else b"\x01\x01"
        options += struct.pack("!BBII", 8, 10, syn.stamp, 0)
        if syn.scale is not None:
            options += struct.pack("!BBBB", 1, 3, 3, syn.scale)
    length = _HEADER.size + len(options)

    def header(checksum: int) -> bytes:
        return _HEADER.pack(
            syn.source_port,
            syn.destination_port,
            syn.number,
            0,
            length // 4 << 4,
            _SYN,
            syn.window,
            checksum,
            0,
        )

    pseudo = syn.source.packed + syn.destination.packed + struct.pack("!II", length, _TCP)
    return header(_checksum(pseudo + header(0) + options)) + options


def _toa(toa: Toa) -> bytes:
    address = toa.client.packed
    return struct.pack("!BBH", toa.kind, len(address) + 4, toa.port) + address


def packet(syn: Syn) -> bytes:
    """The segment in an IP packet; IPv4's checksum is left to a raw socket."""
    return _ipv4(syn) if isinstance(syn.source, IPv4Address) else _ipv6(syn)


def _ipv4(syn: Syn) -> bytes:
    made = segment(syn)
    return (
        struct.pack("!BBHHHBBH", 0x45, 0, _IPV4_HEADER + len(made), 0, 0x4000, _TTL, _TCP, 0)
        + syn.source.packed
        + syn.destination.packed
        + made
    )


def _ipv6(syn: Syn) -> bytes:
    made = segment(syn)
    return (
        struct.pack("!IHBB", 6 << 28, len(made), _TCP, _TTL)
        + syn.source.packed
        + syn.destination.packed
        + made
    )


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
