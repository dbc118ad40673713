# SPDX-License-Identifier: Apache-2.0
"""A connection for each request, again and again from the same few ports.

``python few_ports.py ADDRESS PORT SECONDS THREADS END``: END says who ends a connection,
``server`` by FIN or ``client`` by RST. Prints one JSON object: ``requests``, ``failed``, which
says why, ``ports`` that were used, and how many requests were ``slow``: a second or more from
connect() to the end of the answer, which is a SYN that had to come again.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time

PATIENCE = 8.0
RETRANSMITTED = 0.9
"""Seconds. A SYN that is lost comes again after one; nothing else here takes so long."""
RESET = struct.pack("=ii", 1, 0)  # SO_LINGER: close at once


def once(where: tuple[str, int], end: str) -> int:
    """Ask; the port that was used."""
    keep = "close" if end == "server" else "keep-alive"
    with socket.create_connection(where, timeout=PATIENCE) as channel:
        port: int = channel.getsockname()[1]
        head = f"GET / HTTP/1.1\r\nHost: {where[0]}\r\nConnection: {keep}\r\n\r\n"
        channel.sendall(head.encode())
        answer = channel.recv(4096)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise OSError(answer)
        if end == "client":
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        else:
            while channel.recv(4096):
                pass
    return port


def ask(
    where: tuple[str, int],
    until: float,
    end: str,
    times: list[float],
    ports: set[int],
    failed: list[str],
) -> None:
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            ports.add(once(where, end))
        except OSError as error:
            failed.append(f"{error!r} after {time.monotonic() - began:.3f} s")
        else:
            times.append(time.monotonic() - began)


def main(address: str, port: int, seconds: float, threads: int, end: str) -> None:
    times: list[float] = []
    ports: set[int] = set()
    failed: list[str] = []
    until = time.monotonic() + seconds
    asking = [
        threading.Thread(target=ask, args=((address, port), until, end, times, ports, failed))
        for _ in range(threads)
    ]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    found = {
        "requests": len(times),
        "failed": failed,
        "ports": len(ports),
        "slow": sum(time >= RETRANSMITTED for time in times),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    where, at, duration, number, who = sys.argv[1:]
    main(where, int(at), float(duration), int(number), who)
