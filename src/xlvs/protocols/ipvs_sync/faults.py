# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a message, by name; each has a counter."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """Why a message, the rest of one, or one entry was not taken."""

    HEADER = "header"
    """Shorter than a header."""
    SIZE = "size"
    """The header names another length than arrived."""
    SYNC_ID = "sync_id"
    """Of another group of directors."""
    VERSION = "version"
    """Neither version 1 nor 0."""
    ENTRY_CUT = "entry_cut"
    """An entry begins too near to the end, or ends behind it."""
    ENTRY_VERSION = "entry_version"
    ENTRY_TYPE = "entry_type"
    ENTRY_LENGTH = "entry_length"
    """Shorter than its fixed part."""
    OPTION_LENGTH = "option_length"
    """An option that is empty or ends behind its entry."""
    SEQUENCE = "sequence"
    """SEQ_DATA of a wrong length, or twice."""
    ENGINE_DATA = "engine_data"
    """PE_DATA too long, or twice."""
    ENGINE_NAME = "engine_name"
    """PE_NAME too long, or twice."""
    OPTION_UNKNOWN = "option_unknown"
    """An option that must be understood and is not."""
    PROTOCOL = "protocol"
    """No protocol with connections."""
    STATE = "state"
    """No state of the entry's protocol."""
    ENGINE = "engine"
    """A persistence engine that is not there, or data without an engine's name."""

    ONE_PACKET = "one_packet"
    """A connection that lives for one packet only."""


# An entry with one of these is left out and the next is read; after all others the rest of
# the message means nothing.
OF_ONE_ENTRY = frozenset(
    {Kind.OPTION_UNKNOWN, Kind.PROTOCOL, Kind.STATE, Kind.ENGINE, Kind.ONE_PACKET}
)


class Fault(NamedTuple):
    """``entry`` counts from 0; None: the header."""

    kind: Kind
    entry: int | None
    text: str

    def __str__(self) -> str:
        return self.text if self.entry is None else f"entry {self.entry}: {self.text}"
