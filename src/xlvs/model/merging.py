# SPDX-License-Identifier: Apache-2.0
"""What a connection that another director tells of does to the table. Pure: the caller does it.

IPVS's rules, and one before them: a record is not overwritten by an older one. After a
fail-over two directors hold the same connections, and the one that lost the address still
tells of what it held. Only the director that clients reach sees packets, so the record
with the more recent packet is right. IPVS's messages are about a packet just seen, so
they are never older.
"""

from __future__ import annotations

from enum import Enum

from xlvs.model.synced import SEQUENCE_MASK, Flag, Synced

TEMPLATE_TIMEOUT = 180.0
"""Seconds of a template that comes without a time-out, as all of version 0 do."""

_UPDATED = SEQUENCE_MASK | Flag.INACTIVE


class Effect(Enum):
    """What becomes of the connection with the received one's key."""

    OPEN = "open"
    """There is none: it begins."""
    UPDATE = "update"
    """State, time-out and counting change; server, method and mark stay the held one's."""
    REPLACE = "replace"
    """The held one goes to another server: it ends, and the received one begins."""
    REPLACED = "replaced"
    """Nothing: it is the end of a connection whose key has a new one already."""
    OLDER = "older"
    """Nothing: the held one had a packet since."""
    OVER = "over"
    """Nothing: its time is over."""


def effect(held: Synced | None, received: Synced) -> Effect:
    """``held``: what the table has under the received one's key.

    A held one whose ``idle`` is not known says so by a negative number.
    """
    if 0 < received.timeout <= received.idle:
        return Effect.OVER
    if held is None:
        return Effect.OPEN
    if 0 <= held.idle < received.idle:
        return Effect.OLDER
    same = held.server == received.server and held.server_port == received.server_port
    if same or received.template:
        return Effect.UPDATE
    return Effect.REPLACED if received.inactive else Effect.REPLACE


def updated(held: Synced, received: Synced) -> Synced:
    """The held connection after an UPDATE."""
    return held._replace(
        flags=held.flags & ~_UPDATED | received.flags & _UPDATED,
        state=received.state,
        timeout=received.timeout,
        idle=received.idle,
        sequences=received.sequences or held.sequences,
    )
