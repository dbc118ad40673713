# SPDX-License-Identifier: Apache-2.0
"""BFD control packets (RFC 5880 4.1), without authentication."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, StrEnum

PORT = 3784
MULTIHOP_PORT = 4784
SOURCE_PORTS = (49152, 65535)

_PACKET = struct.Struct(">BBBBIIIII")
_VERSION = 1
_POLL, _FINAL, _AUTHENTICATED, _MULTIPOINT = 0x20, 0x10, 0x04, 0x01


class State(IntEnum):
    """Of a session."""

    ADMIN_DOWN = 0
    DOWN = 1
    INIT = 2
    UP = 3


class Diagnostic(IntEnum):
    """Why a session went down last."""

    NONE = 0
    DETECTION_TIME_EXPIRED = 1
    NEIGHBOUR_SAID_DOWN = 3
    ADMINISTRATIVELY_DOWN = 7


class Reason(StrEnum):
    """Why a received packet counts for nothing; each is a counter."""

    LENGTH = "length"
    VERSION = "version"
    MULTIPLIER = "multiplier"
    MULTIPOINT = "multipoint"
    DISCRIMINATOR = "discriminator"
    AUTHENTICATION = "authentication"
    HOPS = "hops"
    STRANGER = "stranger"


class Rejected(Exception):  # noqa: N818  # what it is, as Problem
    """A packet that is not looked at any further."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Control:
    """A control packet. Intervals in microseconds."""

    state: State
    diagnostic: int
    multiplier: int
    mine: int
    yours: int
    desired_min_tx: int
    required_min_rx: int
    poll: bool = False
    final: bool = False


def parse(data: bytes) -> Control:
    """The checks of RFC 5880 6.8.6 that need no session. Raises Rejected."""
    if len(data) < _PACKET.size:
        raise Rejected(Reason.LENGTH)
    first, second, multiplier, length, mine, yours, min_tx, min_rx, _ = _PACKET.unpack_from(data)
    if first >> 5 != _VERSION:
        raise Rejected(Reason.VERSION)
    if not _PACKET.size <= length <= len(data):
        raise Rejected(Reason.LENGTH)
    if second & _AUTHENTICATED:
        raise Rejected(Reason.AUTHENTICATION)
    if second & _MULTIPOINT:
        raise Rejected(Reason.MULTIPOINT)
    if not multiplier:
        raise Rejected(Reason.MULTIPLIER)
    state = State(second >> 6)
    if not mine or (not yours and state in (State.INIT, State.UP)):
        raise Rejected(Reason.DISCRIMINATOR)
    return Control(
        state,
        first & 31,
        multiplier,
        mine,
        yours,
        min_tx,
        min_rx,
        poll=bool(second & _POLL),
        final=bool(second & _FINAL),
    )


def build(control: Control) -> bytes:
    """Its bytes."""
    flags = (_POLL if control.poll else 0) | (_FINAL if control.final else 0)
    return _PACKET.pack(
        _VERSION << 5 | control.diagnostic,
        control.state << 6 | flags,
        control.multiplier,
        _PACKET.size,
        control.mine,
        control.yours,
        control.desired_min_tx,
        control.required_min_rx,
        0,
    )
