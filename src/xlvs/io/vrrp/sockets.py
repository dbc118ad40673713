# SPDX-License-Identifier: Apache-2.0
"""Raw sockets of protocol 112: one per interface and family."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

from xlvs.model.service import Address, Family
from xlvs.protocols.vrrp.effects import Datagram
from xlvs.protocols.vrrp.packet import PROTOCOL
from xlvs.protocols.vrrp.router import Packet

_TOS = 0xC0  # internetwork control
_PRIORITY = 6
_RECEIVE = 1 << 16
_AT_ONCE = 64
_IPV4_HEADER = struct.Struct("!BBHHHBBH4s4s")
_IP_ADD_MEMBERSHIP = getattr(socket, "IP_ADD_MEMBERSHIP", 35)
_IP_MULTICAST_ALL = 49
_IPV6_MULTICAST_ALL = 29
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}
_FLOW6 = 6 << 28 | _TOS << 20


class RawSocket:
    """Adverts of one family on one interface. Raises OSError."""

    def __init__(self, interface: str, index: int, family: Family) -> None:
        self.interface = interface
        self.index = index
        self.family = family
        v6 = family is Family.INET6
        kind = socket.AF_INET6 if v6 else socket.AF_INET
        self._groups: set[Address] = set()
        self._socket = made = socket.socket(
            kind, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, PROTOCOL
        )
        try:
            if interface:
                name = interface.encode() + b"\0"
                made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, _PRIORITY)
            if v6:
                self._options6()
            else:
                self._options4()
        except OSError:
            made.close()
            raise

    def _options4(self) -> None:
        made = self._socket
        made.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        made.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        interface = struct.pack("4s4si", bytes(4), bytes(4), self.index)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)

    def _options6(self) -> None:
        made = self._socket
        for option, value in (
            (socket.IPV6_RECVHOPLIMIT, 1),
            (socket.IPV6_RECVPKTINFO, 1),
            (socket.IPV6_MULTICAST_LOOP, 0),
            (socket.IPV6_MULTICAST_IF, self.index),
            (socket.IPV6_TCLASS, _TOS),
            (_IPV6_MULTICAST_ALL, 0),
        ):
            made.setsockopt(socket.IPPROTO_IPV6, option, value)

    def join(self, group: Address) -> None:
        """Receive what goes to a multicast group. Raises OSError."""
        if group in self._groups:
            return
        if isinstance(group, IPv6Address):
            request = group.packed + struct.pack("=i", self.index)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        else:
            request = struct.pack("4s4si", group.packed, bytes(4), self.index)
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_ADD_MEMBERSHIP, request)
        self._groups.add(group)

    def fileno(self) -> int:
        """Readable when packets are there."""
        return self._socket.fileno()

    def close(self) -> None:
        """Leave the groups and be no more."""
        self._socket.close()

    def send(self, datagram: Datagram) -> None:
        """Send an advert. Raises OSError."""
        source, destination = datagram.source, datagram.destination
        if isinstance(source, IPv4Address):
            packet = ipv4_header(datagram) + datagram.payload
            self._socket.sendto(packet, (str(destination), 0))
            return
        self._socket.sendmsg(
            [datagram.payload],
            [
                (
                    socket.IPPROTO_IPV6,
                    socket.IPV6_PKTINFO,
                    source.packed + struct.pack("=I", self.index),
                ),
                (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, struct.pack("=i", datagram.hop_limit)),
            ],
            0,
            (str(destination), 0, 0, self.index if destination.is_link_local else 0)
            if not destination.is_multicast
            else (str(destination), 0, 0, self.index),
        )

    def receive(self, take: Callable[[Packet], None]) -> None:
        """Give what has come in, a bounded number of packets."""
        for _ in range(_AT_ONCE):
            try:
                data, extras, _, sender = self._socket.recvmsg(_RECEIVE, 256)
            except OSError:  # nothing more, or the interface has gone
                return
            packet = (
                self._packet6(data, extras, sender[0])
                if self.family is Family.INET6
                else self._packet4(data)
            )
            if packet is not None:
                take(packet)

    def _packet4(self, data: bytes) -> Packet | None:
        if len(data) < _IPV4_HEADER.size:
            return None
        length = (data[0] & 15) * 4
        return Packet(
            self.interface,
            IPv4Address(data[12:16]),
            IPv4Address(data[16:20]),
            data[8],
            data[length:],
        )

    def _packet6(
        self, data: bytes, extras: list[tuple[int, int, bytes]], sender: str
    ) -> Packet | None:
        hop_limit, destination = -1, None
        for level, kind, value in extras:
            if level != socket.IPPROTO_IPV6:
                continue
            if kind == socket.IPV6_HOPLIMIT:
                (hop_limit,) = struct.unpack_from("=i", value)
            elif kind == socket.IPV6_PKTINFO:
                destination = IPv6Address(value[:16])
        if destination is None:
            return None
        source = ip_address(sender.partition("%")[0])
        return Packet(self.interface, source, destination, hop_limit, data)


class FrameSocket:
    """Whole Ethernet frames, to any interface."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0
        )

    def close(self) -> None:
        """No more frames."""
        self._socket.close()

    def send(self, device: str, frame: bytes) -> None:
        """Send a frame; one that does not fit into the queue is lost. Raises OSError."""
        with contextlib.suppress(BlockingIOError):
            self._socket.sendto(frame, (device, 0))


def ipv4_header(datagram: Datagram) -> bytes:
    """A header whose length and checksum the kernel fills in."""
    return _IPV4_HEADER.pack(
        0x45,
        _TOS,
        _IPV4_HEADER.size + len(datagram.payload),
        0,
        0,
        datagram.hop_limit,
        PROTOCOL,
        0,
        datagram.source.packed,
        datagram.destination.packed,
    )


def multicast_frame(datagram: Datagram, mac: bytes) -> bytes:
    """An advert from a virtual MAC address, which has no IP address that could send it."""
    destination = datagram.destination.packed
    if isinstance(datagram.source, IPv6Address):
        target = b"\x33\x33" + destination[-4:]
        header = (
            struct.pack("!IHBB", _FLOW6, len(datagram.payload), PROTOCOL, datagram.hop_limit)
            + datagram.source.packed
            + destination
        )
    else:
        target = b"\x01\x00\x5e" + bytes([destination[1] & 0x7F]) + destination[2:]
        header = ipv4_header(datagram)
        total = sum(struct.unpack("!10H", header))
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        header = header[:10] + struct.pack("!H", ~total & 0xFFFF) + header[12:]
    kind = struct.pack("!H", _ETHERTYPES[datagram.source.version])
    return target + mac + kind + header + datagram.payload
