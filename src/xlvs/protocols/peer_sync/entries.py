# SPDX-License-Identifier: Apache-2.0
"""A connection as bytes of our own protocol: all that ``Synced`` has.

``kind | protocol | state | flags | mark | time-out | idle | four ports``, then the client's and the
virtual address, the server's, the local one, then the sequences, the engine with its
data, and the stream, as ``kind`` says. Times are milliseconds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from xlvs.model.synced import Sequence, Sequences, Stream, StreamFlag, Synced
from xlvs.protocols.peer_sync.problems import PeerError, Reason

_FIXED = struct.Struct("!BBHIIIIHHHH")
_SEQUENCES = struct.Struct("!6I")
_STREAM = struct.Struct("!12I2H3B")
_V6, _SERVER_V6, _LOCAL, _HAS_SEQUENCES, _ENGINE, _HAS_STREAM = 1, 2, 4, 8, 16, 32
_KNOWN = _V6 | _SERVER_V6 | _LOCAL | _HAS_SEQUENCES | _ENGINE | _HAS_STREAM
_STREAM_FLAGS = sum(StreamFlag)
_V4_BYTES, _V6_BYTES = 4, 16
_U16, _U32 = 0xFFFF, 0xFFFFFFFF
_MILLI = 1000.0
_TEXT_MAX = 255

ENTRY_MAX = _FIXED.size + 4 * _V6_BYTES + _SEQUENCES.size + 2 * (_TEXT_MAX + 1) + _STREAM.size
"""Bytes of the longest entry."""


def encode(connection: Synced, waited: float = 0.0) -> bytes:
    """One entry. ``waited``: seconds since the connection was as it says."""
    v6 = len(connection.client) == _V6_BYTES
    server_v6 = len(connection.server) == _V6_BYTES
    kind = (
        (_V6 if v6 else 0)
        | (_SERVER_V6 if server_v6 else 0)
        | (_LOCAL if connection.local else 0)
        | (_HAS_SEQUENCES if connection.sequences else 0)
        | (_ENGINE if connection.engine_data else 0)
        | (_HAS_STREAM if connection.stream else 0)
    )
    parts = [
        _FIXED.pack(
            kind,
            connection.protocol,
            connection.state & _U16,
            connection.flags & _U32,
            connection.fwmark,
            _milliseconds(connection.timeout),
            _milliseconds(connection.idle + waited),
            connection.client_port,
            connection.virtual_port,
            connection.server_port,
            connection.local_port,
        ),
        connection.client,
        connection.virtual,
        connection.server,
        connection.local,
    ]
    if connection.sequences:
        parts.append(_SEQUENCES.pack(*connection.sequences.inward, *connection.sequences.outward))
    if connection.engine_data:
        for text in (connection.engine, connection.engine_data):
            parts += (bytes((min(len(text), _TEXT_MAX),)), text[:_TEXT_MAX])
    if connection.stream:
        parts.append(_STREAM.pack(*connection.stream))
    return b"".join(parts)


def decode(data: bytes) -> list[Synced]:
    """All entries of a frame. Raises ``PeerError``."""
    found: list[Synced] = []
    at = 0
    try:
        while at < len(data):
            connection, at = _one(data, at)
            found.append(connection)
    except (struct.error, IndexError) as error:
        raise PeerError(Reason.ENTRY, f"entry {len(found)} is cut: {error}") from None
    return found


def frames(entries: Iterable[bytes], most: int) -> Iterable[tuple[bytes, int]]:
    """Entries put together to payloads of at most ``most`` bytes, each with their number."""
    parts: list[bytes] = []
    length = 0
    for entry in entries:
        if parts and length + len(entry) > most:
            yield b"".join(parts), len(parts)
            parts, length = [], 0
        parts.append(entry)
        length += len(entry)
    if parts:
        yield b"".join(parts), len(parts)


def _milliseconds(seconds: float) -> int:
    return max(0, min(int(seconds * _MILLI), _U32))


def _one(data: bytes, at: int) -> tuple[Synced, int]:
    (
        kind,
        protocol,
        state,
        flags,
        mark,
        timeout,
        idle,
        client_port,
        virtual_port,
        server_port,
        local_port,
    ) = _FIXED.unpack_from(data, at)
    if kind & ~_KNOWN:
        raise PeerError(Reason.ENTRY, f"an entry of kind {kind:#04x}")
    at += _FIXED.size
    size = _V6_BYTES if kind & _V6 else _V4_BYTES
    server_size = _V6_BYTES if kind & _SERVER_V6 else _V4_BYTES
    client, at = _bytes(data, at, size)
    virtual, at = _bytes(data, at, size)
    server, at = _bytes(data, at, server_size)
    local, at = _bytes(data, at, server_size if kind & _LOCAL else 0)
    sequences = None
    if kind & _HAS_SEQUENCES:
        numbers = _SEQUENCES.unpack_from(data, at)
        sequences = Sequences(Sequence(*numbers[:3]), Sequence(*numbers[3:]))
        at += _SEQUENCES.size
    engine = engine_data = b""
    if kind & _ENGINE:
        engine, at = _bytes(data, at + 1, data[at])
        engine_data, at = _bytes(data, at + 1, data[at])
    stream = None
    if kind & _HAS_STREAM:
        stream = Stream(*_STREAM.unpack_from(data, at))
        if stream.flags & ~_STREAM_FLAGS:
            raise PeerError(Reason.ENTRY, f"a stream with {stream.flags:#x}")
        at += _STREAM.size
    connection = Synced(
        protocol=protocol,
        client=client,
        client_port=client_port,
        virtual=virtual,
        virtual_port=virtual_port,
        server=server,
        server_port=server_port,
        flags=flags,
        state=state,
        timeout=timeout / _MILLI,
        fwmark=mark,
        idle=idle / _MILLI,
        sequences=sequences,
        engine=engine,
        engine_data=engine_data,
        local=local,
        local_port=local_port,
        stream=stream,
    )
    return connection, at


def _bytes(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(data):
        raise IndexError(f"{size} bytes at {at} of {len(data)}")
    return data[at : at + size], at + size
