# SPDX-License-Identifier: Apache-2.0
"""The stream as frames: ``length | type | payload | code``.

The code is HMAC-SHA256 (RFC 2104, cut to half as its section 5 allows) with a key of this
session and direction over the frame's number in the stream, its header and its payload. So
a frame that was changed, repeated, left out, moved, or recorded in another session is
none. During the handshake frames have no code: they carry proofs themselves.
"""

from __future__ import annotations

import hmac
import struct
from enum import IntEnum

from xlvs.protocols.peer_sync.problems import PeerError, Reason

_HEADER = struct.Struct("!IB")
_NUMBER = struct.Struct("!Q")
CODE = 16
PAYLOAD_MAX = 60_000
"""Bytes of what a frame carries, by far more than the longest entry."""
GREETING_MAX = 256
"""The same before the peer has proved itself."""


class Type(IntEnum):
    """What a frame is."""

    HELLO = 1
    WELCOME = 2
    PROOF = 3
    REFUSED = 4
    BULK = 5
    """The whole table follows."""
    ENTRIES = 6
    END = 7
    """That was the whole table."""
    PING = 8
    ACK = 9


class Writer:
    """Frames to be sent. ``key`` None: during the handshake."""

    def __init__(self) -> None:
        self.key: bytes | None = None
        self._number = 0

    def frame(self, kind: Type, payload: bytes = b"") -> bytes:
        """One frame, next in the stream."""
        code = 0 if self.key is None else CODE
        data = _HEADER.pack(1 + len(payload) + code, kind) + payload
        if self.key is not None:
            data += seal(self.key, self._number, data)
            self._number += 1
        return data


class Reader:
    """Received bytes, cut into frames."""

    def __init__(self) -> None:
        self.key: bytes | None = None
        self._number = 0
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        self._data += data

    def next(self) -> tuple[Type, bytes] | None:
        """The next whole frame; ``key`` may change between two. Raises ``PeerError``."""
        data = self._data
        if len(data) < _HEADER.size:
            return None
        length, kind = _HEADER.unpack_from(data)
        code = 0 if self.key is None else CODE
        most = GREETING_MAX if self.key is None else PAYLOAD_MAX
        if not 1 + code <= length <= 1 + code + most:
            raise PeerError(Reason.FRAME, f"a frame of {length} bytes")
        end = _HEADER.size - 1 + length
        if len(data) < end:
            return None
        frame = bytes(data[:end])
        del data[:end]
        payload = frame[_HEADER.size : end - code]
        if self.key is not None:
            expected = seal(self.key, self._number, frame[: end - code])
            if not hmac.compare_digest(expected, frame[end - code :]):
                raise PeerError(Reason.FORGED, f"frame {self._number} is not the peer's next one")
            self._number += 1
        try:
            return Type(kind), payload
        except ValueError:
            raise PeerError(Reason.FRAME, f"a frame of type {kind}") from None


def seal(key: bytes, number: int, data: bytes) -> bytes:
    """The code of a frame."""
    return hmac.digest(key, _NUMBER.pack(number) + data, "sha256")[:CODE]
