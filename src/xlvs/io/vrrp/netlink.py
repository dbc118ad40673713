# SPDX-License-Identifier: Apache-2.0
"""The few rtnetlink messages that VRRP needs, packed and unpacked by hand.

A general library takes a millisecond for one message of a link; a host that makes a
thousand containers sends thousands of them, and adverts have to leave in between.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_interface,
)

from xlvs.model.vrrp import VirtualAddress

Interface = IPv4Interface | IPv6Interface

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_CACHE = struct.Struct("=IIII")

_ERROR, _DONE = 2, 3
NEWLINK, DELLINK, GETLINK = 16, 17, 18
NEWADDR, DELADDR, GETADDR = 20, 21, 22
_REQUEST, _ACK, _DUMP = 1, 4, 0x300
CREATE, EXCLUSIVE = 0x400, 0x200
_GROUPS = 0x1 | 0x10 | 0x100  # links, IPv4 addresses, IPv6 addresses

_IFLA_ADDRESS, _IFLA_IFNAME = 1, 3
_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL, _IFA_BROADCAST = 1, 2, 3, 4
_IFA_CACHEINFO, _IFA_FLAGS = 6, 8
_IFF_UP, _IFF_RUNNING = 1, 0x40
_F_SECONDARY, _F_NODAD, _F_HOME, _F_TENTATIVE, _F_PERMANENT = 0x1, 0x2, 0x10, 0x40, 0x80
_F_TEMPORARY, _F_NO_PREFIX_ROUTE, _F_AUTO_JOIN = 0x100, 0x200, 0x400
_FOREVER = 0xFFFFFFFF
_SCOPES = {"global": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255}
_AF_BRIDGE = 7
_BUFFER = 1 << 20
_RECEIVE = 1 << 16


@dataclass(frozen=True, slots=True)
class LinkSeen:
    """A link as a message says; ``gone``: it was deleted."""

    index: int
    name: str
    mac: bytes
    up: bool
    gone: bool


@dataclass(frozen=True, slots=True)
class AddressSeen:
    """An address as a message says. ``usable``: packets may come from it already."""

    index: int
    address: Interface
    secondary: bool
    usable: bool
    gone: bool


Seen = LinkSeen | AddressSeen


def open_monitor() -> socket.socket:
    """A non-blocking socket that gets every change of links and addresses."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    made.bind((0, _GROUPS))
    made.setblocking(False)
    return made


def dump() -> list[Seen]:
    """All links, then all addresses, as they are now."""
    seen: list[Seen] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as asked:
        asked.bind((0, 0))
        for kind, body in (
            (GETLINK, _LINK.pack(0, 0, 0, 0, 0)),
            (GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0)),
        ):
            asked.send(_message(kind, _REQUEST | _DUMP, body))
            while True:
                data = asked.recv(_RECEIVE)
                seen += parse(data)
                if any(type_ in (_DONE, _ERROR) for type_, _ in _messages(data)):
                    break
    return seen


def parse(data: bytes) -> list[Seen]:
    """What the messages of one datagram say about links and addresses."""
    seen: list[Seen] = []
    for kind, body in _messages(data):
        if kind in (NEWLINK, DELLINK) and len(body) >= _LINK.size:
            # A port that leaves its bridge is "deleted", too: of the bridge's family.
            if body[0] != _AF_BRIDGE:
                seen.append(_link(kind, body))
        elif kind in (NEWADDR, DELADDR) and len(body) >= _ADDRESS.size:
            # What a newer kernel may say in another way is left out, nothing worse.
            with contextlib.suppress(struct.error, ValueError):
                found = _address(kind, body)
                if found is not None:
                    seen.append(found)
    return seen


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        yield kind, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found


def _link(kind: int, body: bytes) -> LinkSeen:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    attributes = _attributes(body[_LINK.size :])
    name = attributes.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
    both = _IFF_UP | _IFF_RUNNING
    up = kind == NEWLINK and flags & both == both
    return LinkSeen(index, name, attributes.get(_IFLA_ADDRESS, b""), up, kind == DELLINK)


def _address(kind: int, body: bytes) -> AddressSeen | None:
    family, length, flags, _, index = _ADDRESS.unpack_from(body)
    attributes = _attributes(body[_ADDRESS.size :])
    packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
    if packed is None:
        return None
    if _IFA_FLAGS in attributes:
        (flags,) = struct.unpack("=I", attributes[_IFA_FLAGS])
    interface: Interface
    if family == socket.AF_INET:
        interface = IPv4Interface((packed, length))
    elif family == socket.AF_INET6:
        interface = IPv6Interface((packed, length))
    else:
        return None
    v4 = family == socket.AF_INET
    return AddressSeen(
        index,
        interface,
        # IPv6 calls what is temporary by the same bit.
        secondary=v4 and bool(flags & _F_SECONDARY),
        usable=v4 or not flags & _F_TENTATIVE,
        gone=kind == DELADDR,
    )


def address_request(kind: int, flags: int, index: int, wanted: VirtualAddress) -> bytes:
    """``RTM_NEWADDR`` or ``RTM_DELADDR`` for an address on a link."""
    address = ip_interface(str(wanted.address))
    v6 = isinstance(address, IPv6Interface)
    packed = address.ip.packed
    attributes = _attribute(_IFA_LOCAL, packed)
    peer = wanted.peer.packed if wanted.peer is not None else packed
    attributes += _attribute(_IFA_ADDRESS, peer)
    bits = _F_PERMANENT
    if v6:
        bits |= _F_NODAD if wanted.nodad else 0
        bits |= _F_HOME if wanted.home else 0
        bits |= _F_TEMPORARY if wanted.manage_temporary else 0
    elif wanted.broadcast is not None:
        attributes += _attribute(_IFA_BROADCAST, wanted.broadcast.packed)
    if wanted.label and not v6:
        attributes += _attribute(_IFA_LABEL, wanted.label.encode() + b"\0")
    preferred = wanted.preferred_lifetime
    if preferred is None and v6 and address.network.prefixlen == 128:  # noqa: PLR2004
        # As keepalived: never the source of what this host sends of its own accord.
        preferred = 0
    if kind == NEWADDR and preferred is not None:
        attributes += _attribute(_IFA_CACHEINFO, _CACHE.pack(preferred, _FOREVER, 0, 0))
    bits |= _F_NO_PREFIX_ROUTE if wanted.no_prefix_route else 0
    bits |= _F_AUTO_JOIN if wanted.auto_join else 0
    attributes += _attribute(_IFA_FLAGS, struct.pack("=I", bits))
    scope = _SCOPES.get(wanted.scope, 0)
    if not wanted.scope and address.ip.is_link_local and v6:
        scope = _SCOPES["link"]
    family = socket.AF_INET6 if v6 else socket.AF_INET
    body = _ADDRESS.pack(family, address.network.prefixlen, bits & 0xFF, scope, index)
    return _message(kind, flags | _REQUEST | _ACK, body + attributes)


def request(asked: socket.socket, message: bytes) -> int:
    """Send a request and wait for the answer; returns errno, 0: done."""
    asked.send(message)
    while True:
        for kind, body in _messages(asked.recv(_RECEIVE)):
            if kind == _ERROR:
                return -int(struct.unpack_from("=i", body)[0])


def open_requests() -> socket.socket:
    """A blocking socket for requests."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    made.bind((0, 0))
    return made


def words(number: int) -> str:
    """What an errno means."""
    return os.strerror(number)


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body


def plain(address: Interface) -> IPv4Address | IPv6Address:
    """An address without its prefix."""
    return address.ip
