# SPDX-License-Identifier: Apache-2.0
"""Adverts as bytes: VRRPv2 (RFC 3768) and VRRPv3 (RFC 9568).

RFC 5798 was read in two ways: keepalived puts IPv4's pseudo-header into the checksum of
a v3 advert, others, and RFC 9568 by name, do not. Either is accepted, and ``Form`` says
which it was.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from xlvs.model.service import Address

PROTOCOL = 112
GROUP4 = IPv4Address("224.0.0.18")
GROUP6 = IPv6Address("ff02::12")
HOP_LIMIT = 255
OWNER = 255
"""Priority of who owns the addresses."""
STOP = 0
"""Priority of a master that leaves."""

AUTH_NONE, AUTH_PASS, AUTH_AH = 0, 1, 2

_HEADER = struct.Struct(">BBBBBBH")
_AUTH_BYTES = 8
_ADVERTISEMENT = 1
_V2, _V3 = 2, 3
_CHECKSUM_AT = 6
_INTERVAL_MAX = 4095  # centiseconds, twelve bits
TRAILER_BYTES = 28
"""What ``auth_hmac`` puts behind an advert."""


class Reason(StrEnum):
    """Why a received packet counts for nothing; each is a counter."""

    HOP_LIMIT = "hop_limit"
    LENGTH = "length"
    VERSION = "version"
    TYPE = "type"
    ROUTER_ID = "router_id"
    CHECKSUM = "checksum"
    AUTH_TYPE = "auth_type"
    PASSWORD = "password"  # noqa: S105  # no password
    HMAC_MISSING = "hmac_missing"
    HMAC_MALFORMED = "hmac_malformed"
    HMAC_KEY = "hmac_key"
    HMAC_WRONG = "hmac_wrong"
    HMAC_STALE = "hmac_stale"
    HMAC_REPLAY = "hmac_replay"
    ADDRESSES = "addresses"
    INTERVAL = "interval"
    SOURCE = "source"
    OWN = "own"


class Rejected(Exception):  # noqa: N818  # what it is, as Problem
    """A packet that is not looked at any further, and why."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Form(StrEnum):
    """What the checksum of a VRRPv3 advert over IPv4 is taken of."""

    MESSAGE = "message"  # RFC 9568
    PSEUDO = "pseudo"  # RFC 5798 as keepalived reads it


@dataclass(frozen=True, slots=True)
class Advert:
    """An advertisement. ``interval`` in seconds.

    ``message`` is all of it as it was received, without the ``trailer``.
    """

    version: int
    router_id: int
    priority: int
    interval: float
    addresses: tuple[Address, ...]
    auth_type: int = AUTH_NONE
    auth_data: bytes = b""
    form: Form = Form.MESSAGE
    message: bytes = b""
    trailer: bytes = b""


def parse(data: bytes, source: Address, destination: Address) -> Advert:
    """An advert from the bytes behind the IP header. Raises Rejected.

    The checks are those that need no configuration (RFC 9568 7.1, RFC 3768 7.1).
    """
    if len(data) < _HEADER.size:
        raise Rejected(Reason.LENGTH, f"{len(data)} bytes are no VRRP packet")
    first, router_id, priority, count, fifth, sixth, _ = _HEADER.unpack_from(data)
    version = first >> 4
    v6 = isinstance(source, IPv6Address)
    if version not in (_V2, _V3) or (version == _V2 and v6):
        raise Rejected(Reason.VERSION, f"version {version} over IPv{source.version}")
    if first & 15 != _ADVERTISEMENT:
        raise Rejected(Reason.TYPE, f"type {first & 15}")
    if not router_id:
        raise Rejected(Reason.ROUTER_ID, "virtual router id 0")
    size = 16 if v6 else 4
    end = _HEADER.size + count * size
    length = end + (_AUTH_BYTES if version == _V2 else 0)
    if len(data) not in (length, length + TRAILER_BYTES):
        raise Rejected(Reason.LENGTH, f"{len(data)} bytes for {count} addresses")
    kind = IPv6Address if v6 else IPv4Address
    form = _form(data, length, version, source, destination)
    seconds = float(sixth) if version == _V2 else ((fifth & 15) << 8 | sixth) / 100
    if not seconds:
        raise Rejected(Reason.INTERVAL, "an interval of 0")
    return Advert(
        version,
        router_id,
        priority,
        seconds,
        tuple(kind(data[at : at + size]) for at in range(_HEADER.size, end, size)),
        fifth if version == _V2 else AUTH_NONE,
        data[end:length],
        form,
        data[:length],
        data[length:],
    )


def _form(data: bytes, length: int, version: int, source: Address, destination: Address) -> Form:
    # IPv6's checksum is the kernel's and covers whatever follows; IPv4's is the message's.
    if isinstance(source, IPv6Address):
        if _sum(_pseudo(source, destination, len(data)) + data) == 0:
            return Form.PSEUDO
    else:
        message = data[:length]
        if _sum(message) == 0:
            return Form.MESSAGE
        if version == _V3 and _sum(_pseudo(source, destination, length) + message) == 0:
            return Form.PSEUDO
    raise Rejected(Reason.CHECKSUM, "wrong checksum")


def build(advert: Advert) -> bytes:
    """The message with a checksum of 0. ``interval`` is rounded to what the version can say."""
    if advert.version == _V2:
        fifth, sixth = advert.auth_type, round(advert.interval)
    else:
        interval = min(max(round(advert.interval * 100), 1), _INTERVAL_MAX)
        fifth, sixth = interval >> 8, interval & 255
    header = _HEADER.pack(
        advert.version << 4 | _ADVERTISEMENT,
        advert.router_id,
        advert.priority,
        len(advert.addresses),
        fifth,
        sixth,
        0,
    )
    tail = (
        advert.auth_data.ljust(_AUTH_BYTES, b"\0")[:_AUTH_BYTES] if advert.version == _V2 else b""
    )
    return header + b"".join(address.packed for address in advert.addresses) + tail


def seal(
    message: bytes, source: Address, destination: Address, form: Form, trailer: bytes = b""
) -> bytes:
    """Put the checksum into what ``build`` gave, and the trailer behind it."""
    message = message[:_CHECKSUM_AT] + b"\0\0" + message[_CHECKSUM_AT + 2 :]
    if isinstance(source, IPv6Address):
        of = _pseudo(source, destination, len(message) + len(trailer)) + message + trailer
    elif form is Form.PSEUDO and message[0] >> 4 == _V3:
        of = _pseudo(source, destination, len(message)) + message
    else:
        of = message
    checksum = struct.pack(">H", _sum(of))
    return message[:_CHECKSUM_AT] + checksum + message[_CHECKSUM_AT + 2 :] + trailer


def _pseudo(source: Address, destination: Address, length: int) -> bytes:
    ends = source.packed + destination.packed
    if isinstance(source, IPv6Address):
        return ends + struct.pack(">IxxxB", length, PROTOCOL)
    return ends + struct.pack(">xBH", PROTOCOL, length)


def _sum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
