# SPDX-License-Identifier: Apache-2.0
"""A server that reads the PROXY protocol, and a client of it; both say what came.

``python streams.py serve PORT [banner]`` reads the header and what follows up to its end, and
answers ``ADDRESS PORT BYTES SHA256``. With ``banner`` it speaks first, when it has the header.

``python streams.py send ADDRESS PORT TIMES BYTES [banner]`` sends so many bytes, others each
time, and prints for each connection ``right``, or what is wrong.
"""

from __future__ import annotations

import hashlib
import ipaddress
import random
import socket
import sys
import threading

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
BANNER = b"220 ready\r\n"
PATIENCE = 30


def exactly(channel: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = channel.recv(size - len(found))
        if not more:
            raise EOFError(found)
        found += more
    return found


def header(channel: socket.socket) -> tuple[str, int]:
    """The client's address and port, by either version."""
    first = exactly(channel, len(SIGNATURE))
    if first == SIGNATURE:
        _, family, *length = exactly(channel, 4)
        rest = exactly(channel, int.from_bytes(bytes(length), "big"))
        size = {0x11: 4, 0x21: 16}[family]
        address = ipaddress.ip_address(rest[:size])
        return str(address), int.from_bytes(rest[2 * size : 2 * size + 2], "big")
    while not first.endswith(b"\r\n"):
        first += exactly(channel, 1)
    protocol, _, source, _, port, _ = first.decode().split(" ", 5)
    if protocol != "PROXY":
        raise ValueError(first)
    return str(ipaddress.ip_address(source)), int(port)


def serve_one(channel: socket.socket, banner: bytes) -> None:
    with channel:
        channel.settimeout(PATIENCE)
        address, port = header(channel)
        channel.sendall(banner)
        digest, size = hashlib.sha256(), 0
        while more := channel.recv(65536):
            digest.update(more)
            size += len(more)
        channel.sendall(f"{address} {port} {size} {digest.hexdigest()}\n".encode())


def serve(port: int, banner: bytes) -> None:
    listener = socket.create_server(
        ("::", port), family=socket.AF_INET6, backlog=200, dualstack_ipv6=True
    )
    while True:
        channel, _ = listener.accept()
        threading.Thread(target=serve_one, args=(channel, banner), daemon=True).start()


def send_one(address: str, port: int, size: int, banner: bytes) -> str:
    with socket.create_connection((address, port), timeout=PATIENCE) as channel:
        said = exactly(channel, len(banner))
        if said != banner:
            return f"said {said!r}"
        data = random.randbytes(size)
        channel.sendall(data)
        channel.shutdown(socket.SHUT_WR)
        answer = b""
        while more := channel.recv(4096):
            answer += more
        own, own_port = channel.getsockname()[:2]
        wanted = f"{own} {own_port} {size} {hashlib.sha256(data).hexdigest()}"
        found = answer.decode().strip()
        return "right" if found == wanted else f"{found!r} and not {wanted!r}"


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    first = BANNER if words[-1] == "banner" else b""
    if what == "serve":
        serve(int(words[0]), first)
    for _ in range(int(words[2])):
        try:
            said = send_one(words[0], int(words[1]), int(words[3]), first)
        except (OSError, EOFError) as error:
            said = repr(error)
        sys.stdout.write(said + "\n")
