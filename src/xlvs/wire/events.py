# SPDX-License-Identifier: Apache-2.0
"""What happens at a director, as it is told."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What an event is about."""

    EDIT = "edit"
    """Somebody has changed what is wanted."""
    RELOAD = "reload"
    """A configuration was taken."""
    REFUSED = "refused"
    """A configuration was refused; nothing has changed."""
    SERVER_UP = "server.up"
    SERVER_DOWN = "server.down"
    QUORUM_UP = "quorum.up"
    QUORUM_DOWN = "quorum.down"
    VRRP = "vrrp"
    """An instance has another state."""
    DRAINED = "drained"
    """A drain's time is over: the real server was removed."""
    SYNC = "sync"
    """A peer knows our connections, or does not any more."""
    PROBLEM = "problem"
    """Something an operator has to know at once."""
    SOLVED = "solved"
    """A problem is over."""
    GAP = "gap"
    """Events were lost, because the reader was too slow or came too late."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event.

    ``id`` grows, also over restarts; a gap has the id of the last event that was lost. ``at``:
    seconds since the epoch. ``about``: what it is about, such as a service. ``by``: who
    did it, "" if nobody.
    """

    id: int
    at: float
    kind: Kind
    text: str
    about: str = ""
    by: str = ""
