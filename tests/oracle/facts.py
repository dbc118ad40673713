# SPDX-License-Identifier: Apache-2.0
"""The recorded facts as typed values, and what of a packet is not a function of its input."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import frames, gue
from .packets_text import describe

FACTS = Path(__file__).parent / "facts"
DIRECTOR_ADDRESSES = frozenset(("192.168.100.1", "192.168.200.1", "fd00:100::1", "fd00:200::1"))

_CUT = re.compile(r"([0-9a-f]+)\.\.\. (\d+) bytes in all")


def load(name: str) -> dict[str, Any]:
    """One facts file, such as ``sched/rr``."""
    loaded = json.loads((FACTS / f"{name}.json").read_text())
    if not isinstance(loaded, dict):
        raise TypeError(f"{name} is not a JSON object")
    return loaded


def names(folder: str, pattern: str = "*") -> list[str]:
    """The names of the facts files of a folder that fit a glob pattern, sorted."""
    return sorted(f"{folder}/{path.stem}" for path in (FACTS / folder).glob(f"{pattern}.json"))


@dataclass(frozen=True)
class Difference:
    """One thing that xlvs did differently; ``where`` is a path: ``packets/nat/nat-tcp/3``."""

    where: str
    expected: object
    got: object

    def __str__(self) -> str:
        return f"{self.where}\n    expected {self.expected}\n    got      {self.got}"


def whole_packet(recorded: str, text: str) -> bytes:
    """The packet behind a recorded hex string.

    Long packets were recorded by their beginning only. Their data is one letter
    repeated, so the rest can be restored; ``text`` proves that it was.
    """
    match = _CUT.fullmatch(recorded)
    if match is None:
        return bytes.fromhex(recorded)
    beginning = bytes.fromhex(match[1])
    packet = beginning + beginning[-1:] * (int(match[2]) - len(beginning))
    if describe(packet) != text:
        raise ValueError(f"cannot restore the packet {text!r}")
    return packet


def same_packet(recorded: str, got: bytes, *, made_by_director: bool) -> bool:
    """Whether ``got`` is the recorded packet, byte for byte.

    A recording that was cut is compared as far as it goes and by its length. Of a
    packet that the director made itself, the IPv4 id (and with it the header's
    checksum, which must be right) and the IPv6 flow label are left out; so is a GUE
    packet's source port, and with it a checksum, which must be right.
    """
    match = _CUT.fullmatch(recorded)
    if match is not None:
        wanted, length = bytes.fromhex(match[1]), int(match[2])
    else:
        wanted, length = bytes.fromhex(recorded), len(recorded) // 2
    if len(got) != length or frames.header_is_wrong(got):
        return False
    if not gue.same(wanted, got):
        return False
    wanted, got = gue.without_flow(wanted), gue.without_flow(got)
    if made_by_director:
        wanted, got = without_identity(wanted), without_identity(got)
    return got[: len(wanted)] == wanted


def made_by_director(sent: bytes, sent_side: int, got: bytes, got_side: int) -> bool:
    """Whether ``got`` begins with a header that the director made, rather than forwarded."""
    if sent_side == got_side or _protocol(got) != _protocol(sent):
        return True
    return frames.addresses(sent)[1] in DIRECTOR_ADDRESSES


def without_identity(packet: bytes) -> bytes:
    """``packet`` with id and header checksum (IPv4) or flow label (IPv6) zeroed."""
    if packet[0] >> 4 == 4:
        return packet[:4] + b"\0\0" + packet[6:10] + b"\0\0" + packet[12:]
    first = struct.unpack("!I", packet[:4])[0] & ~0xFFFFF
    return struct.pack("!I", first) + packet[4:]


_IDENTITY = re.compile(r" id=0x[0-9a-f]+| flow=0x[0-9a-f]+")


def text_without_identity(line: str) -> str:
    """The same for a line of text: only the first header's id or flow label goes."""
    return _IDENTITY.sub("", line, count=1)


def _protocol(packet: bytes) -> tuple[int, int]:
    version = packet[0] >> 4
    return version, packet[9] if version == 4 else packet[6]
