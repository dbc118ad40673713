# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from msgspec.structs import replace

from xlvs.model.checker import UdpCheck
from xlvs.protocols.checks import udp
from xlvs.protocols.checks.outcome import Outcome

REPLY = UdpCheck(require_reply=True, min_reply_length=2, max_reply_length=4)


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (b"a", "the reply has 1 bytes, expected 2 to 4"),
        (b"ab", ""),
        (b"abcd", ""),
        (b"abcde", "the reply has 5 bytes, expected 2 to 4"),
    ],
)
def test_lengths(reply: bytes, cause: str) -> None:
    outcome = udp.judge(REPLY, reply)
    assert outcome.cause == cause
    assert outcome.ok == (not cause)


def test_content() -> None:
    def judged(reply: bytes, mask: bytes = b"") -> Outcome:
        return udp.judge(replace(REPLY, reply=reply, reply_mask=mask), b"\x12\x34")

    assert judged(b"\x12\x04", b"\xff\x0f").ok
    assert judged(b"\x12\x05", b"\xff\x0f").cause == "byte 1 of the reply is 34, expected 05"
    assert judged(b"\x12").ok


def test_silence() -> None:
    assert udp.silence(UdpCheck(), 5).ok
    cause = udp.silence(REPLY, 5).cause
    assert cause == "timed out after 5 s while waiting for the reply"


def test_any_reply_will_do_where_none_is_required() -> None:
    assert udp.judge(UdpCheck(), b"").ok
