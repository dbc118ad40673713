# SPDX-License-Identifier: Apache-2.0
"""Sync groups: members are master together, or none is.

- A fault of one is a fault of all (the router gives every member all causes).
- The group takes over when *every* member would: with one link of several cut, a single
  silent network must not tear the others from their master.
- When one steps down, all do.
"""

from __future__ import annotations

from collections.abc import Sequence

from xlvs.protocols.vrrp.effects import Changed, Effect, GroupChanged, State
from xlvs.protocols.vrrp.machine import Machine


class SyncGroup:
    """The members of one ``vrrp_sync_group``."""

    def __init__(self, name: str, members: Sequence[Machine]) -> None:
        self.name = name
        self.members = list(members)
        self.state = State.INIT

    def settle(self, happened: Sequence[Effect], now: float) -> list[Effect]:
        """Bring the members together after effects of some of them."""
        names = {member.instance.name for member in self.members}
        stepped_down = any(
            isinstance(effect, Changed)
            and effect.instance in names
            and effect.old is State.MASTER
            and effect.new is State.BACKUP
            for effect in happened
        )
        if stepped_down:
            for member in self.members:
                member.follow(now)
        elif self._all_would_lead():
            for member in self.members:
                member.lead(now)
        return self._follow_state()

    def _all_would_lead(self) -> bool:
        masters = sum(member.state is State.MASTER for member in self.members)
        waiting = len(self.members) - masters
        return waiting > 0 and all(
            member.state is State.MASTER or (member.state is State.BACKUP and member.ready)
            for member in self.members
        )

    def _follow_state(self) -> list[Effect]:
        states = {member.state for member in self.members}
        if len(states) != 1:
            return []
        (state,) = states
        if state is self.state:
            return []
        old, self.state = self.state, state
        return [GroupChanged(self.name, old, state)]
