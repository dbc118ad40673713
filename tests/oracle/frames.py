# SPDX-License-Identifier: Apache-2.0
"""Raw packets, built from scratch: the clients' and the real servers' side of a replay.

Written for the tests alone, so that a mistake in the product's own packet code cannot
hide itself. Packets are plain ``bytes`` that begin with the IP header.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address

ICMP = 1
TCP = 6
UDP = 17
IPV6 = 41
GRE = 47
ICMP6 = 58

FLAG_BITS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32}


def ones_complement(data: bytes) -> int:
    """Internet checksum (RFC 1071) of ``data``; 0 when it covers a right checksum field."""
    if len(data) % 2:
        data += b"\0"
    total = int(sum(struct.unpack(f"!{len(data) // 2}H", data)))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pseudo_header(source: str, destination: str, protocol: int, length: int) -> bytes:
    """What TCP, UDP and ICMPv6 checksums cover besides the segment."""
    addresses = ip_address(source).packed + ip_address(destination).packed
    if len(addresses) == 8:
        return addresses + struct.pack("!BBH", 0, protocol, length)
    return addresses + struct.pack("!II", length, protocol)


def ipv4(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    ident: int = 0x1234,
    tos: int = 0,
    flags_and_offset: int = 0x4000,
) -> bytes:
    """An IPv4 packet without options; ``flags_and_offset`` is the raw 16-bit field."""
    header = struct.pack(
        "!BBHHHBBH",
        0x45,
        tos,
        20 + len(payload),
        ident,
        flags_and_offset,
        ttl,
        protocol,
        0,
    )
    header += ip_address(source).packed + ip_address(destination).packed
    return with_checksum(header, 10) + payload


def ipv6(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    hop_limit: int = 64,
    traffic_class: int = 0,
    flow: int = 0,
) -> bytes:
    """An IPv6 packet without extension headers."""
    first = 6 << 28 | traffic_class << 20 | flow
    header = struct.pack("!IHBB", first, len(payload), protocol, hop_limit)
    return header + ip_address(source).packed + ip_address(destination).packed + payload


def with_checksum(segment: bytes, at: int, covered_before: bytes = b"") -> bytes:
    """``segment`` with the checksum field at offset ``at`` (zero so far) filled in."""
    checksum = ones_complement(covered_before + segment)
    return segment[:at] + struct.pack("!H", checksum) + segment[at + 2 :]


def tcp_segment(
    source: str,
    sport: int,
    destination: str,
    dport: int,
    flags: str,
    *,
    seq: int = 1000,
    ack: int = 0,
    data: bytes = b"",
) -> bytes:
    """A TCP segment without options; ``flags`` are letters of FSRPAU."""
    bits = sum(FLAG_BITS[letter] for letter in set(flags))
    segment = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 5 << 4, bits, 65535, 0, 0) + data
    return with_checksum(segment, 16, pseudo_header(source, destination, TCP, len(segment)))


def udp_datagram(
    source: str,
    sport: int,
    destination: str,
    dport: int,
    data: bytes,
) -> bytes:
    """A UDP datagram with its checksum (an all-zero one is sent as 0xffff)."""
    segment = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
    covered = pseudo_header(source, destination, UDP, len(segment))
    return segment[:6] + struct.pack("!H", ones_complement(covered + segment) or 0xFFFF) + data


def packet(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """An ordinary packet of either family around ``payload``."""
    if ip_address(source).version == 4:
        return ipv4(source, destination, protocol, payload)
    return ipv6(source, destination, protocol, payload)


def tcp(source: str, sport: int, destination: str, dport: int, flags: str) -> bytes:
    """A whole TCP packet without data."""
    return packet(source, destination, TCP, tcp_segment(source, sport, destination, dport, flags))


def udp(source: str, sport: int, destination: str, dport: int, data: bytes = b"hello") -> bytes:
    """A whole UDP packet."""
    return packet(source, destination, UDP, udp_datagram(source, sport, destination, dport, data))


def addresses(packet: bytes) -> tuple[str, str]:
    """Source and destination address of a packet."""
    if packet[0] >> 4 == 4:
        return str(ip_address(packet[12:16])), str(ip_address(packet[16:20]))
    return str(ip_address(packet[8:24])), str(ip_address(packet[24:40]))


def header_is_wrong(packet: bytes) -> bool:
    """Whether the IPv4 header's checksum or either family's length field is wrong."""
    if packet[0] >> 4 == 4:
        header = packet[: (packet[0] & 15) * 4]
        length = struct.unpack("!H", packet[2:4])[0]
        return bool(ones_complement(header)) or length != len(packet)
    return bool(struct.unpack("!H", packet[4:6])[0] + 40 != len(packet))
