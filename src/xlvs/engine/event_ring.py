# SPDX-License-Identifier: Apache-2.0
"""The last events, for readers that follow at their own pace. Pure."""

from __future__ import annotations

from collections import deque
from itertools import islice

from xlvs.wire.events import Event, Kind


class EventRing:
    """Keeps ``size`` events; the first has the id ``first``."""

    def __init__(self, first: int, size: int) -> None:
        self._events: deque[Event] = deque(maxlen=size)
        self.next = first
        """The id that the next event will have."""

    def add(self, at: float, kind: Kind, text: str, about: str = "", by: str = "") -> Event:
        """One more."""
        event = Event(id=self.next, at=at, kind=kind, text=text, about=about, by=by)
        self._events.append(event)
        self.next += 1
        return event

    def after(self, id_: int, at: float) -> list[Event]:
        """Events later than this one; a gap first if some of them are not kept any more.

        An id of the future is of another director, or of one whose clock went back: a gap too.
        """
        oldest = self.next - len(self._events)
        if oldest - 1 <= id_ < self.next:
            return list(islice(self._events, id_ + 1 - oldest, None))
        lost = "events before this one are not kept any more: read the state anew"
        gap = Event(id=oldest - 1, at=at, kind=Kind.GAP, text=lost)
        return [gap, *self._events]
