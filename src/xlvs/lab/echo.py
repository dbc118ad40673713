# SPDX-License-Identifier: Apache-2.0
"""A UDP server that answers its own name and the client that it saw.

Run as ``python -m xlvs.lab.echo NAME PORT READY_FILE``. A datagram to a virtual
address is answered from that address (DR, TUN), which a plain socket would not do.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
from pathlib import Path

# Python's socket module has no name for these two on every version.
IP_PKTINFO = 8
IPV6_RECVPKTINFO = 49
IPV6_PKTINFO = 50


def listen(port: int) -> tuple[socket.socket, socket.socket]:
    """An IPv4 and an IPv6 socket on every address."""
    v4 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    v4.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    v4.bind(("", port))
    v6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    v6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    v6.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    v6.bind(("", port))
    return v4, v6


def answer(sock: socket.socket, name: str) -> None:
    """Read one datagram and answer it from the address that it was sent to."""
    _, ancillary, _, client = sock.recvmsg(65536, 256)
    reply = f"{name} saw {client[0]}\n".encode()
    pinned = []
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            # struct in_pktinfo: index, address to answer from, header's destination.
            _, _, destination = struct.unpack("=I4s4s", data)
            info = struct.pack("=I4s4s", 0, destination, bytes(4))
            pinned = [(socket.IPPROTO_IP, IP_PKTINFO, info)]
        elif (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
            info = data[:16] + struct.pack("=I", 0)
            pinned = [(socket.IPPROTO_IPV6, IPV6_PKTINFO, info)]
    sock.sendmsg([reply], pinned, 0, client)


def main(argv: list[str]) -> None:
    """Serve until killed."""
    name, port, ready = argv
    sockets = listen(int(port))
    Path(ready).touch()
    while True:
        for sock in select.select(sockets, [], [])[0]:
            try:
                answer(sock, name)
            except OSError as problem:  # no way back to this client: the next one matters
                print(problem, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
