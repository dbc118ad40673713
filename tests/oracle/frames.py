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
SCTP = 132

CHUNKS = {
    "DATA": 0,
    "INIT": 1,
    "INIT_ACK": 2,
    "SACK": 3,
    "HEARTBEAT": 4,
    "HEARTBEAT_ACK": 5,
    "ABORT": 6,
    "SHUTDOWN": 7,
    "SHUTDOWN_ACK": 8,
    "ERROR": 9,
    "COOKIE_ECHO": 10,
    "COOKIE_ACK": 11,
    "SHUTDOWN_COMPLETE": 14,
}
_LONG_CHUNKS = ("DATA", "INIT", "INIT_ACK")
_CRC_AT = slice(8, 12)

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


def crc32c(data: bytes) -> int:
    """The CRC of SCTP (RFC 9260 A), bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def sctp_crc(segment: bytes) -> bytes:
    """What an SCTP packet's CRC field should be, as it lies in the packet."""
    return struct.pack("<I", crc32c(segment[:8] + bytes(4) + segment[12:]))


def sctp_segment(sport: int, dport: int, *chunks: str) -> bytes:
    """An SCTP packet; DATA, INIT and INIT_ACK have 16 bytes of value, others four, all zero."""
    segment = struct.pack("!HHII", sport, dport, 0x11223344, 0)
    for chunk in chunks:
        value = bytes(16 if chunk in _LONG_CHUNKS else 4)
        flags = 3 if chunk == "DATA" else 0  # begin and end of a message
        segment += struct.pack("!BBH", CHUNKS[chunk], flags, 4 + len(value)) + value
    return segment[:8] + sctp_crc(segment) + segment[12:]


def sctp_is_right(segment: bytes) -> bool:
    """Whether an SCTP packet has the right CRC."""
    return segment[_CRC_AT] == sctp_crc(segment)


def sctp(source: str, sport: int, destination: str, dport: int, *chunks: str) -> bytes:
    """A whole SCTP packet."""
    return packet(source, destination, SCTP, sctp_segment(sport, dport, *chunks))


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
