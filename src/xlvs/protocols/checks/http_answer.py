# SPDX-License-Identifier: Apache-2.0
"""Reading the answer to an HTTP request as it comes in (RFC 9112), within bounds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from xlvs.protocols.checks.outcome import Wrong, excerpt

HEAD_MAX = 65536
"""Bytes of status line and header fields together."""

LINE_MAX = 8192
"""Bytes of a status line, and of a line that gives a chunk's size."""

BODY_MAX = 64 << 20
"""Bytes of body that are read at most."""

KEPT_MAX = 1 << 20
"""Bytes of body that are kept for a regex."""

_INFORMATIONAL = range(100, 200)
_BODILESS = (204, 304)
_SWITCHING = 101


class Answer:
    """One answer. ``feed`` it, tell it the end of the connection; ``done`` says when it is whole.

    ``status``: 0 until it is known. ``body``: at most ``keep`` bytes of it, decoded from
    chunks. ``digest``: MD5 of all of it. ``whole``: it was as long as its header said.
    ``reusable``: the connection is good for another request.
    """

    def __init__(self, keep: int = 0) -> None:
        self.status = 0
        self.body = bytearray()
        self.length = 0
        self.done = False
        self.whole = False
        self.waiting_for = "the status line"
        self._keep = keep
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._buffer = bytearray()
        self._head_bytes = 0
        self._fields: dict[str, str] = {}
        self._persistent = False
        self._left: int | None = None
        self._step: Callable[[], bool] = self._status_line

    @property
    def digest(self) -> str:
        """MD5 of the body so far, hex."""
        return self._md5.hexdigest()

    @property
    def reusable(self) -> bool:
        """Whether the connection is good for another request."""
        return self.done and self._persistent and not self._buffer

    def feed(self, data: bytes) -> None:
        """Take what came in. Raises Wrong."""
        self._buffer += data
        while not self.done and self._step():
            pass

    def end(self) -> None:
        """The connection has ended. Raises Wrong if there was no answer before it."""
        if self.done:
            return
        if self._step not in (self._until_end, self._counted, self._chunk, self._chunk_size):
            said = f" after {excerpt(self._buffer)}" if self._buffer else ""
            raise Wrong(f"the connection was closed while waiting for {self.waiting_for}{said}")
        self.whole = self._step == self._until_end
        self._persistent = False
        self.done = True

    def _line(self, most: int) -> bytes | None:
        end = self._buffer.find(b"\n", 0, most)
        if end < 0:
            if len(self._buffer) >= most:
                raise Wrong(f"{self.waiting_for} is longer than {most} bytes")
            return None
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        self._head_bytes += end + 1
        return line

    def _status_line(self) -> bool:
        line = self._line(LINE_MAX)
        if line is None:
            if not b"HTTP/".startswith(self._buffer[:5]):
                raise Wrong(f"the answer is not HTTP: {excerpt(self._buffer)}")
            return False
        version, _, rest = line.partition(b" ")
        code = rest.lstrip(b" ")[:3]
        if not version.startswith(b"HTTP/") or len(code) < 3 or not code.isdigit():  # noqa: PLR2004
            raise Wrong(f"the answer is not HTTP: {excerpt(line)}")
        self.status = int(code)
        self._persistent = version != b"HTTP/1.0"
        self._fields.clear()
        self.waiting_for = "the rest of the header"
        self._step = self._field
        return True

    def _field(self) -> bool:
        line = self._line(HEAD_MAX)
        if line is None:
            return False
        if self._head_bytes > HEAD_MAX:
            raise Wrong(f"the header is longer than {HEAD_MAX} bytes")
        if line:
            name, _, value = line.decode("latin-1").partition(":")
            self._fields[name.strip().lower()] = value.strip()
            return True
        if self.status in _INFORMATIONAL and self.status != _SWITCHING:
            self._step = self._status_line  # RFC 9110, 15.2: the real one follows
            self.waiting_for = "the status line"
            return True
        self._begin_body()
        return True

    def _begin_body(self) -> None:
        connection = self._fields.get("connection", "").lower()
        self._persistent = "close" not in connection and (
            self._persistent or "keep-alive" in connection
        )
        self.waiting_for = "the rest of the body"
        length = self._fields.get("content-length", "")
        if self.status in _BODILESS or self.status == _SWITCHING:
            self._finish()
        elif "chunked" in self._fields.get("transfer-encoding", "").lower():
            self._step = self._chunk_size
        elif length:
            if not (length.isascii() and length.isdigit()):
                raise Wrong(f"Content-Length is {excerpt(length.encode('latin-1'))}")
            self._left = int(length[:20])
            self._step = self._counted
        else:
            self._persistent = False
            self._step = self._until_end

    def _finish(self) -> None:
        self.whole = True
        self.done = True

    def _take(self, count: int) -> None:
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        self.length += len(data)
        if self.length > BODY_MAX:
            raise Wrong(f"the body is longer than {BODY_MAX >> 20} MiB")
        self._md5.update(data)
        self.body += data[: max(0, self._keep - len(self.body))]

    def _until_end(self) -> bool:
        self._take(len(self._buffer))
        return False

    def _counted(self) -> bool:
        left = self._left or 0
        taken = min(left, len(self._buffer))
        self._take(taken)
        self._left = left - taken
        if not self._left:
            self._finish()
        return False

    def _chunk_size(self) -> bool:
        line = self._line(LINE_MAX)
        if line is None:
            return False
        size = line.partition(b";")[0].strip()
        try:
            self._left = int(size[:16], 16) if size.isalnum() else -1
        except ValueError:
            self._left = -1
        if self._left < 0:
            raise Wrong(f"a chunk's size is {excerpt(size)}")
        self._step = self._chunk if self._left else self._trailer
        return True

    def _chunk(self) -> bool:
        left = self._left or 0
        taken = min(left, len(self._buffer))
        self._take(taken)
        self._left = left - taken
        if self._left:
            return False
        self._step = self._chunk_end
        return True

    def _chunk_end(self) -> bool:
        line = self._line(LINE_MAX)
        if line is None:
            return False
        if line:
            raise Wrong(f"after a chunk comes {excerpt(line)}")
        self._step = self._chunk_size
        return True

    def _trailer(self) -> bool:
        line = self._line(LINE_MAX)
        if line is None:
            return False
        if self._head_bytes > BODY_MAX:
            raise Wrong("the trailer has no end")
        if not line:
            self._finish()
        return bool(line)
