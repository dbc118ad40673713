# SPDX-License-Identifier: Apache-2.0
"""Why a session ended, by name; each has a counter."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """What the peer, or somebody in its place, did."""

    VERSION = "version"
    """It speaks no version of the protocol that we do."""
    KEY = "key"
    """It does not have our key."""
    SELF = "self"
    """It is this director itself."""
    FORGED = "forged"
    """A frame is not what the peer sent at this place of the stream."""
    FRAME = "frame"
    """A frame of an impossible length or at a wrong time."""
    ENTRY = "entry"
    """A connection that cannot be read."""
    SILENT = "silent"
    """Nothing was heard for too long."""
    REFUSED = "refused"
    """It ended the session and said why."""
    CLOSED = "closed"
    """The TCP connection ended or was never made."""


class PeerError(Exception):
    """The session is over. The text is for the log."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason
