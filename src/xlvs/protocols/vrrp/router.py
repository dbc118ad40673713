# SPDX-License-Identifier: Apache-2.0
"""All instances of a host: who gets a packet, what tracking says, sync groups, reload.

Sans-IO: links, addresses, packets, results and ``now`` come in; ``take_effects`` gives what
is to be done, ``deadline`` when ``tick`` is due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface

from xlvs.model.service import Address, Family
from xlvs.model.tracking import Tracked
from xlvs.model.vrrp import Group, Instance
from xlvs.protocols.vrrp.effects import Effect, Level, Say, SendAdvert, State
from xlvs.protocols.vrrp.group import SyncGroup
from xlvs.protocols.vrrp.machine import Machine, Received
from xlvs.protocols.vrrp.neighbours import virtual_mac
from xlvs.protocols.vrrp.packet import STOP, Reason, Rejected, parse
from xlvs.protocols.vrrp.receiving import Checks
from xlvs.protocols.vrrp.sending import Sender, group
from xlvs.protocols.vrrp.strict import violations
from xlvs.protocols.vrrp.track import Kind, Watch, effective, judge

_QUIET = 60.0
"""Seconds in which the same complaint about received packets is not repeated."""

_SAME = ("interface", "router_id", "family", "version")
"""Fields that make it another virtual router when they change."""


_NONE_FURTHER: Mapping[str, tuple[Watch, ...]] = {}


@dataclass(frozen=True, slots=True)
class Packet:
    """A datagram of protocol 112 that came in by ``interface``."""

    interface: str
    source: Address
    destination: Address
    hop_limit: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Weight:
    """What a tracked thing's own configuration says; a reference may say otherwise."""

    weight: int = 0
    reverse: bool = False


