# SPDX-License-Identifier: Apache-2.0
"""DNS_CHECK: a question and its answer (RFC 1035)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from xlvs.model.checker import DnsCheck
from xlvs.model.problem import Code, Problem
from xlvs.protocols.checks.outcome import GOOD, Outcome, Wrong, failed

TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28,
    "RRSIG": 46, "DNSKEY": 48,
}  # fmt: skip
"""keepalived's."""

ANSWER_MAX = 65535
NAME_MAX = 255
LABEL_MAX = 63

_RCODES = {
    1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED",
    6: "YXDOMAIN", 7: "YXRRSET", 8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE",
}  # fmt: skip
_HEADER = struct.Struct("!HHHHHH")
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_QR, _TC, _RD = 0x8000, 0x0200, 0x0100
_OPCODE = 0x7800
_RCODE = 0x000F
_IN = 1
_POINTER = 0xC0
_POINTERS_MAX = 64


class Header(NamedTuple):
    """The first twelve bytes."""

    identifier: int
    flags: int
    questions: int
    answers: int
    authorities: int
    additional: int


def query(check: DnsCheck, identifier: int) -> bytes:
    """The question, with recursion desired. Raises Problem."""
    header = _HEADER.pack(identifier, _RD, 1, 0, 0, 0)
    return header + _name(check.name) + _QUESTION.pack(_type(check.type), _IN)


def judge(check: DnsCheck, identifier: int, answer: bytes) -> Outcome | None:
    """What an answer means; None: it answers something else, and one waits on."""
    if len(answer) < _HEADER.size:
        return None
    header = Header(*_HEADER.unpack_from(answer))
    if header.identifier != identifier or not header.flags & _QR or header.flags & _OPCODE:
        return None
    rcode = header.flags & _RCODE
    question = f"{check.type.upper()} {check.name}"
    if rcode:
        return failed(f"{question} is answered {_RCODES.get(rcode, f'rcode {rcode}')}")
    try:
        if not _asked(check, header, answer):
            return None
    except Wrong as wrong:
        return failed(f"the answer to {question} is malformed: {wrong}")
    return GOOD


def _asked(check: DnsCheck, header: Header, answer: bytes) -> bool:
    """Whether it is the answer to this question, and can be read to its end. Raises Wrong."""
    at = _HEADER.size
    for _ in range(header.questions):
        name, at = name_at(answer, at)
        kind, _class = _unpack(_QUESTION, answer, at)
        at += _QUESTION.size
        if kind != _type(check.type) or name != _name(check.name).lower():
            return False
    if header.flags & _TC:
        return True  # cut off on purpose: whole records need not follow
    for _ in range(header.answers + header.authorities + header.additional):
        _, at = name_at(answer, at)
        length = _unpack(_RECORD, answer, at)[3]
        at += _RECORD.size + length
        if at > len(answer):
            raise Wrong("a record goes beyond its end")
    return True


def name_at(message: bytes, at: int) -> tuple[bytes, int]:
    """A name without compression, in lower case, and where it ends. Raises Wrong.

    A pointer has to point backwards from where the name began, so there are no circles.
    """
    name = bytearray()
    end = 0
    begin = at
    for _ in range(NAME_MAX + _POINTERS_MAX):
        length = _byte(message, at)
        if length & _POINTER == _POINTER:
            target = (length & ~_POINTER) << 8 | _byte(message, at + 1)
            end = end or at + 2
            if target >= begin:
                raise Wrong("a compressed name points forward")
            begin = at = target
            continue
        if length > LABEL_MAX or at + 1 + length > len(message):
            raise Wrong("a label goes too far")
        name += message[at : at + 1 + length]
        at += 1 + length
        if len(name) > NAME_MAX:
            raise Wrong("a name is longer than 255 bytes")
        if not length:
            return bytes(name).lower(), end or at
    raise Wrong("a name has no end")


def verify(check: DnsCheck) -> None:
    """Raise Problem if the question cannot be asked."""
    query(check, 0)


def _type(word: str) -> int:
    try:
        return TYPES[word.upper()]
    except KeyError:
        known = " ".join(TYPES)
        raise Problem(Code.INVALID, f"DNS type {word!r} is not one of {known}", "type") from None


def _name(text: str) -> bytes:
    labels = text.removesuffix(".").split(".") if text not in ("", ".") else []
    name = b""
    for label in labels:
        try:
            word = label.encode("ascii")
        except UnicodeEncodeError:
            raise Problem(Code.INVALID, f"DNS name {text!r} is not ASCII", "name") from None
        if not 0 < len(word) <= LABEL_MAX:
            raise Problem(Code.INVALID, f"DNS name {text!r} has a label of a wrong length", "name")
        name += bytes([len(word)]) + word
    if len(name) >= NAME_MAX:
        raise Problem(Code.INVALID, f"DNS name {text!r} is longer than 255 bytes", "name")
    return name + b"\0"


def _byte(message: bytes, at: int) -> int:
    if at >= len(message):
        raise Wrong("it ends within a name")
    return message[at]


def _unpack(form: struct.Struct, message: bytes, at: int) -> tuple[int, ...]:
    if at + form.size > len(message):
        raise Wrong("it ends within a record")
    return form.unpack_from(message, at)
