# SPDX-License-Identifier: Apache-2.0
"""Packets of a handshake that is made by hand: building them, and reading what comes back.

Ethernet, 802.1Q, ARP (RFC 826), neighbour discovery (RFC 4861), IPv4, IPv6, TCP, and the tunnels
of IPVS: IP in IP, GRE (RFC 2784), GUE variant 0.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from xlvs.model.service import Address, TunnelType
from xlvs.protocols.checks.icmp import checksum

FIN, SYN, RST, ACK = 1, 2, 4, 16

TCP, UDP, ICMP, IPIP, IPV6_IN, GRE, ICMP6 = 6, 17, 1, 4, 41, 47, 58
ETH_IP, ETH_IPV6, ETH_ARP, ETH_VLAN = 0x0800, 0x86DD, 0x0806, 0x8100

TTL = 64
_HOP_LIMIT_ND = 255
_DONT_FRAGMENT = 0x4000
_MSS_OPTION = struct.pack("!BBH", 2, 4, 536)
_WINDOW = 1024
_ARP_REQUEST, _ARP_REPLY = 1, 2
_SOLICITATION, _ADVERTISEMENT = 135, 136
_LINK_LAYER_SOURCE = 1

_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_TCP = struct.Struct("!HHIIBBHHH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_UDP = struct.Struct("!HHHH")
_PORTS = struct.Struct("!HH")
_ICMP_HEAD = 8
_IPV6_SIZE = 40
_FRAGMENTATION_NEEDED = 4
_UNREACHABLE, _UNREACHABLE6, _PARAMETER6 = 3, 1, 4


class Segment(NamedTuple):
    """A TCP segment that came in."""

    source: Address
    destination: Address
    source_port: int
    destination_port: int
    sequence: int
    acknowledgement: int
    flags: int


class Datagram(NamedTuple):
    """A UDP datagram that came in."""

    source: Address
    destination: Address
    source_port: int
    destination_port: int
    payload: bytes


class Claim(NamedTuple):
    """Somebody answers ARP or neighbour solicitations for an address."""

    address: Address
    mac: bytes


class Refusal(NamedTuple):
    """An ICMP error: who sent it, which packet it quotes (ports 0 where it has none)."""

    by: Address
    kind: int
    code: int
    destination: Address
    protocol: int
    source_port: int = 0


def ip(source: Address, destination: Address, protocol: int, payload: bytes) -> bytes:
    """An IP packet of the addresses' family."""
    if isinstance(source, IPv6Address):
        words = (6 << 28, len(payload), protocol, TTL, source.packed, destination.packed)
        return _IPV6.pack(*words) + payload
    head = _IPV4.pack(
        0x45, 0, _IPV4.size + len(payload), 0, _DONT_FRAGMENT, TTL, protocol, 0,
        source.packed, destination.packed,
    )  # fmt: skip
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def tcp(source: tuple[Address, int], destination: tuple[Address, int],
        sequence: int, acknowledgement: int, flags: int) -> bytes:  # fmt: skip
    """An IP packet with a TCP segment without data."""
    options = _MSS_OPTION if flags & SYN else b""
    offset = (_TCP.size + len(options)) // 4 << 4
    head = _TCP.pack(
        source[1], destination[1], sequence, acknowledgement, offset, flags, _WINDOW, 0, 0
    )
    segment = head + options
    total = checksum(_pseudo(source[0], destination[0], TCP, len(segment)) + segment)
    segment = segment[:16] + struct.pack("!H", total) + segment[18:]
    return ip(source[0], destination[0], TCP, segment)


def udp(source: tuple[Address, int], destination: tuple[Address, int], payload: bytes) -> bytes:
    """An IP packet with a UDP datagram."""
    head = _UDP.pack(source[1], destination[1], _UDP.size + len(payload), 0)
    pseudo = _pseudo(source[0], destination[0], UDP, _UDP.size + len(payload))
    total = checksum(pseudo + head + payload) or 0xFFFF
    return ip(source[0], destination[0], UDP, head[:6] + struct.pack("!H", total) + payload)


def tunnelled(
    inner: bytes, ends: tuple[Address, Address], kind: TunnelType, ports: tuple[int, int]
) -> bytes:
    """A packet in another; ``ends``: its source and destination, ``ports``: GUE's."""
    source, destination = ends
    v6 = inner[0] >> 4 == 6  # noqa: PLR2004  # the version
    protocol = IPV6_IN if v6 else IPIP
    if kind == TunnelType.GRE:
        inner = struct.pack("!HH", 0, ETH_IPV6 if v6 else ETH_IP) + inner
        protocol = GRE
    elif kind == TunnelType.GUE:
        gue = struct.pack("!BBH", 0, protocol, 0) + inner
        udp = struct.pack("!HHHH", *ports, 8 + len(gue), 0) + gue
        if isinstance(source, IPv6Address):  # RFC 8200: zero is not allowed there
            total = checksum(_pseudo(source, destination, UDP, len(udp)) + udp) or 0xFFFF
            udp = udp[:6] + struct.pack("!H", total) + udp[8:]
        inner, protocol = udp, UDP
    return ip(source, destination, protocol, inner)


