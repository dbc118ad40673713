# SPDX-License-Identifier: Apache-2.0
"""GUE packets: what of them is not a function of the input.

The source port is a hash with the kernel's own secret, and the checksum covers it.
"""

from __future__ import annotations

import struct

from . import frames

PORTS = (6080, 6081)


def same(recorded: bytes, got: bytes) -> bool:
    """Whether both have a checksum, or neither, and ``got``'s is right; True of others."""
    at = _udp(got)
    if at is None or _udp(recorded) != at:
        return True
    has = recorded[at + 6 : at + 8] != b"\0\0"
    return has == (got[at + 6 : at + 8] != b"\0\0") and not (has and _checksum_is_wrong(got, at))


def without_flow(packet: bytes) -> bytes:
    """``packet``, if it is one of GUE, with source port and checksum zeroed."""
    at = _udp(packet)
    if at is None:
        return packet
    return packet[:at] + b"\0\0" + packet[at + 2 : at + 6] + b"\0\0" + packet[at + 8 :]


def _udp(packet: bytes) -> int | None:
    """Offset of the UDP header in front of a GUE header."""
    four = packet[0] >> 4 == 4
    at = (packet[0] & 15) * 4 if four else 40
    if packet[9 if four else 6] != frames.UDP or len(packet) < at + 12:
        return None
    return at if struct.unpack("!H", packet[at + 2 : at + 4])[0] in PORTS else None


def _checksum_is_wrong(packet: bytes, at: int) -> bool:
    covered = frames.pseudo_header(*frames.addresses(packet), frames.UDP, len(packet) - at)
    return frames.ones_complement(covered + packet[at:]) != 0
