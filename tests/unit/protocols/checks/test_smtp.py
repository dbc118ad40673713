# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlvs.protocols.checks import smtp
from xlvs.protocols.checks.outcome import Wrong
from xlvs.protocols.checks.smtp import Dialogue


def test_check() -> None:
    talk = Dialogue(smtp.check("lb.example"))
    assert talk.begin() == b""
    assert talk.waiting_for == "the greeting"
    assert talk.receive(b"220-two lines\r\n220 hel") == b""
    assert talk.receive(b"lo\r\n") == b"HELO lb.example\r\n"
    assert talk.waiting_for == "the reply to HELO"
    assert talk.receive(b"250 fine\n") == b"QUIT\r\n"
    assert not talk.done
    talk.receive(b"221 bye\r\n")
    assert talk.done


def test_closing_instead_of_221_is_fine() -> None:
    talk = Dialogue(smtp.check("x"))
    talk.receive(b"220 a\r\n250 b\r\n")
    talk.end()
    assert talk.done


def hear(said: bytes) -> None:
    talk = Dialogue(smtp.check("x"))
    talk.receive(said)
    talk.end()


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (b"554 no\r\n", 'the greeting is "554 no", expected 220'),
        (b"hello\r\n", 'the greeting is not SMTP: "hello"'),
        (b"220 a\r\n421 busy\r\n", 'the reply to HELO is "421 busy", expected 250'),
        (b"220-" + b"x" * 9000, "the greeting is longer than 8192 bytes"),
        (b"220-x\r\n" * 2000, "the greeting is longer than 8192 bytes"),
        (b"220", 'the connection was closed while waiting for the greeting after "220"'),
        (b"220 a\r\n", "the connection was closed while waiting for the reply to HELO"),
    ],
)
def test_causes(said: bytes, cause: str) -> None:
    with pytest.raises(Wrong) as wrong:
        hear(said)
    assert str(wrong.value) == cause


def test_mail() -> None:
    letter = smtp.letter("a@x", ["b@y", "c@z"], "down\r\nBcc: d@e", "one\n.\ntwo", "Sat")
    talk = Dialogue(smtp.mail("lb", "a@x", ["b@y", "c@z"], letter))
    said = [talk.receive(f"{code} ok\r\n".encode()) for code in (220, 250, 250, 250, 251, 354, 250)]
    assert said[:5] == [
        b"HELO lb\r\n", b"MAIL FROM:<a@x>\r\n", b"RCPT TO:<b@y>\r\n", b"RCPT TO:<c@z>\r\n",
        b"DATA\r\n",
    ]  # fmt: skip
    assert said[5].startswith(
        b"Date: Sat\r\nFrom: a@x\r\nTo: b@y, c@z\r\nSubject: down Bcc: d@e\r\n"
    )
    assert said[5].endswith(b"\r\n\r\none\r\n..\r\ntwo\r\n.\r\n")
    assert said[6] == b"QUIT\r\n"


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_any_bytes(parts: list[bytes]) -> None:
    talk = Dialogue(smtp.check("x"))
    try:
        for part in parts:
            talk.receive(part)
        talk.end()
    except Wrong:
        return
