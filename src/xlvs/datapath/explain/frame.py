# SPDX-License-Identifier: Apache-2.0
"""Frames to be explained: made of what was asked for, and read back as people see them. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address, Protocol
from xlvs.wire.explanation import Layer

TTL = 64
MSS = 1460
LENGTH_MAX = 3000
"""IP bytes that a test run takes on every kernel: a page less the room around the frame."""

_ETHERNET = 14
_VLAN = 0x8100
_IPV4, _IPV6 = 0x0800, 0x86DD
_TCP, _UDP, _SCTP, _GRE, _IPIP, _IP6IP, _ICMP, _ICMP6 = 6, 17, 132, 47, 4, 41, 1, 58
NUMBERS = {Protocol.TCP: _TCP, Protocol.UDP: _UDP, Protocol.SCTP: _SCTP}
"""Protocol -> IP protocol number."""

_FLAG_BITS = {"F": 0x01, "S": 0x02, "R": 0x04, "P": 0x08, "A": 0x10, "U": 0x20}
_CHUNKS = {"S": 1, "SA": 2, "A": 0, "": 0, "F": 7, "FA": 7, "R": 6, "RA": 6}
_CHUNK_NAMES = {0: "DATA", 1: "INIT", 2: "INIT ACK", 6: "ABORT", 7: "SHUTDOWN"}
_ICMP_NAMES = {
    (3, 0): "network unreachable",
    (3, 1): "host unreachable",
    (3, 3): "port unreachable",
    (3, 4): "fragmentation needed",
    (11, 0): "time to live exceeded",
}
_ICMP6_NAMES = {
    (1, 0): "no route to destination",
    (1, 3): "address unreachable",
    (1, 4): "port unreachable",
    (2, 0): "packet too big",
    (3, 0): "hop limit exceeded",
}
_ERRORS = {
    "host-unreachable": ((3, 1), (1, 3)),
    "port-unreachable": ((3, 3), (1, 4)),
    "too-big": ((3, 4), (2, 0)),
    "ttl-exceeded": ((11, 0), (3, 0)),
}
"""Type and code of ICMP and of ICMPv6."""

MTU = 1280
"""That an error asks for: what every way has to take in IPv6 (RFC 8200 5)."""

_QUOTED4, _QUOTED6 = 576 - 28, 1280 - 48
"""How much of a packet an error quotes at most: RFC 1812 4.3.2.3, RFC 4443 2.4."""

QUOTED = "quoted "
"""Before the names of the headers that an ICMP error quotes."""

_DF = 0x4000
_POLYNOMIAL = 0x82F63B78  # CRC32c, reflected


class Wanted(NamedTuple):
    """A packet; ``length`` in IP bytes, 0: as short as it can be; ``vlan`` 0: untagged.

    With an ``error`` the frame is this ICMP error about the packet, to its source.
    """

    protocol: Protocol
    source: Address
    source_port: int
    destination: Address
    destination_port: int
    flags: str = "S"
    length: int = 0
    source_mac: bytes = bytes(6)
    destination_mac: bytes = bytes(6)
    vlan: int = 0
    error: str = ""
    sender: Address | None = None


def make(wanted: Wanted) -> bytes:
    """The frame, with right checksums. Raises Problem: lengths, flags, families."""
    if wanted.source.version != wanted.destination.version:
        raise Problem(Code.INVALID, "the two addresses are not of one family", "/source")
    v4 = isinstance(wanted.source, IPv4Address)
    header = 20 if v4 else 40
    transport = _transport(wanted, max(wanted.length - header, 0))
    length = header + len(transport)
    if wanted.length and length != wanted.length:
        raise Problem(
            Code.INVALID, f"such a packet has at least {length} IP bytes, not {wanted.length}",
            "/length",
        )  # fmt: skip
    if length > LENGTH_MAX:
        raise Problem(Code.INVALID, f"a packet has at most {LENGTH_MAX} IP bytes here", "/length")
    tag = struct.pack(">HH", _VLAN, wanted.vlan) if wanted.vlan else b""
    link = wanted.destination_mac + wanted.source_mac + tag
    link += struct.pack(">H", _IPV4 if v4 else _IPV6)
    packet = _ip(wanted.source, wanted.destination, NUMBERS[wanted.protocol], transport)
    return link + (_error(wanted, packet) if wanted.error else packet)


def _ip(source: Address, destination: Address, number: int, payload: bytes) -> bytes:
    if isinstance(source, IPv4Address):
        ip = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, _DF, TTL, number, 0,
            source.packed, destination.packed,
        )  # fmt: skip
        return ip[:10] + struct.pack(">H", ~_sum(ip) & 0xFFFF) + ip[12:] + payload
    return (
        struct.pack(
            ">IHBB16s16s", 6 << 28, len(payload), number, TTL, source.packed, destination.packed
        )
        + payload
    )


def _error(wanted: Wanted, packet: bytes) -> bytes:
    """The ICMP error about the packet, from whoever complains to its source."""
    if wanted.error not in _ERRORS:
        raise Problem(
            Code.INVALID, f"no such error: {wanted.error}; one of {', '.join(_ERRORS)}", "/error"
        )
    sender = wanted.sender or wanted.destination
    if sender.version != wanted.source.version:
        raise Problem(Code.INVALID, "the error's sender is not of the packet's family", "/sender")
    v4 = wanted.source.version == 4  # noqa: PLR2004  # IPv4
    kind, code = _ERRORS[wanted.error][0 if v4 else 1]
    mtu = MTU if wanted.error == "too-big" else 0
    quoted = packet[: _QUOTED4 if v4 else _QUOTED6]
    message = struct.pack(">BBHI", kind, code, 0, mtu) + quoted
    pseudo = b"" if v4 else _pseudo(sender, wanted.source, len(message), _ICMP6)
    checksum = struct.pack(">H", ~_sum(pseudo + message) & 0xFFFF)
    message = message[:2] + checksum + message[4:]
    return _ip(sender, wanted.source, _ICMP if v4 else _ICMP6, message)


def _pseudo(source: Address, destination: Address, length: int, number: int) -> bytes:
    return source.packed + destination.packed + struct.pack(">IHBB", length, 0, 0, number)


def _transport(wanted: Wanted, room: int) -> bytes:
    ports = struct.pack(">HH", wanted.source_port, wanted.destination_port)
    match wanted.protocol:
        case Protocol.TCP:
            flags = _flags(wanted.flags)
            option = struct.pack(">BBH", 2, 4, MSS) if flags & _FLAG_BITS["S"] else b""
            offset = (20 + len(option)) // 4 << 4
            head = ports + struct.pack(">IIBBHHH", 1, 0, offset, flags, 65535, 0, 0) + option
            return _summed(wanted, head.ljust(room, b"\0"), 16, _TCP)
        case Protocol.UDP:
            size = max(8, room)
            head = ports + struct.pack(">HH", size, 0)
            return _summed(wanted, head.ljust(size, b"\0"), 6, _UDP)
        case Protocol.SCTP:
            return _sctp(wanted, ports, room)
    raise Problem(Code.INVALID, "a packet is of tcp, udp or sctp", "/protocol")


def _flags(letters: str) -> int:
    wrong = set(letters) - _FLAG_BITS.keys()
    if wrong:
        raise Problem(
            Code.INVALID, f"{letters!r} are no TCP flags: letters of S, A, F, R, P, U", "/flags"
        )
    return sum(_FLAG_BITS[letter] for letter in set(letters))


def _sctp(wanted: Wanted, ports: bytes, room: int) -> bytes:
    letters = "".join(letter for letter in "FSRA" if letter in wanted.flags)
    if letters not in _CHUNKS or set(wanted.flags) - set("SAFR"):
        raise Problem(
            Code.INVALID,
            f"{wanted.flags!r} is no SCTP packet: S (INIT), SA, A (DATA), F (SHUTDOWN), R (ABORT)",
            "/flags",
        )
    kind = _CHUNKS[letters]
    body = bytes(16) if kind < 3 else bytes(4)  # noqa: PLR2004  # DATA, INIT and its ACK
    size = max(4 + len(body), room - 12)
    chunk = struct.pack(">BBH", kind, 3 if kind == 0 else 0, size) + body.ljust(size - 4, b"\0")
    packet = ports + struct.pack(">II", 1, 0) + chunk
    return packet[:8] + struct.pack("<I", _crc(packet)) + packet[12:]


def _summed(wanted: Wanted, segment: bytes, at: int, number: int) -> bytes:
    pseudo = _pseudo(wanted.source, wanted.destination, len(segment), number)
    checksum = ~_sum(pseudo + segment) & 0xFFFF
    if number == _UDP and not checksum:
        checksum = 0xFFFF  # RFC 768: zero would mean "none"
    return segment[:at] + struct.pack(">H", checksum) + segment[at + 2 :]


def _sum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _crc(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


# ---- reading


def read(frame: bytes) -> list[Layer]:
    """The headers of a frame; what is cut off or strange ends the list."""
    try:
        return list(_link(frame))
    except struct.error:
        return []


def _link(frame: bytes) -> Iterator[Layer]:
    (kind,) = struct.unpack_from(">H", frame, 12)
    fields = {"source": _mac(frame[6:12]), "destination": _mac(frame[:6])}
    at = _ETHERNET
    if kind == _VLAN:
        tag, kind = struct.unpack_from(">HH", frame, 14)
        fields["vlan"] = str(tag & 0xFFF)
        at += 4
    yield Layer(name="ethernet", fields=fields)
    yield from _network(frame[at:], kind)


def _network(data: bytes, kind: int) -> Iterator[Layer]:
    if kind == _IPV4 and len(data) >= 20:  # noqa: PLR2004  # an IPv4 header
        tos, length, _, fragment, ttl, protocol = struct.unpack_from(">xBHHHBB", data)
        fields = {
            "source": str(IPv4Address(data[12:16])),
            "destination": str(IPv4Address(data[16:20])),
            "ttl": str(ttl),
            "length": str(length),
        }
        if tos:
            fields["tos"] = f"{tos:#04x}"
        if fragment & _DF:
            fields["flags"] = "DF"
        yield Layer(name="ipv4", fields=fields)
        yield from _inner(data[(data[0] & 15) * 4 : length], protocol)
    elif kind == _IPV6 and len(data) >= 40:  # noqa: PLR2004  # an IPv6 header
        word, length, protocol, ttl = struct.unpack_from(">IHBB", data)
        fields = {
            "source": str(IPv6Address(data[8:24])),
            "destination": str(IPv6Address(data[24:40])),
            "ttl": str(ttl),
            "length": str(length + 40),
        }
        if word >> 20 & 0xFF:
            fields["tos"] = f"{word >> 20 & 0xFF:#04x}"
        yield Layer(name="ipv6", fields=fields)
        yield from _inner(data[40:], protocol)


def _inner(data: bytes, protocol: int) -> Iterator[Layer]:  # one case for each
    match protocol:
        case 6 if len(data) >= 20:  # noqa: PLR2004  # a TCP header
            source, destination, offset, bits = struct.unpack_from(">HH8xBB", data)
            letters = "".join(letter for letter, bit in _FLAG_BITS.items() if bits & bit)
            fields = {"source": str(source), "destination": str(destination), "flags": letters}
            if offset >> 4 > 5 and data[20:22] == b"\x02\x04":  # noqa: PLR2004  # an option
                fields["mss"] = str(struct.unpack_from(">H", data, 22)[0])
            yield Layer(name="tcp", fields=fields)
        case 17 if len(data) >= 8:  # noqa: PLR2004  # a UDP header
            source, destination = struct.unpack_from(">HH", data)
            yield Layer(name="udp", fields={"source": str(source), "destination": str(destination)})
            yield from _gue(data[8:])
        case 132 if len(data) >= 13:  # noqa: PLR2004  # and the first chunk's type
            source, destination = struct.unpack_from(">HH", data)
            chunk = _CHUNK_NAMES.get(data[12], str(data[12]))
            fields = {"source": str(source), "destination": str(destination), "chunk": chunk}
            yield Layer(name="sctp", fields=fields)
        case 1 | 58 if len(data) >= 8:  # noqa: PLR2004  # an ICMP header
            yield from _message(data, protocol)
        case 4:
            yield from _network(data, _IPV4)
        case 41:
            yield from _network(data, _IPV6)
        case 47 if len(data) >= 4:  # noqa: PLR2004  # a GRE header
            bits, kind = struct.unpack_from(">HH", data)
            yield Layer(name="gre", fields={"checksum": "yes" if bits >> 15 else "no"})
            yield from _network(data[8 if bits >> 15 else 4 :], kind)


def _message(data: bytes, protocol: int) -> Iterator[Layer]:
    """ICMP, and what it quotes if it is an error."""
    names, version = (_ICMP_NAMES, _IPV4) if protocol == _ICMP else (_ICMP6_NAMES, _IPV6)
    kind, code, rest = struct.unpack_from(">BBxxI", data)
    fields = {"message": names.get((kind, code), f"type {kind} code {code}")}
    if "needed" in fields["message"] or "too big" in fields["message"]:
        fields["mtu"] = str(rest)
    yield Layer(name="icmp", fields=fields)
    if (kind, code) in names:
        for layer in _network(data[8:], version):
            yield Layer(name=QUOTED + layer.name, fields=layer.fields)


def _gue(data: bytes) -> Iterator[Layer]:
    """GUE, if that is what the datagram carries: version 0, an IP protocol, a length of words."""
    if len(data) >= 4 and not data[0] & 0xE0 and data[1] in (_IPIP, _IP6IP):  # noqa: PLR2004
        inner = data[4 + 4 * (data[0] & 0x1F) :]
        if inner and inner[0] >> 4 == (4 if data[1] == _IPIP else 6):
            yield Layer(name="gue", fields={"options": str(4 * (data[0] & 0x1F))})
            yield from _inner(inner, data[1])


def _mac(raw: bytes) -> str:
    return raw.hex(":")
