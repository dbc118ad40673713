# SPDX-License-Identifier: Apache-2.0
"""PING_CHECK: one raw socket per family for all of them.

Source address, interface and mark go with each packet. An unprivileged ICMP socket would need
``net.ipv4.ping_group_range`` to be changed, and one socket per probe.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from ipaddress import IPv4Address

from xlvs.io.checkers import sockets
from xlvs.io.checkers.deadlines import Deadlines
from xlvs.io.checkers.target import Origin
from xlvs.model.service import Address
from xlvs.protocols.checks import icmp
from xlvs.protocols.checks.outcome import GOOD, Outcome, failed, in_seconds, not_asked

_ICMP_FILTER = 1  # SOL_RAW
_ICMP6_FILTER = 1  # IPPROTO_ICMPV6
_SOL_RAW = 255
_IP_PKTINFO = 8
_IPV6_PKTINFO = 50
_BUFFER = 1 << 20
_PACKET = 2048
_BATCH = 256
_SEQUENCES = 1 << 16
_FILTER_WORDS = 8

_Key = tuple[bool, int]


class _Asked:
    __slots__ = ("address", "future", "key", "tick")

    def __init__(self, key: _Key, address: Address, future: asyncio.Future[Outcome]) -> None:
        self.key = key
        self.address = address
        self.future = future
        self.tick = 0


class Pinger:
    """Made in a running loop; ``close`` it. Sockets are opened when they are needed."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets: dict[bool, socket.socket] = {}
        self._asked: dict[_Key, _Asked] = {}
        self._sequence = random.getrandbits(16)
        self._identifier = random.getrandbits(16)
        self._deadlines: Deadlines[_Asked] = Deadlines(self._late)

    def close(self) -> None:
        """Who waits is cancelled."""
        self._deadlines.close()
        for each in self._asked.values():
            each.future.cancel()
        self._asked.clear()
        for sock in self._sockets.values():
            self._loop.remove_reader(sock.fileno())
            sock.close()
        self._sockets.clear()

    async def ping(self, address: Address, origin: Origin, deadline: float) -> Outcome:
        """One echo request, and its reply before the deadline. Raises OSError, Ours."""
        v6 = not isinstance(address, IPv4Address)
        try:
            sock = self._sockets.get(v6) or self._open(v6=v6)
        except OSError as error:
            raise sockets.Ours(sockets.lack(error)) from None
        sequence = self._free_sequence(v6=v6)
        if sequence < 0:
            return not_asked("all sequence numbers of ICMP echo are in use")
        asked = _Asked((v6, sequence), address, self._loop.create_future())
        begin = self._loop.time()
        packet = icmp.request(self._identifier, sequence, v6=v6)
        to = sockets.sockaddr(address, 0, origin.interface)
        try:
            sock.sendmsg([packet], _ancillary(origin, v6=v6), 0, to)
        except OSError:
            # A foreign source is "invalid" or "unreachable", by family and kernel.
            if origin.address is not None and not sockets.is_here(origin.address):
                raise sockets.Ours(f"{origin.address} is not an address of this host") from None
            raise
        self._asked[asked.key] = asked
        asked.tick = self._deadlines.add(asked, deadline)
        try:
            outcome = await asked.future
        finally:
            self._deadlines.done(asked, asked.tick)
            self._asked.pop(asked.key, None)
        if outcome is _LATE:
            return failed(
                f"timed out after {in_seconds(deadline - begin)} while waiting for the echo reply"
            )
        return outcome

    def _free_sequence(self, *, v6: bool) -> int:
        for _ in range(_SEQUENCES):
            self._sequence = (self._sequence + 1) % _SEQUENCES
            if (v6, self._sequence) not in self._asked:
                return self._sequence
        return -1

    def _open(self, *, v6: bool) -> socket.socket:
        flags = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        if v6:
            sock = socket.socket(socket.AF_INET6, flags, socket.IPPROTO_ICMPV6)
            wanted = (icmp.ECHO_REPLY6, icmp.UNREACHABLE6)
            blocked = [0xFFFFFFFF] * _FILTER_WORDS
            for kind in wanted:
                blocked[kind >> 5] &= ~(1 << (kind & 31))
            sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("8I", *blocked))
        else:
            sock = socket.socket(socket.AF_INET, flags, socket.IPPROTO_ICMP)
            passed = 1 << icmp.ECHO_REPLY | 1 << icmp.UNREACHABLE
            sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("I", ~passed & 0xFFFFFFFF))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._sockets[v6] = sock
        self._loop.add_reader(sock.fileno(), self._ready, sock, v6)
        return sock

    def _ready(self, sock: socket.socket, v6: bool) -> None:  # noqa: FBT001  # a callback
        with contextlib.suppress(BlockingIOError):
            for _ in range(_BATCH):
                self._take(*sock.recvfrom(_PACKET), v6=v6)

    def _take(self, packet: bytes, sender: tuple[str, int], *, v6: bool) -> None:
        echo = icmp.parse6(packet) if v6 else icmp.parse4(packet)
        if echo is None or echo.identifier != self._identifier:
            return
        asked = self._asked.get((v6, echo.sequence))
        if asked is None or asked.future.done():
            return
        if echo.error:
            asked.future.set_result(failed(echo.error))
        elif sender[0].partition("%")[0] == str(asked.address).partition("%")[0]:
            asked.future.set_result(GOOD)

    def _late(self, asked: _Asked) -> None:
        if not asked.future.done():
            asked.future.set_result(_LATE)


_LATE = failed("")


def _ancillary(origin: Origin, *, v6: bool) -> list[tuple[int, int, bytes]]:
    found = []
    if origin.address is not None or origin.interface:
        index = sockets.index_of(origin.interface) if origin.interface else 0
        source = origin.address.packed if origin.address is not None else b""
        if v6:
            info = struct.pack("16sI", source, index)
            found.append((socket.IPPROTO_IPV6, _IPV6_PKTINFO, info))
        else:
            info = struct.pack("I4s4s", index, source, b"")
            found.append((socket.IPPROTO_IP, _IP_PKTINFO, info))
    if origin.mark:
        found.append((socket.SOL_SOCKET, socket.SO_MARK, struct.pack("I", origin.mark)))
    return found
