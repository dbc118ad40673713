# SPDX-License-Identifier: Apache-2.0
"""As much of HTTP/1.1 as one request to the daemon needs.

The standard library's client brings the e-mail parser, TLS and 60 ms with it; a
command that an operator types, or a script a thousand times, has no use for them.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from io import BufferedReader

_LINE_MAX = 65536
_CHUNK = 1 << 20


class HttpError(Exception):
    """The other side does not speak HTTP, or stopped in the middle."""


class Answer:
    """An answer as it comes in. Close it."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._file: BufferedReader = channel.makefile("rb")
        self._length: int | None = None
        self._chunked = False
        self.tag = ""
        """What ``ETag`` says."""
        try:
            self.status = self._status()
            self._headers()
        except BaseException:
            self.close()
            raise

    def read(self) -> bytes:
        """All of the body."""
        return b"".join(self._pieces())

    def blocks(self) -> Iterator[bytes]:
        """The body while it comes in, many lines at a time, cut at their ends."""
        rest = b""
        for piece in self._pieces():
            whole, end, begun = piece.rpartition(b"\n")
            if end:
                yield rest + whole
                rest = begun
            else:
                rest += begun
        if rest:
            yield rest

    def close(self) -> None:
        """Let go of the connection."""
        self._file.close()
        self._channel.close()

    def _status(self) -> int:
        version, _, rest = self._line().partition(b" ")
        number = rest[:3]
        if not version.startswith(b"HTTP/1.") or not number.isdigit():
            raise HttpError("that was no HTTP")
        return int(number)

    def _headers(self) -> None:
        while line := self._line():
            name, _, value = line.partition(b":")
            match name.strip().lower():
                case b"content-length":
                    self._length = _number(value, 10)
                case b"etag":
                    self.tag = value.strip().decode(errors="replace")
                case b"transfer-encoding":
                    self._chunked = value.strip().lower() == b"chunked"

    def _pieces(self) -> Iterator[bytes]:
        if not self._chunked:
            left = self._length
            while left is None or left > 0:
                piece = self._file.read1(_CHUNK if left is None else min(left, _CHUNK))
                if not piece:
                    if left is None:
                        return
                    raise HttpError("the answer broke off")
                yield piece
                left = None if left is None else left - len(piece)
            return
        while True:
            size = _number(self._line().partition(b";")[0], 16)
            piece = self._file.read(size)
            if len(piece) < size:
                raise HttpError("the answer broke off")
            self._line()
            if not size:
                return
            yield piece

    def _line(self) -> bytes:
        line = self._file.readline(_LINE_MAX)
        if not line.endswith(b"\n"):
            raise HttpError("the answer broke off")
        return line.rstrip(b"\r\n")


def _number(text: bytes, base: int) -> int:
    try:
        number = int(text.strip(), base)
    except ValueError:
        number = -1
    if number < 0:
        raise HttpError("a length that is none")
    return number


class Sending:
    """A request whose body is sent piece by piece. Close it, or its answer."""

    def __init__(
        self, channel: socket.socket, method: str, target: str, head: Mapping[str, str]
    ) -> None:
        self._channel = channel
        self._head = _head(method, target, {**head, "Transfer-Encoding": "chunked"})

    def send(self, piece: bytes) -> None:
        """More of the body. Raises OSError."""
        self._channel.sendall(self._head + b"%x\r\n%b\r\n" % (len(piece), piece))
        self._head = b""

    def end(self) -> None:
        """That was all of it. Raises OSError."""
        self._channel.sendall(self._head + b"0\r\n\r\n")

    def answer(self) -> Answer:
        """What came back. Who refuses a request does not wait for its end. Raises as ``ask``."""
        return Answer(self._channel)

    def close(self) -> None:
        """Let go of the connection: what was sent is no request without its end."""
        self._channel.close()


def ask(
    channel: socket.socket, method: str, target: str, head: Mapping[str, str], body: bytes | None
) -> Answer:
    """Send a request; the answer. The channel is the answer's from then on.

    Raises OSError and HttpError.
    """
    if body is not None:
        head = {**head, "Content-Length": str(len(body))}
    try:
        channel.sendall(_head(method, target, head) + (body or b""))
        return Answer(channel)
    except BaseException:
        channel.close()
        raise


def _head(method: str, target: str, head: Mapping[str, str]) -> bytes:
    lines = [
        f"{method} {target} HTTP/1.1",
        *(f"{name}: {value}" for name, value in head.items()),
        "Connection: close",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
