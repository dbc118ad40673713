# SPDX-License-Identifier: Apache-2.0
"""A packet socket that hears answers to hand-made packets, on all interfaces, and no others.

A classic BPF program in the kernel lets through TCP and UDP to the ports that probes use, ARP
replies, neighbour advertisements and ICMP errors. So a busy director's other packets wake nobody.
"""

from __future__ import annotations

import array
import socket
import struct

from xlvs.protocols.checks import packets

FIRST_PORT = 61000
"""Probes' local ports begin here: behind ``ip_local_port_range``, so no connection has them."""

LAST_PORT = 65535

_ETH_P_ALL = 3
_SO_ATTACH_FILTER = 26
_SOL_PACKET = 263
_PACKET_IGNORE_OUTGOING = 23

# linux/filter.h
_LDB, _LDH, _LDH_X, _LDB_X, _LDX_HEAD = 0x30, 0x28, 0x48, 0x50, 0xB1
_RSH, _JEQ, _JGE, _RET = 0x74, 0x15, 0x35, 0x06
_PROTOCOL_OFFSET = 0xFFFFF000  # SKF_AD_OFF + SKF_AD_PROTOCOL
_WHOLE = 0xFFFF

_Line = tuple[str, int, int, str, str]

# label, operation, operand, label if true, label if false ("": the next line)
_PROGRAM: tuple[_Line, ...] = (
    ("", _LDH, _PROTOCOL_OFFSET, "", ""),
    ("", _JEQ, packets.ETH_ARP, "arp", ""),
    ("", _JEQ, packets.ETH_IPV6, "v6", ""),
    ("", _JEQ, packets.ETH_IP, "", "no"),
    ("", _LDB, 9, "", ""),
    ("", _LDX_HEAD, 0, "", ""),
    ("", _JEQ, packets.TCP, "ports4", ""),
    ("", _JEQ, packets.UDP, "ports4", ""),
    ("", _JEQ, packets.ICMP, "", "no"),
    ("", _LDB_X, 0, "", ""),
    ("", _JEQ, 3, "yes", "no"),
    ("ports4", _LDH_X, 2, "", ""),
    ("", _JGE, FIRST_PORT, "yes", "no"),
    ("v6", _LDB, 6, "", ""),
    ("", _JEQ, packets.TCP, "ports6", ""),
    ("", _JEQ, packets.UDP, "ports6", ""),
    ("", _JEQ, packets.ICMP6, "", "no"),
    ("", _LDB, 40, "", ""),
    ("", _JEQ, 1, "yes", ""),
    ("", _JEQ, 4, "yes", ""),
    ("", _JEQ, 136, "yes", "no"),
    ("ports6", _LDH, 42, "", ""),
    ("", _JGE, FIRST_PORT, "yes", "no"),
    ("arp", _LDH, 6, "", ""),
    ("", _JEQ, 2, "yes", "no"),
    ("yes", _RET, _WHOLE, "", ""),
    ("no", _RET, 0, "", ""),
)


def assembled(program: tuple[_Line, ...] = _PROGRAM) -> bytes:
    """The program as the kernel takes it (struct sock_filter)."""
    labels = {line[0]: at for at, line in enumerate(program) if line[0]}
    out = b""
    for at, (_, operation, operand, yes, no) in enumerate(program):
        jumps = [labels[label] - at - 1 if label else 0 for label in (yes, no)]
        out += struct.pack("=HBBI", operation, *jumps, operand)
    return out


def listener() -> socket.socket:
    """Hears answers; packets begin with their network header. Raises OSError."""
    flags = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    # Of all interfaces from the beginning: what comes before the filter is there is ignored.
    sock = socket.socket(socket.AF_PACKET, flags, socket.htons(_ETH_P_ALL))
    try:
        program = array.array("B", assembled())
        address, length = program.buffer_info()
        filter_ = struct.pack("HP", length // 8, address)
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)
        sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def sender() -> socket.socket:
    """Sends whole frames, hears nothing. Raises OSError."""
    flags = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    return socket.socket(socket.AF_PACKET, flags, 0)
