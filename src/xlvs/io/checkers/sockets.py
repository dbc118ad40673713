# SPDX-License-Identifier: Apache-2.0
"""Sockets of probes: where they come from, how they end, and errors in words."""

from __future__ import annotations

import errno
import os
import resource
import socket
import struct
from functools import lru_cache
from ipaddress import IPv4Address

from xlvs.io.checkers.target import Origin
from xlvs.model.service import Address
from xlvs.protocols.checks.outcome import Outcome, failed, not_asked

_IP_BIND_ADDRESS_NO_PORT = 24
_IP_RECVERR = 11
_IPV6_RECVERR = 25

# Linger for 0 s: close() sends a reset.
_ABORT = struct.pack("ii", 1, 0)

_WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network unreachable",
    errno.ETIMEDOUT: "timed out (the kernel gave up)",
    errno.EACCES: "prohibited by a route or a packet filter",
    errno.EPERM: "prohibited by a packet filter",
}
_OURS = {
    errno.EMFILE: "no file descriptor is free (LimitNOFILE=)",
    errno.ENFILE: "no file descriptor is free (fs.file-max)",
    errno.EAGAIN: "the kernel has no buffers",
    errno.ENOBUFS: "the kernel has no buffers",
    errno.ENOMEM: "the kernel has no memory",
    errno.EADDRNOTAVAIL: "the local address is not here, or has no port left",
    errno.EADDRINUSE: "the local port is in use",
    errno.ENODEV: "the interface to bind to is not there",
    errno.EAFNOSUPPORT: "this address family is switched off",
}


_NOT_ALLOWED = (errno.EPERM, errno.EACCES)


class Ours(Exception):  # noqa: N818  # not the server's failure
    """The director lacks what a probe needs; the text says what."""


def words(number: int) -> str:
    """An errno in words."""
    return _WORDS.get(number) or _OURS.get(number) or os.strerror(number).lower()


def lack(error: OSError) -> str:
    """Why the director cannot do what it wants with a socket of its own."""
    if error.errno in _NOT_ALLOWED:
        return "the director lacks the right to do it (CAP_NET_RAW, CAP_NET_ADMIN)"
    return words(error.errno or 0)


def outcome(number: int) -> Outcome:
    """What an errno means for the server."""
    if number in _OURS:
        return not_asked(_OURS[number])
    return failed(words(number))


_text = lru_cache(65536)(str)  # ipaddress spells one anew each time: a tenth of a TCP check


def sockaddr(address: Address, port: int, interface: str = "") -> tuple[object, ...]:
    """The address as sockets take it; a link-local one needs an interface or a %scope."""
    if isinstance(address, IPv4Address):
        return _text(address), port
    scope = address.scope_id or (interface if address.is_link_local else "")
    index = 0
    if scope:
        index = int(scope) if scope.isdigit() else index_of(scope)
    return str(address).partition("%")[0], port, 0, index


def index_of(interface: str) -> int:
    """An interface's index. Raises Ours."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        raise Ours(_OURS[errno.ENODEV]) from None


def is_here(address: Address) -> bool:
    """Whether it is an address of this host."""
    with socket.socket(family(address), socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(sockaddr(address, 0))
        except (OSError, Ours):
            return False
    return True


def family(address: Address) -> socket.AddressFamily:
    """AF_INET or AF_INET6."""
    return socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6


def stream(address: Address, origin: Origin) -> socket.socket:
    """A TCP socket that does not block. Raises OSError, Ours."""
    return _opened(family(address), socket.SOCK_STREAM, origin)


def datagram(address: Address, origin: Origin) -> socket.socket:
    """A UDP socket that does not block and hears of all ICMP errors. Raises OSError, Ours."""
    sock = _opened(family(address), socket.SOCK_DGRAM, origin)
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    return sock


def abort_on_close(sock: socket.socket) -> None:
    """No TIME_WAIT is left of it: thousands of probes per second would fill that table."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)


def hold_back_ack(sock: socket.socket) -> None:
    """Let the kernel delay the handshake's last ACK.

    Closed at once with a reset, the server drops what it had only half opened, and its
    program never sees a connection.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)


def raise_file_limit() -> int:
    """Allow as many file descriptors as may be: each probe in flight needs one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _opened(inet: socket.AddressFamily, kind: socket.SocketKind, origin: Origin) -> socket.socket:
    sock = socket.socket(inet, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        _place(sock, origin)
    except BaseException:
        sock.close()
        raise
    return sock


_ANYWHERE = Origin()


def _place(sock: socket.socket, origin: Origin) -> None:
    if origin == _ANYWHERE:
        return
    try:
        if origin.mark:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, origin.mark)
        if origin.interface:
            sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_BINDTODEVICE, origin.interface.encode() + b"\0"
            )
        if origin.address is not None or origin.port:
            _bind(sock, origin)
    except OSError as error:
        raise Ours(lack(error)) from None


def _bind(sock: socket.socket, origin: Origin) -> None:
    if origin.port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    elif sock.type == socket.SOCK_STREAM:
        # The port is chosen by connect(), so each destination has all of them.
        sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    any_address = "0.0.0.0" if sock.family == socket.AF_INET else "::"  # noqa: S104  # a source
    if origin.address is None:
        sock.bind((any_address, origin.port))
    else:
        sock.bind(sockaddr(origin.address, origin.port, origin.interface))
