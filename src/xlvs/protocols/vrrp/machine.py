# SPDX-License-Identifier: Apache-2.0
"""One virtual router: states, events and what follows (RFC 9568 6.4, RFC 3768 6.4).

``Machine.table`` says for every state and event what happens; an event that a state does not care
for is there as ``_nothing``. Nothing here reads a clock: every event brings ``now``, and
``deadline`` is when ``tick`` wants to be called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Interface, IPv6Interface
from typing import ClassVar

from xlvs.model.service import Address
from xlvs.model.vrrp import Instance
from xlvs.protocols.vrrp.effects import (
    Announce,
    Changed,
    Effect,
    Level,
    PriorityChanged,
    Release,
    Restore,
    Rival,
    Say,
    SendAdvert,
    State,
    Take,
)
from xlvs.protocols.vrrp.packet import OWNER, STOP, Advert
from xlvs.protocols.vrrp.timing import master_down, skew

_V2 = 2
_RESTORE_PAUSE = 1.0  # seconds between two times that a stubborn third party is contradicted
_LAST_WORD = 1.5  # intervals in which a preempted master is not yet a second one
_CLAIM_GRACE = 2.0
_CLAIM_QUIET = 10.0  # RFC 5227 2.4: who defends an address does so this seldom
_EARLY = 1e-6  # a timer may be this early: clocks of event loops are coarse


class Event(StrEnum):
    """What can happen to an instance."""

    STARTUP = "startup"
    SHUTDOWN = "shutdown"
    TIMER = "timer"  # the master-down timer of a backup, the advert timer of a master
    ADVERT = "advert"
    FAULT = "fault"  # the first cause of a fault
    RECOVERY = "recovery"  # the last cause has gone
    LEAD = "lead"  # its sync group becomes master
    FOLLOW = "follow"  # another member of its sync group became backup


@dataclass(slots=True)
class Statistics:
    """Counters of an instance since it exists."""

    adverts_sent: int = 0
    adverts_received: int = 0
    zero_priority_sent: int = 0
    zero_priority_received: int = 0
    became_master: int = 0
    left_master: int = 0
    rivals_lower: int = 0
    """Adverts of lower priority that a master heard."""
    rivals_higher: int = 0
    restored: int = 0
    conflicts: int = 0
    """ARP of others for an address that this master holds."""
    rejected: dict[str, int] = field(default_factory=dict)


SETTLE = 2.0
"""Seconds more of silence, after a fault, before a director that is to hold takes over."""


@dataclass(frozen=True, slots=True)
class Received:
    """An advert that passed all checks, its sender, and how the tie with it is broken."""

    advert: Advert
    source: Address
    own: Address


Step = Callable[["Machine", float, Received | None], None]


class Machine:
    """See the module. ``grouped``: its sync group decides when it becomes master."""

    def __init__(self, instance: Instance, *, grouped: bool = False) -> None:
        self.instance = instance
        self.grouped = grouped
        self.state = State.INIT
        self.priority = instance.priority
        self.statistics = Statistics()
        self.ready = False
        """Of a grouped backup: it has waited long enough and would be master."""
        self.master: Address | None = None
        """Whose adverts a backup follows."""
        self.master_priority = 0
        self.master_interval = instance.advert_interval
        self.rival: Address | None = None
        """Who else believes to be master, while this one is."""
        self.faults: tuple[str, ...] = ()
        self.hold_after_fault = 0.0
        """Seconds for which a link that returns means ``hold``."""
        self.changed_at = 0.0
        self._effects: list[Effect] = []
        self._timer: float | None = None
        self._preempt_at: float | None = None
        self._held_until: float | None = None
        self._announcements: dict[int, float] = {}
        self._refresh_at: float | None = None
        self._rival_until: float | None = None
        self._missing: dict[tuple[str, IPv4Interface | IPv6Interface], None] = {}
        self._restore_at: float | None = None
        self._restored_at = float("-inf")
        self._claim_quiet_until = float("-inf")

    # ---- what comes in

    def startup(self, now: float) -> None:
        """Begin."""
        self._do(Event.STARTUP, now)

    def shutdown(self, now: float) -> None:
        """End; a master says so by priority 0."""
        self._do(Event.SHUTDOWN, now)

    def received(self, packet: Received, now: float) -> None:
        """An advert that passed all checks."""
        self.statistics.adverts_received += 1
        if packet.advert.priority == STOP:
            self.statistics.zero_priority_received += 1
        self._do(Event.ADVERT, now, packet)

    def set_faults(self, causes: tuple[str, ...], now: float) -> None:
        """All reasons why this instance cannot take part, in words."""
        before, self.faults = self.faults, causes
        if causes and not before:
            self._do(Event.FAULT, now)
        elif before and not causes:
            self._do(Event.RECOVERY, now)

    def set_priority(self, priority: int, now: float) -> None:
        """The effective priority changed. A waiting backup waits for the new skew."""
        if priority == self.priority:
            return
        before = self._master_down() if self.state is State.BACKUP else 0.0
        self.priority = priority
        if self.state is State.BACKUP and self._timer is not None:
            self._timer += self._master_down() - before
        self._emit(PriorityChanged(self.instance.name, priority, self.state))
        self._say(f"effective priority is now {priority}")
        del now

    def hold(self, until: float | None, now: float) -> None:
        """No preemption before ``until``: the connections are not yet here. None: go ahead.

        Only preemption: when there is no master any more, this one takes over at once.
        """
        was = self._holds(now)
        self._held_until = until
        if was and not self._holds(now) and self.state is State.BACKUP:
            self._say("connections are in sync: may preempt")

    def lead(self, now: float) -> None:
        """All of the sync group become master."""
        self._do(Event.LEAD, now)

    def follow(self, now: float) -> None:
        """Another member of the sync group became backup."""
        self._do(Event.FOLLOW, now)

    def address_gone(self, device: str, address: IPv4Interface | IPv6Interface, now: float) -> None:
        """Somebody removed one of the addresses. A master puts it back."""
        if self.state is not State.MASTER:
            return
        self._missing[device, address] = None
        if self._restore_at is None:
            self._restore_at = max(now, self._restored_at + _RESTORE_PAUSE)
            self._due(now)

    def claimed(self, address: Address, who: str, now: float) -> None:
        """Somebody else said by ARP that one of the addresses is his."""
        # Whom this one has just replaced may have said so a moment ago.
        if self.state is not State.MASTER or now - self.changed_at < _CLAIM_GRACE:
            return
        self.statistics.conflicts += 1
        if now < self._claim_quiet_until:
            return
        self._claim_quiet_until = now + _CLAIM_QUIET
        self._say(
            f"{who} says that {address} is his, and this master holds it: a second master whose"
            " adverts do not come through, or another host with this address",
            Level.WARNING,
        )
        self._burst(1)

    def reconfigure(self, instance: Instance, now: float) -> None:
        """The same instance with other words, of those that need no new election."""
        before, self.instance = self.instance, instance
        if before.advert_interval != instance.advert_interval and self.state is not State.BACKUP:
            self.master_interval = instance.advert_interval
        if self.state is State.MASTER and self._timer is not None:
            # Never later than the peers expect by what they know.
            self._timer = min(self._timer, now + instance.advert_interval)

    def tick(self, now: float) -> None:
        """The deadline has come."""
        if self._timer is not None and self._timer <= now + _EARLY:
            self._do(Event.TIMER, now)
        self._due(now)

    # ---- what comes out

    def take_effects(self) -> list[Effect]:
        """What is to be done, once."""
        effects, self._effects = self._effects, []
        return effects

    @property
    def deadline(self) -> float | None:
        """When to call ``tick``."""
        times = [self._timer, self._refresh_at, self._rival_until, self._restore_at]
        times += self._announcements.values()
        return min((time for time in times if time is not None), default=None)

    # ---- transitions

    def _do(self, event: Event, now: float, packet: Received | None = None) -> None:
        self.table[self.state, event](self, now, packet)

    def _nothing(self, now: float, packet: Received | None) -> None:
        pass

    def _start(self, now: float, _: Received | None) -> None:
        if self.faults:
            self._enter(State.FAULT, now, "; ".join(self.faults))
            return
        self.master_interval = self.instance.advert_interval
        if self._owner() and not self._holds(now):
            if self.grouped:
                self._to_backup(now, "started")
                self.ready = True
            else:
                self._to_master(now, "owner of the addresses")
            return
        returns = self.state is State.FAULT
        if returns and self.hold_after_fault:
            # What peers did meanwhile is not known here, and nobody can say so sooner.
            self._held_until = max(self._held_until or now, now + self.hold_after_fault)
        self._to_backup(now, "started")
        if returns and self._holds(now) and self._timer is not None:
            # A link that has just come back may not pass frames yet. Who would have to learn
            # connections from a master gives that one time to be heard.
            self._timer += SETTLE

    def _to_backup(self, now: float, cause: str) -> None:
        self._enter(State.BACKUP, now, cause)
        self._timer = now + self._master_down()
        self._preempt_at = None
        if self.instance.preempt_delay:
            self._preempt_at = now + self.instance.preempt_delay

    def _to_master(self, now: float, cause: str) -> None:
        self._emit(SendAdvert(self.instance.name, self.priority))
        self.statistics.became_master += 1
        self._enter(State.MASTER, now, cause)
        self._emit(Take(self.instance.name))
        self._timer = now + self.instance.advert_interval
        garp = self.instance.garp
        self._burst(garp.repeat)
        if garp.delay:
            self._announcements[garp.repeat] = now + garp.delay
        if garp.refresh:
            self._refresh_at = now + garp.refresh

    def _master_down_expired(self, now: float, _: Received | None) -> None:
        if self.grouped:
            self.ready = True
            self._timer = now + self._master_down()
            return
        self._to_master(now, self._silence())

    def _group_leads(self, now: float, _: Received | None) -> None:
        self._to_master(now, "its sync group takes over")

    def _group_follows(self, now: float, _: Received | None) -> None:
        self._step_down(now, "its sync group is backup")

    def _ready_no_more(self, _now: float, _: Received | None) -> None:
        self.ready = False

    def _advert_due(self, now: float, _: Received | None) -> None:
        self._emit(SendAdvert(self.instance.name, self.priority))
        # From when it was due, not from now: lateness must not add up.
        due = self._timer if self._timer is not None else now
        self._timer = max(due + self.instance.advert_interval, now)
        if self._timer < now + self.instance.advert_interval / 2:
            self._timer = now + self.instance.advert_interval

    def _backup_hears(self, now: float, packet: Received | None) -> None:
        if packet is None:
            return
        advert = packet.advert
        if advert.priority == STOP:
            self._timer = now + skew(self.instance.version, self.priority, self.master_interval)
            self._say(f"{packet.source} stops being master")
            return
        lower = advert.priority < self.priority
        if lower and self._preempts(now):
            return  # the timer goes on: nobody is heard whom it would wait for
        if not lower:
            self._preempt_at = None
        if packet.source != self.master:
            self._say(f"{packet.source} is master, priority {advert.priority}")
        self.master, self.master_priority = packet.source, advert.priority
        self._learn(advert)
        self._timer = now + self._master_down()
        self.ready = False

    def _preempts(self, now: float) -> bool:
        if not self.instance.preempt and not self._owner():
            return False
        if self._holds(now):
            return False
        delay = self.instance.preempt_delay
        if not delay:
            return True
        if self._preempt_at is None:
            self._preempt_at = now + delay
        return now >= self._preempt_at - _EARLY

    def _master_hears(self, now: float, packet: Received | None) -> None:
        if packet is None:
            return
        advert = packet.advert
        if advert.priority == STOP:
            self._assert_mastership(now)
            return
        higher = advert.priority > self.priority or (
            advert.priority == self.priority and int(packet.source) > int(packet.own)
        )
        if not higher:
            self._note_rival(packet, now)
            self._emit(Rival(self.instance.name, packet.source, advert.priority))
            if not self.instance.lower_priority_no_advert:
                self._assert_mastership(now)
            # Its announcements may have been the last that switches and neighbours saw.
            garp = self.instance.garp
            self._burst(garp.lower_priority_repeat)
            if garp.lower_priority_delay and garp.lower_priority_repeat:
                self._announcements.setdefault(
                    -garp.lower_priority_repeat, now + garp.lower_priority_delay
                )
            return
        self.statistics.rivals_higher += 1
        if self._tells_the_better_one():
            self._emit(SendAdvert(self.instance.name, self.priority))
        self._learn(advert)
        self._step_down(now, f"{packet.source} is master, priority {advert.priority}", stop=False)
        self.master, self.master_priority = packet.source, advert.priority

    def _tells_the_better_one(self) -> bool:
        wanted = self.instance.higher_priority_send_advert
        return not self.instance.strict if wanted is None else wanted

    def _assert_mastership(self, now: float) -> None:
        self._emit(SendAdvert(self.instance.name, self.priority))
        self._timer = now + self.instance.advert_interval

    def _step_down(self, now: float, cause: str, *, stop: bool = True) -> None:
        if stop:
            self._emit(SendAdvert(self.instance.name, STOP))
        self._leave()
        self._to_backup(now, cause)

    def _leave(self) -> None:
        self._emit(Release(self.instance.name))
        self.statistics.left_master += 1
        self._announcements.clear()
        self._refresh_at = self._rival_until = self._restore_at = None
        self._missing.clear()
        self.rival = None

    def _fault(self, now: float, _: Received | None) -> None:
        if self.state is State.MASTER:
            self._emit(SendAdvert(self.instance.name, STOP))
            self._leave()
        self._timer = None
        self._enter(State.FAULT, now, "; ".join(self.faults))

    def _stop(self, now: float, _: Received | None) -> None:
        if self.state is State.MASTER:
            self._emit(SendAdvert(self.instance.name, STOP))
            self._leave()
        self._timer = None
        self._enter(State.INIT, now, "stopped")

    def _enter(self, state: State, now: float, cause: str) -> None:
        old, self.state = self.state, state
        self.ready = False
        self.changed_at = now
        if state is not State.BACKUP:
            self.master, self.master_priority = None, 0
        self._emit(Changed(self.instance.name, old, state, self.priority, cause))

    # ---- parts of them

    def _note_rival(self, packet: Received, now: float) -> None:
        self.statistics.rivals_lower += 1
        advert = packet.advert
        # Whom this one has just preempted may have sent one more advert, and does not repeat it.
        if now - self.changed_at < _LAST_WORD * advert.interval:
            return
        if self.rival != packet.source:
            self.rival = packet.source
            self._say(
                f"split brain: {packet.source} with priority {advert.priority} believes to be"
                f" master beside this one with {self.priority}, which stays master",
                Level.WARNING,
            )
        self._rival_until = now + self._master_down_of(advert.interval)

    def _due(self, now: float) -> None:
        if self._rival_until is not None and self._rival_until <= now + _EARLY:
            self._rival_until = None
            self._say(f"split brain is over: {self.rival} is silent")
            self.rival = None
            self._burst(self.instance.garp.lower_priority_repeat)
        for repeat, when in list(self._announcements.items()):
            if when <= now + _EARLY:
                del self._announcements[repeat]
                self._burst(abs(repeat))
        if self._refresh_at is not None and self._refresh_at <= now + _EARLY:
            self._refresh_at = now + self.instance.garp.refresh
            self._burst(self.instance.garp.refresh_repeat)
        if self._restore_at is not None and self._restore_at <= now + _EARLY:
            self._restore(now)

    def _restore(self, now: float) -> None:
        missing = tuple(self._missing)
        self._missing.clear()
        self._restore_at, self._restored_at = None, now
        self.statistics.restored += len(missing)
        words = ", ".join(str(address.ip) for _, address in missing)
        self._say(f"somebody removed {words}: put back", Level.WARNING)
        self._emit(Restore(self.instance.name, missing))
        self._burst(1)

    def _burst(self, repeat: int) -> None:
        if repeat:
            self._emit(Announce(self.instance.name, repeat))

    def _learn(self, advert: Advert) -> None:
        if self.instance.version != _V2:
            self.master_interval = advert.interval

    def _master_down(self) -> float:
        return self._master_down_of(self.master_interval)

    def _master_down_of(self, interval: float) -> float:
        instance = self.instance
        return master_down(instance.version, self.priority, interval, instance.down_timer_adverts)

    def _silence(self) -> str:
        if self.master is None:
            return "no master was heard"
        return f"{self.master} was not heard for {self._master_down():.3g} s"

    def _owner(self) -> bool:
        return self.priority == OWNER

    def _holds(self, now: float) -> bool:
        return self._held_until is not None and now < self._held_until

    def _emit(self, effect: Effect) -> None:
        self._effects.append(effect)

    def _say(self, sentence: str, level: Level = Level.INFO) -> None:
        self._emit(Say(self.instance.name, level, sentence))

    table: ClassVar[Mapping[tuple[State, Event], Step]] = {
        (State.INIT, Event.STARTUP): _start,
        (State.INIT, Event.SHUTDOWN): _nothing,
        (State.INIT, Event.TIMER): _nothing,
        (State.INIT, Event.ADVERT): _nothing,
        (State.INIT, Event.FAULT): _nothing,
        (State.INIT, Event.RECOVERY): _nothing,
        (State.INIT, Event.LEAD): _nothing,
        (State.INIT, Event.FOLLOW): _nothing,
        (State.BACKUP, Event.STARTUP): _nothing,
        (State.BACKUP, Event.SHUTDOWN): _stop,
        (State.BACKUP, Event.TIMER): _master_down_expired,
        (State.BACKUP, Event.ADVERT): _backup_hears,
        (State.BACKUP, Event.FAULT): _fault,
        (State.BACKUP, Event.RECOVERY): _nothing,
        (State.BACKUP, Event.LEAD): _group_leads,
        (State.BACKUP, Event.FOLLOW): _ready_no_more,
        (State.MASTER, Event.STARTUP): _nothing,
        (State.MASTER, Event.SHUTDOWN): _stop,
        (State.MASTER, Event.TIMER): _advert_due,
        (State.MASTER, Event.ADVERT): _master_hears,
        (State.MASTER, Event.FAULT): _fault,
        (State.MASTER, Event.RECOVERY): _nothing,
        (State.MASTER, Event.LEAD): _nothing,
        (State.MASTER, Event.FOLLOW): _group_follows,
        (State.FAULT, Event.STARTUP): _nothing,
        (State.FAULT, Event.SHUTDOWN): _stop,
        (State.FAULT, Event.TIMER): _nothing,
        (State.FAULT, Event.ADVERT): _nothing,
        (State.FAULT, Event.FAULT): _nothing,
        (State.FAULT, Event.RECOVERY): _start,
        (State.FAULT, Event.LEAD): _nothing,
        (State.FAULT, Event.FOLLOW): _nothing,
    }
    """The transition table."""
