# SPDX-License-Identifier: Apache-2.0
"""Frames that the wrapper sends on their way, and whether a frame's checksums are right.

The wrapper (bpf/bench.h) writes a client's address and port into a template and
completes the checksums from sums that are prepared here. Pure.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

FRAME_BYTES, SYN_BYTES = 80, 74
TCP, UDP, IPIP, IPV6 = 6, 17, 4, 41
SYN, ACK = 0x02, 0x10
_ETH, _IP4, _IP6 = 14, 20, 40
_IPV4, _IPV6 = 0x0800, 0x86DD
_TCP_WORDS = 5  # of its header without options
_CHECK_AT = {TCP: 16, UDP: 6}
_TUNNELS = {IPIP: _IPV4, IPV6: _IPV6}

CLIENTS4 = IPv4Address("10.64.0.0")
"""Client of flow 0; the others follow, PORTS each."""
PORTS = 1 << 15
CLIENTS6 = IPv6Address("2001:db8::")


class Kind(IntEnum):
    """enum bench_kind."""

    TCP4 = 0
    UDP4 = 1
    TCP6 = 2
    REPLY4 = 3
    PROOF4 = 4


class Proof(NamedTuple):
    """What the cookie is made of that a packet of the kind PROOF4 acknowledges.

    ``slot_ticks``, ``offset`` and ``key``: as the director has them. ``isn``: the number of the
    client's SYN. ``mss``: which of the cookies' MSS it said.
    """

    slot_ticks: int = 1
    offset: int = 0
    key: tuple[int, ...] = (0, 0, 0, 0)
    isn: int = 0
    mss: int = 0


class Template(NamedTuple):
    """A frame without what varies, and the sums of it; names as in struct bench_case.

    ``tail``: the program under test changes the frame's length at its end, not in front.
    """

    kind: Kind
    frame: bytes
    ip_sum: int
    l4_sum: int
    address: int
    server: int = 0
    server_mask: int = 0
    tail: bool = False
    proof: Proof = Proof()


class Segment(NamedTuple):
    """A TCP segment without what varies. ``options``: of whole words; ``size``: of the payload."""

    flags: int
    seq: int = 1
    ack: int = 0
    options: bytes = b""
    size: int = 0


class Ends(NamedTuple):
    """Where a frame goes: MAC addresses, the virtual service."""

    dst_mac: bytes
    src_mac: bytes
    address: IPv4Address | IPv6Address
    port: int


def total(data: bytes) -> int:
    """One's complement sum of 16-bit words as this machine loads them, not folded."""
    padded = data + bytes(len(data) % 2)
    return sum(struct.unpack(f"={len(padded) // 2}H", padded))


def fold(value: int) -> int:
    """The sum in 16 bits."""
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value


def request(kind: Kind, ends: Ends, flags: int = ACK) -> Template:
    """A client's packet to a service; ``flags`` of TCP."""
    if kind is Kind.TCP6:
        return _request6(ends, flags)
    size = FRAME_BYTES - _ETH - _IP4
    protocol = UDP if kind is Kind.UDP4 else TCP
    l4 = _udp(0, ends.port, size) if kind is Kind.UDP4 else _tcp(0, ends.port, flags, size)
    ip = _ipv4(protocol, bytes(4), ends.address.packed, len(l4))
    pseudo = ends.address.packed + struct.pack(">HH", protocol, len(l4))
    frame = ends.dst_mac + ends.src_mac + struct.pack(">H", _IPV4) + ip + l4
    return Template(kind, frame, total(ip), total(pseudo + l4), int(CLIENTS4))


def reply(macs: tuple[bytes, bytes], port: int, first: IPv4Address, servers: int) -> Template:
    """A real server's packet to a client over IPv4; ``servers``, a power of two, from ``first``.

    ``macs``: of the director, of the real server. ``port``: the real server's.
    """
    l4 = _tcp(port, 0, ACK, FRAME_BYTES - _ETH - _IP4)
    ip = _ipv4(TCP, bytes(4), bytes(4), len(l4))
    pseudo = struct.pack(">HH", TCP, len(l4))
    frame = b"".join(macs) + struct.pack(">H", _IPV4) + ip + l4
    sums = total(ip), total(pseudo + l4)
    return Template(Kind.REPLY4, frame, *sums, int(CLIENTS4), int(first), servers - 1)


