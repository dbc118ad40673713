# SPDX-License-Identifier: Apache-2.0
"""The stream: whatever somebody between does to it ends the session."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlvs.protocols.peer_sync.frames import GREETING_MAX, PAYLOAD_MAX, Reader, Type, Writer
from xlvs.protocols.peer_sync.problems import PeerError, Reason

KEY = bytes(range(32))


def both(key: bytes | None = KEY) -> tuple[Writer, Reader]:
    writer, reader = Writer(), Reader()
    writer.key = reader.key = key
    return writer, reader


def read(reader: Reader, data: bytes) -> list[tuple[Type, bytes]]:
    reader.feed(data)
    found = []
    while (frame := reader.next()) is not None:
        found.append(frame)
    return found


@given(st.lists(st.binary(max_size=100), max_size=10), st.integers(1, 50))
def test_frames_arrive_however_the_stream_is_cut(some: list[bytes], step: int) -> None:
    writer, reader = both()
    data = b"".join(writer.frame(Type.ENTRIES, payload) for payload in some)
    found = []
    for at in range(0, len(data), step):
        found += read(reader, data[at : at + step])
    assert found == [(Type.ENTRIES, payload) for payload in some]


def stream() -> list[bytes]:
    writer, _ = both()
    return [writer.frame(Type.ENTRIES, bytes((i,)) * 9) for i in range(4)]


@pytest.mark.parametrize(
    "order", [[1], [0, 0], [0, 2], [0, 1, 1], [1, 0]], ids=["lost", "twice", "gap", "again", "swap"]
)
def test_frames_lost_repeated_or_reordered_are_noticed(order: list[int]) -> None:
    frames = stream()
    _, reader = both()
    with pytest.raises(PeerError, match="is not the peer's next one") as raised:
        read(reader, b"".join(frames[i] for i in order))
    assert raised.value.reason is Reason.FORGED


@given(st.integers(0, 200), st.integers(1, 255))
def test_each_changed_bit_is_noticed(at: int, change: int) -> None:
    data = bytearray(b"".join(stream()))
    data[at % len(data)] ^= change
    _, reader = both()
    try:
        found = read(reader, bytes(data))
    except PeerError:
        return
    assert len(found) < 4  # a length that grew: the frame never ends, and silence ends the session


def test_another_keys_frame_is_noticed() -> None:
    writer, _ = both(bytes(32))
    _, reader = both()
    with pytest.raises(PeerError) as raised:
        read(reader, writer.frame(Type.PING))
    assert raised.value.reason is Reason.FORGED


@pytest.mark.parametrize("key", [None, KEY])
def test_a_frame_too_long_is_refused_before_it_is_there(key: bytes | None) -> None:
    _, reader = both(key)
    most = PAYLOAD_MAX if key else GREETING_MAX
    with pytest.raises(PeerError) as raised:
        read(reader, (most + 1 + 16 + 1).to_bytes(4) + b"\1")
    assert raised.value.reason is Reason.FRAME


def test_an_unknown_type_is_refused() -> None:
    _, reader = both(None)
    with pytest.raises(PeerError, match="type 77"):
        read(reader, b"\0\0\0\1\x4d")


@given(st.binary(max_size=300), st.sampled_from([None, KEY]))
def test_any_bytes_are_read_or_refused(data: bytes, key: bytes | None) -> None:
    _, reader = both(key)
    try:
        read(reader, data)
    except PeerError as error:
        reason = error.reason
    else:
        return
    assert reason in {Reason.FRAME, Reason.FORGED}
