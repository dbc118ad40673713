# SPDX-License-Identifier: Apache-2.0
"""Echo requests and replies (RFC 792, RFC 4443), and errors that quote a request."""

from __future__ import annotations

import struct
from typing import NamedTuple

ECHO = 8
ECHO_REPLY = 0
UNREACHABLE = 3
ECHO6 = 128
ECHO_REPLY6 = 129
UNREACHABLE6 = 1

PAYLOAD = bytes(range(0x20, 0x58))
"""What a request carries: 56 bytes, as ping sends them."""

_HEADER = struct.Struct("!BBHHH")
_IPV4_MIN = 20
_IPV6 = 40
_PROTOCOL_ICMP = 1
_PROTOCOL_ICMP6 = 58

_CODES = {
    0: "network unreachable",
    1: "no route to host",
    2: "protocol unreachable",
    3: "port unreachable",
    4: "fragmentation needed",
    9: "network prohibited",
    10: "host prohibited",
    13: "administratively prohibited",
}
_CODES6 = {
    0: "no route to host",
    1: "administratively prohibited",
    3: "no route to host",
    4: "port unreachable",
    5: "prohibited by a source policy",
    6: "rejected by a route",
}


PORT_UNREACHABLE = 3
PORT_UNREACHABLE6 = 4


def unreachable(code: int, *, v6: bool) -> str:
    """A code of "destination unreachable" in words."""
    return (_CODES6 if v6 else _CODES).get(code, f"unreachable ({code})")


class Echo(NamedTuple):
    """A reply (``error`` empty), or why a request did not arrive."""

    identifier: int
    sequence: int
    error: str = ""


def request(identifier: int, sequence: int, *, v6: bool) -> bytes:
    """An echo request; the kernel fills in the checksum of ICMPv6."""
    kind = ECHO6 if v6 else ECHO
    packet = _HEADER.pack(kind, 0, 0, identifier, sequence) + PAYLOAD
    if v6:
        return packet
    return _HEADER.pack(kind, 0, checksum(packet), identifier, sequence) + PAYLOAD


def checksum(data: bytes, start: int = 0) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = start + sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def parse4(packet: bytes) -> Echo | None:
    """What a raw IPv4 socket gave: None if it is neither reply nor error of an echo."""
    message = _behind4(packet, _PROTOCOL_ICMP)
    if len(message) < _HEADER.size:
        return None
    kind, code, _, identifier, sequence = _HEADER.unpack_from(message)
    if kind == ECHO_REPLY:
        return Echo(identifier, sequence) if not checksum(message) else None
    if kind != UNREACHABLE:
        return None
    quoted = _behind4(message[_HEADER.size :], _PROTOCOL_ICMP)
    return _quoted(quoted, ECHO, unreachable(code, v6=False))


def parse6(message: bytes) -> Echo | None:
    """What a raw ICMPv6 socket gave, which has no IP header."""
    if len(message) < _HEADER.size:
        return None
    kind, code, _, identifier, sequence = _HEADER.unpack_from(message)
    if kind == ECHO_REPLY6:
        return Echo(identifier, sequence)
    inner = message[_HEADER.size :]
    if kind != UNREACHABLE6 or len(inner) < _IPV6 or inner[6] != _PROTOCOL_ICMP6:
        return None
    return _quoted(inner[_IPV6:], ECHO6, unreachable(code, v6=True))


def _behind4(packet: bytes, protocol: int) -> bytes:
    if len(packet) < _IPV4_MIN or packet[9] != protocol:
        return b""
    return packet[max(_IPV4_MIN, (packet[0] & 0xF) * 4) :]


def _quoted(message: bytes, kind: int, error: str) -> Echo | None:
    if len(message) < _HEADER.size:
        return None
    got, _, _, identifier, sequence = _HEADER.unpack_from(message)
    return Echo(identifier, sequence, error) if got == kind else None
