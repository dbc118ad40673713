# SPDX-License-Identifier: Apache-2.0
"""Connections as bytes of our own protocol."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.protocols.synced import connection, connections

from xlvs.model.synced import Stream, Synced
from xlvs.protocols.peer_sync import entries
from xlvs.protocols.peer_sync.problems import PeerError, Reason


@given(st.lists(connections(ours=True), max_size=5))
def test_all_fields_arrive(some: list[Synced]) -> None:
    assert entries.decode(b"".join(map(entries.encode, some))) == some


@given(connections(ours=True))
def test_no_entry_is_longer_than_the_longest(one: Synced) -> None:
    assert len(entries.encode(one)) <= entries.ENTRY_MAX


def test_what_waited_is_older() -> None:
    [one] = entries.decode(entries.encode(connection(idle=2.0), waited=1.5))
    assert one.idle == 3.5


def test_times_beyond_their_field_are_its_greatest() -> None:
    [one] = entries.decode(entries.encode(connection(timeout=1e12)))
    assert one.timeout == (2**32 - 1) / 1000


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        entries.decode(data)
    except PeerError as error:
        reason = error.reason
    else:
        return
    assert reason is Reason.ENTRY


def test_a_cut_entry_is_refused() -> None:
    data = entries.encode(connection(engine=b"sip", engine_data=b"call"))
    for end in range(1, len(data)):
        with pytest.raises(PeerError, match="entry 0 is cut"):
            entries.decode(data[:end])


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(PeerError, match="kind 0x40"):
        entries.decode(b"\x40" + entries.encode(connection())[1:])


def test_an_unknown_mark_of_a_stream_is_refused() -> None:
    data = entries.encode(connection(stream=Stream(flags=1 << 20)))
    with pytest.raises(PeerError, match="a stream with 0x100000"):
        entries.decode(data)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=40), st.integers(50, 200))
def test_frames_have_all_entries_in_order_and_not_too_many(some: list[bytes], most: int) -> None:
    found = list(entries.frames(some, most))
    assert b"".join(payload for payload, _ in found) == b"".join(some)
    assert sum(count for _, count in found) == len(some)
    assert all(len(payload) <= most for payload, _ in found)