class _Member:
    """An instance with all that belongs to it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.violations: tuple[str, ...] = ()
        self.twin = ""
        self.watches: tuple[Watch, ...] = ()
        self.start_at: float | None = None
        self.complained: dict[Reason | None, float] = {}
        self.sender: Sender
        self.checks: Checks
        self.configure(machine.instance)

    def configure(self, instance: Instance) -> None:
        self.violations = violations(instance)
        if not self.violations:
            self.sender = Sender(instance)
            self.checks = Checks(instance)

    @property
    def instance(self) -> Instance:
        return self.machine.instance


class Router:
    """See the module. ``wall``: seconds since the epoch, for ``auth_hmac``."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._members: dict[str, _Member] = {}
        self._machines: dict[str, Machine] = {}
        self._index: dict[tuple[str, Family, int], list[_Member]] = {}
        self._groups: dict[str, SyncGroup] = {}
        self._group_wants: tuple[Group, ...] = ()
        self._weights: Mapping[tuple[Kind, str], Weight] = {}
        self._results: dict[tuple[Kind, str], int] = {}
        self._links: dict[str, bool] = {}
        self._addresses: dict[str, tuple[Address, ...]] = {}
        self._virtual: frozenset[Address] = frozenset()
        self._primaries: dict[tuple[str, bool, bool], Address | None] = {}
        self._effects: list[Effect] = []
        self._settled = 0  # so many effects the sync groups have seen
        self._held_until: float | None = None
        self._hold_after_fault = 0.0
        self.strangers = 0
        """Packets of virtual routers that are not ours, and what was no VRRP."""

    # ---- configuration

    def configure(
        self,
        instances: Sequence[Instance],
        groups: Sequence[Group],
        weights: Mapping[tuple[Kind, str], Weight],
        now: float,
        further: Mapping[str, tuple[Watch, ...]] = _NONE_FURTHER,
    ) -> None:
        """Reconcile: what did not change does not notice.

        ``further``: what single instances watch besides what they say themselves.
        """
        self.retire(instances, now)
        wanted = {instance.name: instance for instance in instances}
        self._weights = weights
        self._group_wants = tuple(groups)
        self._virtual = frozenset(
            one.address.ip
            for instance in instances
            for one in (*instance.addresses, *instance.excluded)
        )
        grouped = {name for group_ in groups for name in group_.instances}
        fresh = []
        for name, instance in wanted.items():
            member = self._members.get(name)
            if member is None:
                member = self._members[name] = _Member(Machine(instance))
                member.start_at = now + instance.start_delay
                member.machine.hold(self._held_until, now)
                member.machine.hold_after_fault = self._hold_after_fault
                fresh.append(member)
            elif member.instance != instance:
                member.machine.reconfigure(instance, now)
                member.configure(instance)
            member.machine.grouped = name in grouped
        self._machines = {name: member.machine for name, member in self._members.items()}
        self._refuse_twins()
        self._rebuild_groups()
        self._primaries.clear()
        self._index = {}
        for member in self._members.values():
            one = member.instance
            if not member.violations and not member.twin:
                place = one.interface, one.family, one.router_id
                self._index.setdefault(place, []).append(member)
            name = member.instance.name
            member.watches = self._watches(member.instance) + further.get(name, ())
        self._judge_all(now)
        for member in fresh:
            for sentence in member.violations:
                self._say(member, f"cannot run: {sentence}", Level.WARNING)
        self._start_due(now)
        self._settle(now)

    def retire(self, instances: Sequence[Instance], now: float) -> None:
        """End what will be no more, or another virtual router under its old name.

        ``configure`` does so, too; who asks for it before can still tell which interface
        the last advert belongs to.
        """
        wanted = {instance.name: instance for instance in instances}
        for name in [name for name in self._members if not self._stays(name, wanted)]:
            self._remove(name, now)

    def _refuse_twins(self) -> None:
        """Nobody could say whose an advert is: the later of two with the same place cannot run."""
        seen: dict[tuple[object, ...], str] = {}
        for name, member in self._members.items():
            one = member.instance
            member.twin = ""
            for peer in one.unicast_peers or (group(one),):
                place = one.interface, one.family, one.router_id, peer
                first = seen.setdefault(place, name)
                if first != name:
                    member.twin = (
                        f"virtual_router_id {one.router_id} on {one.interface} is {first}'s"
                    )

    def _stays(self, name: str, wanted: Mapping[str, Instance]) -> bool:
        new = wanted.get(name)
        old = self._members[name].instance
        return (
            new is not None
            and all(getattr(old, key) == getattr(new, key) for key in _SAME)
            and bool(old.unicast_peers) == bool(new.unicast_peers)
        )

    def _remove(self, name: str, now: float) -> None:
        member = self._members[name]
        member.machine.shutdown(now)
        self._collect(member)
        del self._members[name]

    def _rebuild_groups(self) -> None:
        before, self._groups = self._groups, {}
        for want in self._group_wants:
            machines = [
                self._members[name].machine for name in want.instances if name in self._members
            ]
            made = self._groups[want.name] = SyncGroup(want.name, machines)
            if want.name in before:
                made.state = before[want.name].state

    def _watches(self, instance: Instance) -> tuple[Watch, ...]:
        groups = [one for one in self._group_wants if instance.name in one.instances]
        # In a group, weights of single members would tear it apart (keepalived: all 0).
        plain = all(one.tracking_has_weight for one in groups)
        watches = list(self._watches_of(instance, weighted=plain))
        for one in groups:
            watches += self._watches_of(one, weighted=True)
        if instance.track_primary_interface:
            primary = Watch(Kind.INTERFACE, instance.interface)
            if not any((w.kind, w.name) == (primary.kind, primary.name) for w in watches):
                watches.append(primary)
        if device := vmac_name(instance):
            watches.append(Watch(Kind.INTERFACE, device))
        return tuple(watches)

    def _watches_of(self, of: Instance | Group, *, weighted: bool) -> Iterable[Watch]:
        tracked: tuple[tuple[Kind, tuple[Tracked, ...]], ...] = (
            (Kind.INTERFACE, of.track_interfaces),
            (Kind.SCRIPT, of.track_scripts),
            (Kind.FILE, of.track_files),
            (Kind.PROCESS, of.track_processes),
            (Kind.BFD, of.track_bfd),
        )
        for kind, references in tracked:
            for reference in references:
                own = self._weights.get((kind, reference.name), Weight())
                weight = own.weight if reference.weight is None else reference.weight
                yield Watch(
                    kind,
                    reference.name,
                    weight if weighted else 0,
                    reference.reverse or (reference.weight is None and own.reverse),
                )

    # ---- events

    def link(self, name: str, *, up: bool, now: float) -> None:
        """An interface went up or down; one that is not there is down."""
        if self._links.get(name) == up:
            return
        self._links[name] = up
        self._results[Kind.INTERFACE, name] = int(up)
        self._judge_all(now)
        self._settle(now)

    def addresses(self, interface: str, present: Sequence[Address], now: float) -> None:
        """All addresses of an interface, primary ones first."""
        if self._addresses.get(interface) == tuple(present):
            return
        self._addresses[interface] = tuple(present)
        self._primaries = {key: one for key, one in self._primaries.items() if key[0] != interface}
        self._judge_all(now)
        self._settle(now)

    def address_gone(self, device: str, address: IPv4Interface | IPv6Interface, now: float) -> None:
        """An address of an interface was removed, by whomever."""
        for member in self._members.values():
            instance = member.instance
            for one in (*instance.addresses, *instance.excluded):
                if one.no_track or one.address != address:
                    continue
                if self._device(instance, one.device) == device:
                    member.machine.address_gone(device, address, now)
        self._settle(now)

    def claimed(self, interface: str, address: Address, mac: bytes, now: float) -> None:
        """Somebody on an interface says that an address is at this MAC address."""
        for member in self._members.values():
            instance = member.instance
            if mac == virtual_mac(instance.router_id, v6=False):
                continue
            for one in (*instance.addresses, *instance.excluded):
                if one.address.ip == address and interface in (one.device, instance.interface):
                    member.machine.claimed(address, mac.hex(":"), now)
                    break
        self._settle(now)

    def result(self, kind: Kind, name: str, value: int, now: float) -> None:
        """What is believed of a tracked thing: 1 up, 0 down; of a file its number."""
        if self._results.get((kind, name)) == value:
            return
        self._results[kind, name] = value
        self._judge_all(now)
        self._settle(now)

    def packet(self, packet: Packet, now: float) -> None:
        """A packet of protocol 112."""
        member = self._receiver(packet)
        if member is None:
            self.strangers += 1
            return
        try:
            self._receive(member, packet, now)
        except Rejected as rejected:
            counts = member.machine.statistics.rejected
            counts[rejected.reason] = counts.get(rejected.reason, 0) + 1
            if rejected.reason is not Reason.OWN:
                self._complain(member, rejected.reason, f"ignored {packet.source}: {rejected}", now)
        self._collect(member)
        self._settle(now)

    def hold(self, until: float | None, now: float) -> None:
        """No preemption before ``until``; None: connections are in sync."""
        self._held_until = until
        for member in self._members.values():
            member.machine.hold(until, now)
        self._settle(now)

    def hold_after_faults(self, seconds: float) -> None:
        """How long a link that returns is to mean ``hold``; 0: not at all."""
        self._hold_after_fault = seconds
        for member in self._members.values():
            member.machine.hold_after_fault = seconds

    def tick(self, now: float) -> None:
        """The deadline has come."""
        self._start_due(now)
        for member in self._members.values():
            deadline = member.machine.deadline
            if deadline is not None and deadline <= now:
                member.machine.tick(now)
        self._settle(now)

    def shutdown(self, now: float) -> None:
        """All end: masters say so and give their addresses away."""
        for member in self._members.values():
            member.machine.shutdown(now)
            member.start_at = None
            self._collect(member)

    # ---- what comes out

    def take_effects(self) -> list[Effect]:
        """What is to be done, once, in this order."""
        effects, self._effects = self._effects, []
        self._settled = 0
        return effects

    @property
    def deadline(self) -> float | None:
        """When to call ``tick``."""
        times = [member.machine.deadline for member in self._members.values()]
        times += [member.start_at for member in self._members.values()]
        return min((time for time in times if time is not None), default=None)

    @property
    def machines(self) -> Mapping[str, Machine]:
        """The instances by name."""
        return self._machines

    @property
    def groups(self) -> Mapping[str, SyncGroup]:
        """The sync groups by name."""
        return self._groups

    def source(self, instance: Instance) -> Address | None:
        """What an instance's adverts come from; None: its interface has no such address."""
        if instance.source is not None:
            present = self._addresses.get(instance.interface, ())
            return (
                instance.source if instance.source in present or not instance.track_source else None
            )
        return self._primary(instance)

    # ---- within

    def _receive(self, member: _Member, packet: Packet, now: float) -> None:
        machine, instance = member.machine, member.instance
        own = self.source(instance)
        if own is None or machine.state is State.INIT:
            return
        if packet.source == own:
            raise Rejected(Reason.OWN, "our own advert")
        member.checks.before(packet.source, packet.hop_limit)
        advert = parse(packet.payload, packet.source, packet.destination)
        remark = member.checks.check(
            advert, packet.source, self._wall(), same_master=packet.source == machine.master
        )
        member.sender.heard(advert.form)
        if remark:
            self._complain(member, None, f"{packet.source} has {remark}", now)
        machine.received(Received(advert, packet.source, own), now)

    def _receiver(self, packet: Packet) -> _Member | None:
        if len(packet.payload) < 2:  # noqa: PLR2004  # the router id is the second byte
            return None
        router_id = packet.payload[1]
        family = Family.INET6 if isinstance(packet.source, IPv6Address) else Family.INET
        found = None
        for member in self._index.get((packet.interface, family, router_id), ()):
            instance = member.instance
            if not instance.unicast_peers:
                if packet.destination == group(instance):
                    return member
            elif not packet.destination.is_multicast:
                # Several may share the id when their peers differ.
                if packet.source in instance.unicast_peers:
                    return member
                found = found or member
        return found

    def _primary(self, instance: Instance) -> Address | None:
        v6 = instance.family is Family.INET6
        local = v6 and not any(not peer.is_link_local for peer in instance.unicast_peers)
        key = instance.interface, v6, local
        # With a thousand virtual addresses on an interface this is no question for every advert.
        if key not in self._primaries:
            self._primaries[key] = self._find_primary(*key)
        return self._primaries[key]

    def _find_primary(self, interface: str, v6: bool, local: bool) -> Address | None:  # noqa: FBT001
        fit = [
            address
            for address in self._addresses.get(interface, ())
            if isinstance(address, IPv6Address) == v6 and (address.is_link_local == local or not v6)
        ]
        # An owner's virtual addresses are its real ones: then there is no other.
        return next((one for one in fit if one not in self._virtual), fit[0] if fit else None)

    def _judge_all(self, now: float) -> None:
        own: dict[str, tuple[str, ...]] = {}
        for name, member in self._members.items():
            verdict = judge(member.watches, self._results)
            own[name] = tuple(self._causes(member) + verdict.faults)
            priority = effective(member.instance.priority, verdict.adjustment)
            member.machine.set_priority(priority, now)
        for name, member in self._members.items():
            causes = list(own[name])
            for one in self._group_wants:
                if name in one.instances:
                    causes += [
                        f"{other} of its sync group has a fault"
                        for other in one.instances
                        if other != name and own.get(other)
                    ]
            member.machine.set_faults(tuple(causes), now)
            self._collect(member)

    def _causes(self, member: _Member) -> list[str]:
        instance = member.instance
        if member.violations:
            return list(member.violations)
        if member.twin:
            return [member.twin]
        if instance.unicast_fault_no_peers and not instance.unicast_peers:
            return ["no unicast_peer"]
        if self.source(instance) is None:
            kind = "IPv6" if instance.family is Family.INET6 else "IPv4"
            wanted = str(instance.source or f"{kind} address")
            return [f"no {wanted} on {instance.interface}"]
        return []

    def _start_due(self, now: float) -> None:
        for member in self._members.values():
            if member.start_at is not None and member.start_at <= now:
                member.start_at = None
                member.machine.startup(now)
                self._collect(member)

    def _settle(self, now: float) -> None:
        """Collect effects, and let the sync groups bring their members together."""
        self._collect_all()
        if not self._groups:
            return
        happened = self._effects[self._settled :]
        for group_ in self._groups.values():
            changed = group_.settle(happened, now)
            self._collect_all()
            self._effects += changed
        self._settled = len(self._effects)

    def _collect_all(self) -> None:
        for member in self._members.values():
            self._collect(member)

    def _collect(self, member: _Member) -> None:
        for effect in member.machine.take_effects():
            if isinstance(effect, SendAdvert):
                self._send(member, effect.priority)
            else:
                self._effects.append(effect)

    def _send(self, member: _Member, priority: int) -> None:
        source = self.source(member.instance)
        if source is None:
            return
        statistics = member.machine.statistics
        statistics.adverts_sent += 1
        if priority == STOP:
            statistics.zero_priority_sent += 1
        self._effects += member.sender.datagrams(priority, source, self._wall())

    def _complain(self, member: _Member, kind: Reason | None, sentence: str, now: float) -> None:
        last = member.complained.get(kind)
        if last is None or now - last >= _QUIET:
            member.complained[kind] = now
            self._say(member, sentence, Level.WARNING)

    def _say(self, member: _Member, sentence: str, level: Level) -> None:
        self._effects.append(Say(member.instance.name, level, sentence))

    @staticmethod
    def _device(instance: Instance, named: str) -> str:
        """Where an address lies; a VMAC's device is the caller's translation of ""."""
        return named or vmac_name(instance) or instance.interface


def vmac_name(instance: Instance) -> str | None:
    """The macvlan device that holds the addresses; None: there is none."""
    if instance.use_vmac is None:
        return None
    # keepalived's own default carries the family, too: IPv4 and IPv6 may share an id.
    suffix = "6" if instance.family is Family.INET6 else ""
    return instance.use_vmac or f"vrrp{suffix}.{instance.router_id}"
