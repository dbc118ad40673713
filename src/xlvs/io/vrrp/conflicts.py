# SPDX-License-Identifier: Apache-2.0
"""ARP by which somebody else says that a master's address is his.

Two masters whose adverts a firewall drops never hear of each other; their ARP they do.
A filter in the kernel lets through what names one of the addresses, so that a busy network
costs nothing here.
"""

from __future__ import annotations

import socket
import struct
from array import array
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address

from xlvs.protocols.vrrp.neighbours import arp_sender

_ETH_P_ARP = 0x0806
_SO_ATTACH_FILTER = 26
_SENDER_AT = 28  # of the sender's IP address in an Ethernet frame with ARP
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_INSTRUCTIONS_MAX = 4096
_RECEIVE = 128
_AT_ONCE = 32


def instructions(addresses: Iterable[IPv4Address]) -> bytes:
    """A classic BPF program: whole frames whose ARP sender is one of these, nothing else."""
    code = [struct.pack("=HBBI", _LOAD, 0, 0, _SENDER_AT)]
    for address in sorted(addresses):
        if len(code) > _INSTRUCTIONS_MAX - 3:
            break
        code.append(struct.pack("=HBBI", _EQUAL, 0, 1, int(address)))
        code.append(struct.pack("=HBBI", _RETURN, 0, 0, _RECEIVE))
    code.append(struct.pack("=HBBI", _RETURN, 0, 0, 0))
    return b"".join(code)


class Listener:
    """Hears on one interface what claims one of some addresses. Raises OSError."""

    def __init__(self, interface: str, addresses: frozenset[IPv4Address]) -> None:
        self.interface = interface
        self.addresses = addresses
        # No protocol until the filter is there: or the socket had frames from before it.
        self._socket = socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0
        )
        try:
            program = array("B", instructions(addresses))
            where, length = program.buffer_info()
            self._socket.setsockopt(
                socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", length // 8, where)
            )
            self._socket.bind((interface, _ETH_P_ARP))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Readable when somebody claims one."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()

    def read(self, heard: Callable[[IPv4Address, bytes], None]) -> None:
        """``heard`` gets the address and who says it is his."""
        for _ in range(_AT_ONCE):
            try:
                frame = self._socket.recv(_RECEIVE)
            except OSError:
                return
            claim = arp_sender(frame)
            if claim is not None:
                heard(*claim)
