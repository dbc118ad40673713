# SPDX-License-Identifier: Apache-2.0
"""Messages of IPVS's sync daemons, version 1 and 0, to connections and back.

Layouts are the kernel's (``net/netfilter/ipvs/ip_vs_sync.c`` describes them); what is
refused, and how much of a message goes with it, is as there:

- version 1: ``0 | sync id | length | entries | 1 | 0 0``, entries of 36 bytes (IPv6: 72) and
  options ``type | length | data``, each entry padded to four bytes but for the last;
- version 0: ``entries | sync id | length``, IPv4 entries of 24 bytes, or 48 with sequences.

Version 0 has neither time-outs nor marks, and its sequences are little-endian on the
wire: the kernel copies them as they lie in memory.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import NamedTuple

from xlvs.model.synced import (
    FORWARD_MASK,
    SCTP,
    SEQUENCE_MASK,
    TCP,
    UDP,
    Flag,
    Forward,
    SctpState,
    Sequence,
    Sequences,
    Synced,
    TcpState,
    UdpState,
)
from xlvs.protocols.ipvs_sync.faults import OF_ONE_ENTRY, Fault, Kind

VERSION = 1
ENTRIES_MAX = 255
"""Of a message: their number is one byte."""
LENGTH_MAX = 65507
"""Of a message: what a UDP datagram over IPv4 carries."""
ENGINES = frozenset({b"sip"})
"""Persistence engines of IPVS."""
STATES = {TCP: len(TcpState), UDP: len(UdpState), SCTP: len(SctpState)}
"""Protocols that have connections, and their numbers of states."""

HEADER = struct.Struct("!BBHBBH")
HEADER0 = struct.Struct("!BBH")
_ENTRY = struct.Struct("!BBHIHHHHII")  # up to the addresses
_ENTRY0 = struct.Struct("!BBHHH4s4s4sHH")
_SEQUENCES = struct.Struct("!6I")
_SEQUENCES0 = struct.Struct("<6I")
_V4, _V6 = 4, 16  # bytes
_FIXED4, _FIXED6 = _ENTRY.size + 3 * _V4, _ENTRY.size + 3 * _V6

_TYPE_V6 = 0x01
_ENTRY_VERSION_SHIFT = 12
_LENGTH_MASK = 0x0FFF
_SEQ_DATA, _PE_DATA, _PE_NAME = 1, 2, 3
_OPTIONAL = 0x40  # whoever does not know the option may pass it over
_OPTION = 2  # bytes of its header
_PE_DATA_MAX, _PE_NAME_MAX = 255, 16

# What a backup takes over of a master's flags: IP_VS_CONN_F_BACKUP_MASK.
_TAKEN = (
    FORWARD_MASK
    | SEQUENCE_MASK
    | Flag.NO_OUTPUT
    | Flag.INACTIVE
    | Flag.NO_CLIENT_PORT
    | Flag.TEMPLATE
)
_U16, _U32 = 0xFFFF, 0xFFFFFFFF
# The kernel takes sequences from messages, but goes by them for its own helpers (FTP) only.
_STREAM = "its segments are changed on their way, which no director of IPVS would go on with"


class UnencodableError(ValueError):
    """A connection that the protocol cannot express. The text says why."""


class Decoded(NamedTuple):
    """What a message held: entries in order, and what was wrong with others."""

    version: int
    sync_id: int
    entries: tuple[Synced, ...] = ()
    faults: tuple[Fault, ...] = ()


class _FaultError(Exception):
    """A fault, while reading."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def decode(
    data: bytes | memoryview, sync_id: int = 0, engines: Collection[bytes] = ENGINES
) -> Decoded:
    """The connections of one message; what is wrong is listed, never raised.

    ``sync_id``: of this director; with 0 messages of all are taken.
    """
    data = bytes(data)
    try:
        found = _header(data, sync_id)
    except _FaultError as fault:
        return Decoded(0, 0, (), (Fault(fault.kind, None, str(fault)),))
    entries: list[Synced] = []
    faults: list[Fault] = []
    at = found.first
    for index in range(found.entries):
        try:
            end = _end(data, at) if found.version else _end0(data, at)
            connection = _entry(data, at, end) if found.version else _entry0(data, at)
            _check(connection, engines)
            entries.append(connection)
        except _FaultError as fault:
            faults.append(Fault(fault.kind, index, str(fault)))
            if fault.kind not in OF_ONE_ENTRY:
                break
        at = end + 3 & ~3 if found.version else end
    return Decoded(found.version, found.sync_id, tuple(entries), tuple(faults))


class _Header(NamedTuple):
    version: int
    sync_id: int
    entries: int
    first: int  # where they begin


