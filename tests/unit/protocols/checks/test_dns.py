# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlvs.model.checker import DnsCheck
from xlvs.model.problem import Problem
from xlvs.protocols.checks import dns
from xlvs.protocols.checks.outcome import GOOD, Outcome, Wrong

CHECK = DnsCheck(type="a", name="www.Example.com")
RECORD = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + b"\x0a\0\0\1"


def reply(
    rcode: int = 0, *, flags: int = 0x8180, records: bytes = RECORD, count: int = 1, number: int = 7
) -> bytes:
    question = dns.query(CHECK, 7)[12:]
    return struct.pack("!HHHHHH", number, flags | rcode, 1, count, 0, 0) + question + records


def test_query() -> None:
    assert dns.query(DnsCheck(), 0x1234) == bytes.fromhex("12340100000100000000000000 0006 0001")
    assert dns.query(CHECK, 1)[12:] == b"\3www\7Example\3com\0\0\1\0\1"
    assert dns.query(DnsCheck(name="a.b."), 1)[12:17] == b"\1a\1b\0"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (reply(), GOOD),
        (reply(count=0, records=b""), GOOD),
        (reply(flags=0x8380, records=RECORD[:5]), GOOD),
        (reply(number=8), None),
        (reply(flags=0x0180), None),
        (b"\0\7", None),
        (reply().replace(b"Example", b"example"), GOOD),
        (reply().replace(b"Example", b"exomple"), None),
    ],
)
def test_judge(answer: bytes, outcome: Outcome | None) -> None:
    assert dns.judge(CHECK, 7, answer) == outcome


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (reply(2), "A www.Example.com is answered SERVFAIL"),
        (reply(3), "A www.Example.com is answered NXDOMAIN"),
        (reply(5), "A www.Example.com is answered REFUSED"),
        (reply(12), "A www.Example.com is answered rcode 12"),
        (reply(records=RECORD[:-1]), "malformed: a record goes beyond its end"),
        (reply(records=RECORD[:6]), "malformed: it ends within a record"),
        (reply(records=b"\xc0\x21" + RECORD[2:]), "malformed: a compressed name points forward"),
        (reply(records=b"\x80" + RECORD), "malformed: a label goes too far"),
    ],
)
def test_causes(answer: bytes, cause: str) -> None:
    outcome = dns.judge(CHECK, 7, answer)
    assert outcome is not None
    assert not outcome.ok
    assert cause in outcome.cause


def test_long_names_end() -> None:
    label = b"\x3f" + b"a" * 63
    with pytest.raises(Wrong, match="longer than 255"):
        dns.name_at(label * 5 + b"\0", 0)
    chain = b"\1a\0" + b"".join(
        struct.pack("!H", 0xC000 | max(0, 3 + 2 * i - 2)) for i in range(90)
    )
    with pytest.raises(Wrong):
        dns.name_at(chain + b"\xff\xff", len(chain))


@pytest.mark.parametrize(
    "check", [DnsCheck(type="ANY"), DnsCheck(name="a..b"), DnsCheck(name="ü"),
              DnsCheck(name="a" * 64), DnsCheck(name="a." * 130)]
)  # fmt: skip
def test_questions_that_cannot_be_asked(check: DnsCheck) -> None:
    with pytest.raises(Problem):
        dns.verify(check)


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes(data: bytes, begin: bool) -> None:
    dns.judge(CHECK, 7, (reply(records=b"", count=3) + data) if begin else data)
    dns.judge(CHECK, 7, struct.pack("!HHHHHH", 7, 0x8180, 2, 2, 2, 2) + data)
