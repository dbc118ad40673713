# SPDX-License-Identifier: Apache-2.0
"""Talking to an SMTP server (RFC 5321): a list of commands and the replies they should get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from xlvs.protocols.checks.outcome import Wrong, excerpt

REPLY_MAX = 8192
"""Bytes of one reply, all its lines together."""

ANY = range(200, 600)
_CODE = 3


class Step(NamedTuple):
    """Something to say (nothing at the beginning), how its reply is called, what it may be.

    ``last``: the server may close the connection instead of replying.
    """

    say: bytes
    reply: str
    expected: Sequence[int]
    last: bool = False


def check(helo_name: str) -> tuple[Step, ...]:
    """SMTP_CHECK: greeting, HELO, QUIT."""
    return (
        Step(b"", "the greeting", (220,)),
        Step(_line(f"HELO {helo_name}"), "the reply to HELO", (250,)),
        Step(b"QUIT\r\n", "the reply to QUIT", ANY, last=True),
    )


def mail(helo_name: str, sender: str, to: Sequence[str], message: bytes) -> tuple[Step, ...]:
    """Deliver a message (``message``: header, empty line, text; any line ends)."""
    return (
        Step(b"", "the greeting", (220,)),
        Step(_line(f"HELO {helo_name}"), "the reply to HELO", (250,)),
        Step(_line(f"MAIL FROM:<{sender}>"), "the reply to MAIL FROM", (250,)),
        *(
            Step(_line(f"RCPT TO:<{each}>"), f"the reply to RCPT TO <{each}>", (250, 251))
            for each in to
        ),
        Step(b"DATA\r\n", "the reply to DATA", (354,)),
        Step(_stuffed(message), "the reply to the message", (250,)),
        Step(b"QUIT\r\n", "the reply to QUIT", ANY, last=True),
    )


def letter(sender: str, to: Sequence[str], subject: str, text: str, date: str) -> bytes:
    """A message in the form of RFC 5322, which ``date`` has too."""
    subject = " ".join(subject.split())
    head = (
        f"Date: {date}\r\nFrom: {sender}\r\nTo: {', '.join(to)}\r\n"
        f"Subject: {subject}\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
        "Auto-Submitted: auto-generated\r\n"
    )
    return f"{head}\r\n{text}".encode()


def _line(text: str) -> bytes:
    return " ".join(text.split()).encode("ascii", "replace") + b"\r\n"


def _stuffed(message: bytes) -> bytes:
    lines = message.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")
    return (
        b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines)
        + b".\r\n"
    )


class Dialogue:
    """Goes through steps. ``receive`` gives what to send next; ``done`` after the last one."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = list(steps)
        self._at = 0
        self._buffer = bytearray()
        self._reply = b""

    @property
    def done(self) -> bool:
        """Everything was said and answered as expected."""
        return self._at >= len(self._steps)

    @property
    def waiting_for(self) -> str:
        """Which reply is due."""
        return self._steps[self._at].reply if not self.done else "nothing"

    def begin(self) -> bytes:
        """What the client says unasked: in SMTP nothing."""
        return self._steps[0].say

    def receive(self, data: bytes) -> bytes:
        """Take what came in; what to send. Raises Wrong."""
        self._buffer += data
        said = b""
        while not self.done and (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            said += self._take(line)
        if len(self._buffer) + len(self._reply) > REPLY_MAX:
            raise Wrong(f"{self.waiting_for} is longer than {REPLY_MAX} bytes")
        return said

    def end(self) -> None:
        """The connection has ended. Raises Wrong unless that was allowed."""
        if self.done:
            return
        if not self._steps[self._at].last:
            said = f" after {excerpt(self._buffer)}" if self._buffer else ""
            raise Wrong(f"the connection was closed while waiting for {self.waiting_for}{said}")
        self._at = len(self._steps)

    def _take(self, line: bytes) -> bytes:
        code = line[:_CODE]
        if len(code) < _CODE or not code.isdigit() or line[_CODE : _CODE + 1] not in b" -":
            raise Wrong(f"{self.waiting_for} is not SMTP: {excerpt(line)}")
        if line[_CODE : _CODE + 1] == b"-":
            self._reply += line + b"\n"
            return b""
        step = self._steps[self._at]
        if int(code) not in step.expected:
            expected = " or ".join(str(each) for each in step.expected)
            raise Wrong(f"{step.reply} is {excerpt(line)}, expected {expected}")
        self._reply = b""
        self._at += 1
        return b"" if self.done else self._steps[self._at].say