def _header(data: bytes, sync_id: int) -> _Header:
    if len(data) < HEADER0.size:
        text = f"{len(data)} bytes, a header has at least {HEADER0.size}"
        raise _FaultError(Kind.HEADER, text)
    count, theirs, length = HEADER0.unpack_from(data)
    if length != len(data):
        text = f"its header says {length} bytes, {len(data)} arrived"
        raise _FaultError(Kind.SIZE, text)
    if sync_id not in {0, theirs}:
        raise _FaultError(Kind.SYNC_ID, f"sync id {theirs}, ours is {sync_id}")
    if count:
        return _Header(0, theirs, count, HEADER0.size)
    if len(data) < HEADER.size:
        text = f"{len(data)} bytes, a header of version 1 has {HEADER.size}"
        raise _FaultError(Kind.HEADER, text)
    _, _, _, count, version, spare = HEADER.unpack_from(data)
    if version != VERSION or spare:
        text = f"version {version}" + (f" with {spare:#06x} in its spare bytes" if spare else "")
        raise _FaultError(Kind.VERSION, text)
    return _Header(version, theirs, count, HEADER.size)


def _check(connection: Synced, engines: Collection[bytes]) -> None:
    """Raises why an entry is left out though it was read well."""
    protocol, state = connection.protocol, connection.state
    if connection.flags & Flag.ONE_PACKET:  # version 0 lets it through: it ends as it begins
        raise _FaultError(Kind.ONE_PACKET, "a connection of one packet")
    if not connection.template:
        states = STATES.get(protocol)
        if states is None:
            raise _FaultError(Kind.PROTOCOL, f"protocol {protocol} has no connections")
        if state >= states:
            raise _FaultError(Kind.STATE, f"protocol {protocol} has no state {state}")
    if connection.engine_data and connection.engine not in engines:
        name = connection.engine.decode("ascii", "backslashreplace")
        text = f"no persistence engine {name!r}" if name else "data of an engine without a name"
        raise _FaultError(Kind.ENGINE, text)


# ---- version 1 ---------------------------------------------------------------


def _end(data: bytes, at: int) -> int:
    """Where the entry at ``at`` ends."""
    if at + _FIXED4 > len(data):
        raise _FaultError(Kind.ENTRY_CUT, f"{len(data) - at} bytes are left for it")
    length = int.from_bytes(data[at + 2 : at + 4]) & _LENGTH_MASK
    if at + length > len(data):
        raise _FaultError(Kind.ENTRY_CUT, f"it has {length} bytes, {len(data) - at} are left")
    return at + length


def _entry(data: bytes, at: int, end: int) -> Synced:
    kind, protocol, length, flags, state, client_port, virtual_port, port, mark, timeout = (
        _ENTRY.unpack_from(data, at)
    )
    if length >> _ENTRY_VERSION_SHIFT:
        text = f"version {length >> _ENTRY_VERSION_SHIFT} of an entry"
        raise _FaultError(Kind.ENTRY_VERSION, text)
    if kind & ~_TYPE_V6 and not kind & _TYPE_V6:
        raise _FaultError(Kind.ENTRY_TYPE, f"type {kind:#04x}")
    size, fixed = (_V6, _FIXED6) if kind & _TYPE_V6 else (_V4, _FIXED4)
    if at + fixed > end:
        raise _FaultError(Kind.ENTRY_LENGTH, f"{end - at} bytes, its fixed part has {fixed}")
    first = at + _ENTRY.size
    client, virtual, server = (data[first + i * size : first + (i + 1) * size] for i in range(3))
    options = _options(data, at + fixed, end)
    return Synced(
        protocol=protocol,
        client=client,
        client_port=client_port,
        virtual=virtual,
        virtual_port=virtual_port,
        server=server,
        server_port=port,
        flags=flags & _TAKEN,
        state=state,
        timeout=float(timeout),
        fwmark=mark,
        sequences=_sequences(_SEQUENCES, options[_SEQ_DATA]) if _SEQ_DATA in options else None,
        engine=options.get(_PE_NAME, b"").split(b"\0", 1)[0],
        engine_data=options.get(_PE_DATA, b""),
    )


def _options(data: bytes, at: int, end: int) -> dict[int, bytes]:
    """Those that are known. ``at``: after the fixed part."""
    found: dict[int, bytes] = {}
    while at < end:
        if at + _OPTION > end:
            raise _FaultError(Kind.OPTION_LENGTH, "one byte is left for an option")
        kind, length = data[at], data[at + 1]
        at += _OPTION
        if not length or at + length > end:
            text = f"option {kind} has {length} bytes, {end - at} are left"
            raise _FaultError(Kind.OPTION_LENGTH, text)
        known = kind & ~_OPTIONAL
        if known in _LENGTHS:
            fault, shortest, longest = _LENGTHS[known]
            if known in found:
                raise _FaultError(fault, f"option {known} is there twice")
            if not shortest <= length <= longest:
                raise _FaultError(fault, f"option {known} has {length} bytes")
            found[known] = data[at : at + length]
        elif not kind & _OPTIONAL:
            raise _FaultError(Kind.OPTION_UNKNOWN, f"option {kind} must be understood, and is not")
        at += length
    return found


_LENGTHS = {
    _SEQ_DATA: (Kind.SEQUENCE, _SEQUENCES.size, _SEQUENCES.size),
    _PE_DATA: (Kind.ENGINE_DATA, 1, _PE_DATA_MAX),
    _PE_NAME: (Kind.ENGINE_NAME, 1, _PE_NAME_MAX),
}


def _sequences(layout: struct.Struct, data: bytes) -> Sequences:
    numbers = layout.unpack(data)
    return Sequences(Sequence(*numbers[:3]), Sequence(*numbers[3:]))


def encode_entry(connection: Synced) -> bytes:
    """One entry of version 1, without padding. Raises ``UnencodableError``."""
    size = len(connection.client)
    if size not in {_V4, _V6}:
        raise UnencodableError(f"an address of {size} bytes")
    if not size == len(connection.virtual) == len(connection.server):
        raise UnencodableError("the server's address is of another family than the service's")
    if connection.forward == Forward.FULLNAT:
        raise UnencodableError("FULLNAT: the protocol has no field for the local address")
    if connection.stream:
        raise UnencodableError(_STREAM)
    options = _encoded_options(connection)
    try:
        fixed = _ENTRY.pack(
            _TYPE_V6 if size == _V6 else 0,
            connection.protocol,
            _ENTRY.size + 3 * size + len(options),
            connection.flags & _U32,
            connection.state,
            connection.client_port,
            connection.virtual_port,
            connection.server_port,
            connection.fwmark,
            min(int(connection.timeout), _U32),
        )
    except struct.error as error:
        raise UnencodableError(str(error)) from None
    return b"".join((fixed, connection.client, connection.virtual, connection.server, options))


def _encoded_options(connection: Synced) -> bytes:
    parts: list[bytes] = []
    if connection.flags & SEQUENCE_MASK:
        sequences = connection.sequences or Sequences(Sequence(), Sequence())
        data = _SEQUENCES.pack(*sequences.inward, *sequences.outward)
        parts += (bytes((_SEQ_DATA, len(data))), data)
    for kind, data, most in (
        (_PE_DATA, connection.engine_data, _PE_DATA_MAX),
        (_PE_NAME, connection.engine if connection.engine_data else b"", _PE_NAME_MAX),
    ):
        if len(data) > most:
            raise UnencodableError(f"{len(data)} bytes for option {kind}, {most} at most")
        if data:
            parts += (bytes((kind, len(data))), data)
    return b"".join(parts)


def header(sync_id: int, length: int, entries: int) -> bytes:
    """Of a message of version 1; ``length`` with the header."""
    return HEADER.pack(0, sync_id, length, entries, VERSION, 0)


# ---- version 0 ---------------------------------------------------------------


def _end0(data: bytes, at: int) -> int:
    if at + _ENTRY0.size > len(data):
        raise _FaultError(Kind.ENTRY_CUT, f"{len(data) - at} bytes are left for it")
    end = at + _ENTRY0.size
    if int.from_bytes(data[end - 4 : end - 2]) & SEQUENCE_MASK:
        end += _SEQUENCES0.size
        if end > len(data):
            raise _FaultError(Kind.ENTRY_CUT, "its sequence numbers are cut")
    return end


def _entry0(data: bytes, at: int) -> Synced:
    _, protocol, client_port, virtual_port, port, client, virtual, server, flags, state = (
        _ENTRY0.unpack_from(data, at)
    )
    sequences = None
    if flags & SEQUENCE_MASK:
        after = at + _ENTRY0.size
        sequences = _sequences(_SEQUENCES0, data[after : after + _SEQUENCES0.size])
    return Synced(
        protocol=protocol,
        client=client,
        client_port=client_port,
        virtual=virtual,
        virtual_port=virtual_port,
        server=server,
        server_port=port,
        flags=flags & (_TAKEN | Flag.ONE_PACKET),
        state=state,
        sequences=sequences,
    )


def encode_entry0(connection: Synced) -> bytes:
    """One entry of version 0. Raises ``UnencodableError``."""
    addresses = (connection.client, connection.virtual, connection.server)
    if any(len(address) != _V4 for address in addresses):
        raise UnencodableError("version 0 knows IPv4 only")
    if connection.forward == Forward.FULLNAT:
        raise UnencodableError("FULLNAT: the protocol has no field for the local address")
    if connection.stream:
        raise UnencodableError(_STREAM)
    try:
        fixed = _ENTRY0.pack(
            0,
            connection.protocol,
            connection.client_port,
            connection.virtual_port,
            connection.server_port,
            *addresses,
            connection.flags & _U16,
            connection.state,
        )
    except struct.error as error:
        raise UnencodableError(str(error)) from None
    if not connection.flags & SEQUENCE_MASK:
        return fixed
    sequences = connection.sequences or Sequences(Sequence(), Sequence())
    return fixed + _SEQUENCES0.pack(*sequences.inward, *sequences.outward)


def header0(sync_id: int, length: int, entries: int) -> bytes:
    """Of a message of version 0; ``length`` with the header."""
    return HEADER0.pack(entries, sync_id, length)