def segment_in(ends: Ends, segment: Segment) -> Template:
    """A client's TCP segment over IPv4; Ethernet's padding fills what it has less.

    But of Linux's SYN: its answer is as long, so nobody needs to cut it.
    """
    l4 = _segment(0, ends.port, segment)
    ip = _ipv4(TCP, bytes(4), ends.address.packed, len(l4))
    pseudo = ends.address.packed + struct.pack(">HH", TCP, len(l4))
    frame = ends.dst_mac + ends.src_mac + struct.pack(">H", _IPV4) + ip + l4
    sums = total(ip), total(pseudo + l4)
    frame = frame if len(frame) == SYN_BYTES else frame.ljust(FRAME_BYTES, b"\0")
    return Template(Kind.TCP4, frame, *sums, int(CLIENTS4))


def segment_out(
    macs: tuple[bytes, bytes], port: int, first: IPv4Address, servers: int, segment: Segment
) -> Template:
    """A real server's TCP segment; the rest as in ``reply``."""
    l4 = _segment(port, 0, segment)
    ip = _ipv4(TCP, bytes(4), bytes(4), len(l4))
    frame = b"".join(macs) + struct.pack(">H", _IPV4) + ip + l4
    sums = total(ip), total(struct.pack(">HH", TCP, len(l4)) + l4)
    frame = frame.ljust(FRAME_BYTES, b"\0")
    return Template(Kind.REPLY4, frame, *sums, int(CLIENTS4), int(first), servers - 1)


def _segment(sport: int, dport: int, s: Segment) -> bytes:
    words = (_TCP_WORDS + len(s.options) // 4) << 4
    head = struct.pack(">HHIIBBHHH", sport, dport, s.seq, s.ack, words, s.flags, 500, 0, 0)
    return head + s.options + b"x" * s.size


def _request6(ends: Ends, flags: int) -> Template:
    l4 = _tcp(0, ends.port, flags, FRAME_BYTES - _ETH - _IP6)
    source = CLIENTS6.packed
    ip = struct.pack(">IHBB", 6 << 28, len(l4), TCP, 64) + source + ends.address.packed
    pseudo = source + ends.address.packed + struct.pack(">II", len(l4), TCP)
    frame = ends.dst_mac + ends.src_mac + struct.pack(">H", _IPV6) + ip + l4
    low = int(CLIENTS6) & 0xFFFFFFFF
    return Template(Kind.TCP6, frame, 0, total(pseudo + l4), low)


def _ipv4(protocol: int, src: bytes, dst: bytes, payload: int) -> bytes:
    head = struct.pack(">BBHHHBBH", 0x45, 0, _IP4 + payload, 1, 0x4000, 64, protocol, 0)
    return head + src + dst


def _tcp(sport: int, dport: int, flags: int, size: int) -> bytes:
    head = struct.pack(">HHIIBBHHH", sport, dport, 1, 1, 0x50, flags, 65535, 0, 0)
    return head.ljust(size, b"x")


def _udp(sport: int, dport: int, size: int) -> bytes:
    return struct.pack(">HHHH", sport, dport, size, 0).ljust(size, b"x")


def right(frame: bytes) -> bool:
    """Whether all checksums of a frame are right: IPv4's, TCP's, UDP's, also in a tunnel."""
    (ethertype,) = struct.unpack_from(">H", frame, 12)
    return _right_ip(frame[_ETH:], ethertype)


def _right_ip(packet: bytes, ethertype: int) -> bool:
    if ethertype == _IPV6:
        length, protocol = struct.unpack_from(">HB", packet, 4)
        addresses, l4 = packet[8:40], packet[_IP6 : _IP6 + length]
    elif ethertype == _IPV4:
        if fold(total(packet[:_IP4])) != 0xFFFF:  # noqa: PLR2004 - RFC 1071's check
            return False
        (length,) = struct.unpack_from(">H", packet, 2)
        protocol = packet[9]
        addresses, l4 = packet[12:20], packet[_IP4:length]
    else:
        return False
    if protocol in _TUNNELS:
        return _right_ip(l4, _TUNNELS[protocol])
    if protocol not in _CHECK_AT:
        return False
    pseudo = addresses + struct.pack(">II", len(l4), protocol)
    return fold(total(pseudo + l4)) == 0xFFFF  # noqa: PLR2004 - RFC 1071's check
