# SPDX-License-Identifier: Apache-2.0
"""The sockets of IPVS's sync daemons: multicast on one interface."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

_IP_MULTICAST_ALL = 49  # linux/in.h; Python's socket module does not have it
_MREQN = struct.Struct("=4s4si")
_NO_ADDRESS = bytes(4)
Group = IPv4Address | IPv6Address


def sending(
    interface: str, group: Group, port: int, *, ttl: int = 1, size: int = 0
) -> socket.socket:
    """Sends to ``group``; what it sends is not heard on this machine. Raises ``OSError``.

    ``size``: bytes of the kernel's buffer, 0: as it is.
    """
    index = socket.if_nametoindex(interface)
    sock = _socket(group)
    try:
        if size:
            _set_size(sock, socket.SO_SNDBUF, size)
        if isinstance(group, IPv6Address):
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
            sock.connect((str(group), port, 0, index))
        else:
            own = _MREQN.pack(_NO_ADDRESS, _NO_ADDRESS, index)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            sock.connect((str(group), port))
    except OSError:
        sock.close()
        raise
    return sock


def receiving(interface: str, group: Group, port: int, *, size: int = 0) -> socket.socket:
    """Hears ``group`` on ``interface`` and on no other. Raises ``OSError``."""
    index = socket.if_nametoindex(interface)
    sock = _socket(group)
    try:
        if size:
            _set_size(sock, socket.SO_RCVBUF, size)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        if isinstance(group, IPv6Address):
            sock.bind((str(group), port, 0, index))
            member = group.packed + struct.pack("=I", index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
        else:
            sock.bind((str(group), port))
            sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            member = _MREQN.pack(group.packed, _NO_ADDRESS, index)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    except OSError:
        sock.close()
        raise
    return sock


def _socket(group: Group) -> socket.socket:
    v6 = isinstance(group, IPv6Address)
    family = socket.AF_INET6 if v6 else socket.AF_INET
    return socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


def _set_size(sock: socket.socket, option: int, size: int) -> None:
    """Beyond the system's limit if we may, else up to it."""
    force = {socket.SO_SNDBUF: 32, socket.SO_RCVBUF: 33}[option]  # SO_SNDBUFFORCE, SO_RCVBUFFORCE
    sock.setsockopt(socket.SOL_SOCKET, option, size)
    with suppress(PermissionError):
        sock.setsockopt(socket.SOL_SOCKET, force, size)