def frame(to: bytes, source: bytes, vlan: int, payload: bytes, ethertype: int = 0) -> bytes:
    """An Ethernet frame; ``ethertype`` 0: by the IP version."""
    if not ethertype:
        ethertype = ETH_IPV6 if payload[0] >> 4 == 6 else ETH_IP  # noqa: PLR2004
    tag = struct.pack("!HH", ETH_VLAN, vlan) if vlan else b""
    return to + source + tag + struct.pack("!H", ethertype) + payload


def who_has(wanted: Address, source: Address, mac: bytes) -> tuple[int, bytes]:
    """Ethertype and payload of the question who has an address."""
    if isinstance(wanted, IPv4Address):
        words = (1, ETH_IP, 6, 4, _ARP_REQUEST, mac, source.packed, bytes(6), wanted.packed)
        return ETH_ARP, _ARP.pack(*words)
    message = struct.pack("!BBHI", _SOLICITATION, 0, 0, 0) + wanted.packed
    message += bytes([_LINK_LAYER_SOURCE, 1]) + mac
    group = IPv6Address(bytes.fromhex("ff0200000000000000000001ff") + wanted.packed[13:])
    total = checksum(_pseudo(source, group, ICMP6, len(message)) + message)
    message = message[:2] + struct.pack("!H", total) + message[4:]
    head = _IPV6.pack(6 << 28, len(message), ICMP6, _HOP_LIMIT_ND, source.packed, group.packed)
    return ETH_IPV6, head + message


def _pseudo(source: Address, destination: Address, protocol: int, length: int) -> bytes:
    return source.packed + destination.packed + struct.pack("!II", length, protocol)


Came = Segment | Datagram | Claim | Refusal


def read(ethertype: int, packet: bytes) -> Came | None:
    """What came in, from its network header on; None: nothing of interest, or broken."""
    if ethertype == ETH_ARP:
        return _read_arp(packet)
    opened = _opened(packet)
    if opened is None:
        return None
    source, destination, protocol, payload = opened
    if protocol in (TCP, UDP):
        return _read_transport(source, destination, protocol, payload)
    if protocol == ICMP6 and payload[:1] == bytes([_ADVERTISEMENT]):
        wanted = payload[8:24]
        return Claim(IPv6Address(wanted), b"") if len(wanted) == 16 else None  # noqa: PLR2004
    if protocol in (ICMP, ICMP6):
        return _read_error(source, protocol, payload)
    return None


def _read_transport(
    source: Address, destination: Address, protocol: int, payload: bytes
) -> Segment | Datagram | None:
    if protocol == TCP and len(payload) >= _TCP.size:
        sport, dport, sequence, acknowledgement, _, flags, *_ = _TCP.unpack_from(payload)
        return Segment(source, destination, sport, dport, sequence, acknowledgement, flags)
    if protocol == UDP and len(payload) >= _UDP.size:
        sport, dport, length, _ = _UDP.unpack_from(payload)
        return Datagram(source, destination, sport, dport, payload[_UDP.size : max(length, 8)])
    return None


def _read_arp(packet: bytes) -> Claim | None:
    if len(packet) < _ARP.size:
        return None
    words = _ARP.unpack_from(packet)
    if words[:5] != (1, ETH_IP, 6, 4, _ARP_REPLY):
        return None
    return Claim(IPv4Address(words[6]), words[5])


def _read_error(by: Address, protocol: int, message: bytes) -> Refusal | None:
    wanted = (_UNREACHABLE,) if protocol == ICMP else (_UNREACHABLE6, _PARAMETER6)
    if len(message) < _ICMP_HEAD or message[0] not in wanted:
        return None
    if protocol == ICMP and message[1] == _FRAGMENTATION_NEEDED:
        return None
    quoted = _opened(message[_ICMP_HEAD:])
    if quoted is None:
        return None
    _, destination, inner, payload = quoted
    known = inner in (TCP, UDP) and len(payload) >= _PORTS.size
    port = _PORTS.unpack_from(payload)[0] if known else 0
    return Refusal(by, message[0], message[1], destination, inner, port)


def _opened(packet: bytes) -> tuple[Address, Address, int, bytes] | None:
    """Source, destination, protocol, payload."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= _IPV4.size:  # noqa: PLR2004
        words = _IPV4.unpack_from(packet)
        head = (words[0] & 0xF) * 4
        if head < _IPV4.size or words[4] & 0x1FFF:
            return None
        end = max(head, min(words[2], len(packet)))
        return ip_address(words[8]), ip_address(words[9]), words[6], packet[head:end]
    if version == 6 and len(packet) >= _IPV6_SIZE:  # noqa: PLR2004
        words = _IPV6.unpack_from(packet)
        payload = packet[_IPV6_SIZE : _IPV6_SIZE + words[1]]
        return ip_address(words[4]), ip_address(words[5]), words[2], payload
    return None
