# SPDX-License-Identifier: Apache-2.0
"""A director's tunnel packets, made by hand: run inside the lab's namespaces.

``tunnel.py send OUTER CLIENT VIP PORT [TOS]``  one UDP datagram CLIENT:PORT -> VIP:7 in a tunnel
``tunnel.py hear CLIENT PORT``                  print who answers on CLIENT:PORT, and what
"""

from __future__ import annotations

import socket
import struct
import sys
from ipaddress import ip_address

UDP_ECHO = 7


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def datagram(client: str, vip: str, port: int, payload: bytes, tos: int) -> bytes:
    """An IP packet with a UDP datagram."""
    src, dst = ip_address(client).packed, ip_address(vip).packed
    length = 8 + len(payload)
    pseudo = src + dst + struct.pack("!II", length, socket.IPPROTO_UDP)
    udp = struct.pack("!HHHH", port, UDP_ECHO, length, 0) + payload
    udp = udp[:6] + struct.pack("!H", checksum(pseudo + udp) or 0xFFFF) + udp[8:]
    if ":" in vip:
        first = 6 << 28 | tos << 20
        return struct.pack("!IHBB", first, length, socket.IPPROTO_UDP, 63) + src + dst + udp
    head = struct.pack("!BBHHHBBH", 0x45, tos, 20 + length, 1, 0, 63, socket.IPPROTO_UDP, 0)
    head += src + dst
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + udp


def send(outer: str, client: str, vip: str, port: str, tos: str = "0") -> None:
    """The kernel makes the outer header."""
    family = socket.AF_INET6 if ":" in outer else socket.AF_INET
    protocol = socket.IPPROTO_IPV6 if ":" in vip else socket.IPPROTO_IPIP
    inner_tos, _, outer_tos = tos.partition("/")
    with socket.socket(family, socket.SOCK_RAW, protocol) as sock:
        if outer_tos:
            level, option = (
                (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)
                if family == socket.AF_INET6
                else (socket.IPPROTO_IP, socket.IP_TOS)
            )
            sock.setsockopt(level, option, int(outer_tos))
        sock.sendto(datagram(client, vip, int(port), b"hello\n", int(inner_tos)), (outer, 0))


def hear(client: str, port: str) -> None:
    """One answer, or nothing after a second."""
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((client, int(port)))
        sock.settimeout(1.0)
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        try:
            text, sender = sock.recvfrom(2048)
        except TimeoutError:
            return
        sys.stdout.write(f"{sender[0]}: {text.decode()}")


if __name__ == "__main__":
    {"send": send, "hear": hear}[sys.argv[1]](*sys.argv[2:])
