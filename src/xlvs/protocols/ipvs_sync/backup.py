# SPDX-License-Identifier: Apache-2.0
"""The receiving side: messages in, connections to be put into the table out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from enum import Enum

from xlvs.model.synced import SEQUENCE_MASK, Flag, Synced
from xlvs.protocols.ipvs_sync import codec
from xlvs.protocols.ipvs_sync.faults import Fault, Kind

TEMPLATE_TIMEOUT = 180.0
"""Seconds of a template that comes without a time-out, as all of version 0 do."""
_UPDATED = SEQUENCE_MASK | Flag.INACTIVE


class Backup:
    """One sync daemon in the role of the backup."""

    def __init__(self, sync_id: int = 0, engines: Collection[bytes] = codec.ENGINES) -> None:
        self._sync_id = sync_id
        self._engines = engines
        self.messages = 0
        self.bytes = 0
        self.connections = 0
        self.faults: Counter[Kind] = Counter()
        """What was wrong, how often."""
        self.last_fault: Fault | None = None

    def receive(self, data: bytes | memoryview) -> tuple[Synced, ...]:
        """The connections of one datagram, in order."""
        decoded = codec.decode(data, self._sync_id, self._engines)
        self.messages += 1
        self.bytes += len(data)
        self.connections += len(decoded.entries)
        for fault in decoded.faults:
            self.faults[fault.kind] += 1
            self.last_fault = fault
        return decoded.entries


class Effect(Enum):
    """What a received connection does to the table."""

    OPEN = "open"
    """There is none with its key."""
    UPDATE = "update"
    """State, time-out and counting change; server, method and mark stay the held one's."""
    REPLACE = "replace"
    """The held one goes to another server: it ends, and the new one begins."""
    IGNORE = "ignore"
    """The end of a connection whose key has a new one already."""


def effect(held: Synced | None, new: Synced) -> Effect:
    """What becomes of the connection with ``new``'s key. Pure: the caller does it."""
    if held is None:
        return Effect.OPEN
    if new.template or (held.server == new.server and held.server_port == new.server_port):
        return Effect.UPDATE
    return Effect.IGNORE if new.inactive else Effect.REPLACE


def updated(held: Synced, new: Synced) -> Synced:
    """The held connection after an UPDATE."""
    return held._replace(
        flags=held.flags & ~_UPDATED | new.flags & _UPDATED,
        state=new.state,
        timeout=new.timeout,
        idle=new.idle,
        sequences=new.sequences or held.sequences,
    )
