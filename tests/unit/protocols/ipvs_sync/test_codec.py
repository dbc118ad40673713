# SPDX-License-Identifier: Apache-2.0
"""Messages; what the kernel makes of them is ``tests/oracle/test_sync.py``'s business."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.protocols.synced import connection, connections

from xlvs.model.synced import Flag, Forward, Sequence, Sequences, Stream, Synced
from xlvs.protocols.ipvs_sync import codec
from xlvs.protocols.ipvs_sync.faults import OF_ONE_ENTRY, Kind

GOOD = codec.encode_entry(connection())


def message(*entries: bytes, sync_id: int = 7, version: int = 1, spare: int = 0) -> bytes:
    body = b"".join(entry + bytes(-len(entry) % 4) for entry in entries)
    length = codec.HEADER.size + len(body)
    return codec.HEADER.pack(0, sync_id, length, len(entries), version, spare) + body


def patched(at: int, new: bytes, options: bytes = b"") -> bytes:
    """The good entry with other bytes; its length is right unless it is what is patched."""
    entry = bytearray(GOOD + options)
    entry[2:4] = len(entry).to_bytes(2)
    entry[at : at + len(new)] = new
    return bytes(entry)


@given(connections())
def test_what_is_encoded_is_decoded(one: Synced) -> None:
    decoded = codec.decode(message(codec.encode_entry(one)))
    assert decoded.faults == ()
    assert decoded.entries == (one,)


@given(connections())
def test_version_0_keeps_what_it_has_fields_for(one: Synced) -> None:
    if one.v6:
        with pytest.raises(codec.UnencodableError, match="IPv4 only"):
            codec.encode_entry0(one)
        return
    entry = codec.encode_entry0(one)
    decoded = codec.decode(codec.header0(3, 4 + len(entry), 1) + entry)
    assert decoded.faults == ()
    assert decoded.version == 0
    kept = one._replace(timeout=0.0, fwmark=0, engine=b"", engine_data=b"")
    assert decoded.entries == (kept,)


@given(st.binary(max_size=400))
@example(b"\0\7\0\4")
@example(message(patched(2, b"\0\0"), GOOD))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    codec.decode(data)
    codec.decode(data[:2] + len(data).to_bytes(2) + data[4:])


@given(st.lists(connections(), max_size=4), st.data())
def test_a_damaged_message_is_read_or_refused(some: list[Synced], data: st.DataObject) -> None:
    damaged = bytearray(message(*(codec.encode_entry(one) for one in some)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(4, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    decoded = codec.decode(bytes(damaged))
    assert len(decoded.entries) + len(decoded.faults) <= codec.ENTRIES_MAX
    for one in decoded.entries:
        codec.encode_entry(one) if one.forward != Forward.FULLNAT else None


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        (b"\0\7\0", Kind.HEADER, "3 bytes, a header has at least 4"),
        (b"\0\7\0\4", Kind.HEADER, "4 bytes, a header of version 1 has 8"),
        (b"\0\7\0\x09" + bytes(4), Kind.SIZE, "its header says 9 bytes, 8 arrived"),
        (message(GOOD, sync_id=8), Kind.SYNC_ID, "sync id 8, ours is 7"),
        (message(GOOD, version=2), Kind.VERSION, "version 2"),
        (message(GOOD, spare=1), Kind.VERSION, "version 1 with 0x0001 in its spare bytes"),
    ],
)
def test_headers_that_are_refused(data: bytes, kind: Kind, text: str) -> None:
    decoded = codec.decode(data, 7)
    assert decoded.entries == ()
    [fault] = decoded.faults
    assert (fault.kind, fault.entry, str(fault)) == (kind, None, text)


@pytest.mark.parametrize(
    ("entry", "kind", "text"),
    [
        (patched(2, b"\0\0"), Kind.ENTRY_LENGTH, "0 bytes, its fixed part has 36"),
        (patched(2, b"\x0f\xff"), Kind.ENTRY_CUT, "it has 4095 bytes, 72 are left"),
        (patched(2, b"\x10\x24"), Kind.ENTRY_VERSION, "version 1 of an entry"),
        (patched(0, b"\x02"), Kind.ENTRY_TYPE, "type 0x02"),
        (patched(0, b"\x01"), Kind.ENTRY_LENGTH, "36 bytes, its fixed part has 72"),
        (patched(36, b"\x44", b"."), Kind.OPTION_LENGTH, "one byte is left for an option"),
        (patched(36, b"\x44\0", b".."), Kind.OPTION_LENGTH, "option 68 has 0 bytes, 0 are left"),
        (patched(36, b"\x04\x01", b"..."), Kind.OPTION_UNKNOWN, "option 4 must be understood"),
        (patched(36, b"\x01\x02", b"...."), Kind.SEQUENCE, "option 1 has 2 bytes"),
        (
            patched(36, b"\x02\x01x\x02\x01x", bytes(6)),
            Kind.ENGINE_DATA,
            "option 2 is there twice",
        ),
        (patched(36, b"\x03\x11", bytes(19)), Kind.ENGINE_NAME, "option 3 has 17 bytes"),
        (patched(1, b"\x2f"), Kind.PROTOCOL, "protocol 47 has no connections"),
        (patched(8, b"\0\x0b"), Kind.STATE, "protocol 6 has no state 11"),
        (patched(36, b"\x02\x01x", bytes(3)), Kind.ENGINE, "data of an engine without a name"),
        (
            patched(36, b"\x02\x01x\x03\x02xy", bytes(7)),
            Kind.ENGINE,
            "no persistence engine 'xy'",
        ),
    ],
)
def test_entries_that_are_refused(entry: bytes, kind: Kind, text: str) -> None:
    decoded = codec.decode(message(GOOD, entry, GOOD))
    [fault] = decoded.faults
    assert (fault.kind, fault.entry) == (kind, 1)
    assert str(fault).startswith(f"entry 1: {text}")
    assert len(decoded.entries) == (2 if kind in OF_ONE_ENTRY else 1)


def test_an_unknown_optional_option_is_passed_over() -> None:
    decoded = codec.decode(message(patched(36, b"\x45\x03abc", bytes(5)), GOOD))
    assert decoded.entries == (connection(), connection())


def test_sync_id_0_takes_all() -> None:
    assert codec.decode(message(GOOD, sync_id=200), 0).entries == (connection(),)


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (connection(client=b"abc"), "an address of 3 bytes"),
        (connection(server=bytes(16)), "another family"),
        (connection(flags=int(Forward.FULLNAT)), "FULLNAT"),
        (connection(engine=b"x" * 17, engine_data=b"x"), "17 bytes for option 3, 16 at most"),
        (connection(70000), "65535"),
        (connection(stream=Stream(flags=1)), "its segments are changed"),
    ],
)
def test_what_cannot_be_said_is_refused(one: Synced, text: str) -> None:
    with pytest.raises(codec.UnencodableError, match=text):
        codec.encode_entry(one)


def test_sequences_of_version_0_lie_as_in_memory() -> None:
    one = connection(
        flags=int(Flag.OUT_SEQ), sequences=Sequences(Sequence(1, 2, 3), Sequence(4, 5, 6))
    )
    entry = codec.encode_entry0(one)
    assert entry[24:28] == b"\1\0\0\0"
    assert codec.encode_entry(one)[38:42] == b"\0\0\0\1"
