# SPDX-License-Identifier: Apache-2.0
"""Servers of every kind to be checked, good and bad: python checked.py FOLDER."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
names: dict[object, str] = {}


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def stalling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    await reader.read()


async def ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await reader.read(1)


async def closing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    sock = writer.get_extra_info("socket")
    sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER


async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """/STATUS/WHAT: ``what`` is host, sni, count (requests on this connection) or a text."""
    tls = writer.get_extra_info("ssl_object")
    count = 0
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            count += 1
            fields = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
            _, status, what = head.split()[1].split("/")
            said = {"host": fields["Host"], "sni": names.get(tls, ""), "count": str(count)}
            body = said.get(what, what).encode()
            keep = fields.get("Connection") == "keep-alive"
            more = b"Connection: keep-alive\r\n" if keep else b""
            if what == "chunks":
                more += b"Transfer-Encoding: chunked\r\n"
                body = b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
            elif what == "a" * 30:
                body = b"a" * 5000
            if keep and what != "chunks":
                more += f"Content-Length: {len(body)}\r\n".encode()
            writer.write(f"HTTP/1.1 {status} x\r\n".encode() + more + b"\r\n" + body)
            if not keep:
                return


def smtp(greeting: bytes, helo: bytes) -> Handler:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        said = data = b""
        while line := await reader.readline():
            said += line
            if data and line != b".\r\n":
                continue
            data = line if line == b"DATA\r\n" else b""
            answer = {b"HELO": helo, b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n"}
            writer.write(answer.get(line[:4].strip(), b"250 ok\r\n"))
            if line == b"QUIT\r\n":
                Path(sys.argv[1], "mail").write_bytes(said)  # noqa: ASYNC240
                return

    return serve


class Dns(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        name = data[12:]
        number = data[:2]
        send = self.transport.sendto  # type: ignore[attr-defined]
        if b"silent" in name:
            return
        if b"late" in name:  # somebody else's answer first
            send(bytes([number[0] ^ 1, number[1]]) + b"\x81\x82" + data[4:], addr)
        rcode = 3 if b"missing" in name else 2 if b"broken" in name else 0
        record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x0a\0\0\1"
        count = 0 if rcode else 1
        head = number + bytes([0x81, 0x80 | rcode]) + struct.pack("!4H", 1, count, 0, 0)
        send(head + name + record * count, addr)


def around(handler: Handler) -> Handler:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    return serve


TCP: dict[int, Handler] = {
    9001: silent,
    9002: stalling,
    9003: ssh,
    9004: closing,
    9005: resetting,
    9006: web,
    9025: smtp(b"220-hello\r\n220 there\r\n", b"250 fine\r\n"),
    9026: smtp(b"554 go away\r\n", b""),
    9027: smtp(b"220 hello\r\n", b"421 busy\r\n"),
}


async def main() -> None:
    folder = Path(sys.argv[1])
    for port, handler in TCP.items():
        await asyncio.start_server(around(handler), None, port)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")

    def named(sock: object, name: str | None, _: object) -> None:
        names[sock] = name or "nothing"

    context.sni_callback = named  # type: ignore[assignment]
    await asyncio.start_server(around(web), None, 9443, ssl=context)
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Dns, ("0.0.0.0", 9053))  # noqa: S104
    (folder / "ready").touch()
    await asyncio.Event().wait()


asyncio.run(main())
