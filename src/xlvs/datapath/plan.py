# SPDX-License-Identifier: Apache-2.0
"""From what the maps hold to what they should hold: writes, in an order that misroutes nobody.

Pure. Packets run between any two writes, so the order is part of correctness; each
step says which packet another order would misroute.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress, starmap
from operator import ne
from typing import NamedTuple

from xlvs.datapath import slots
from xlvs.datapath.records import (
    CURSOR_HEAD,
    SLOT_PAGE,
    Destination,
    DestinationFlag,
    PortBlock,
    Scheduler,
    Service,
    ServiceFlag,
    ServiceKey,
    Settings,
    State,
)
from xlvs.datapath.slots import Moment
from xlvs.datapath.space import NOWHERE, Space, page_of, slots_read
from xlvs.datapath.tables import EMPTY, Capacity, Have, Region, Servers, Tables
from xlvs.datapath.writes import (
    ByKind,
    ClearBlock,
    ClearDestination,
    ClearService,
    Commit,
    DropClients,
    DropInterface,
    DropKey,
    DropMarks,
    DropRealServer,
    PutAdmission,
    PutDestination,
    PutEgress,
    PutInterface,
    PutKey,
    PutPortBlock,
    PutRealServer,
    PutRoles,
    PutService,
    PutSettings,
    PutSlotPages,
    Write,
    WriteClients,
    WriteList,
    WriteMarks,
    WriteRow,
    WriteSlots,
)
from xlvs.model.copied import copied
from xlvs.schedulers import wrr

IPPROTO_TCP = 6
_AVAILABLE = int(DestinationFlag.AVAILABLE)
_USED = int(ServiceFlag.USED)
_ADMISSION_OTHER = int(ServiceFlag.ADMISSION_OTHER)


class Renewal(NamedTuple):
    """What ``history.Changes`` says, by id.

    ``weights``: wrr's numbers after each change, the last one being the wanted.
    ``forgetting``: services some of whose slots need not remember any longer.
    """

    weights: Mapping[int, Sequence[tuple[int, int]]] = EMPTY
    begun: frozenset[int] = frozenset()
    rebound: frozenset[int] = frozenset()
    deleted: frozenset[int] = frozenset()
    forgetting: frozenset[int] = frozenset()


NOTHING_RENEWED = Renewal()


class Shared(NamedTuple):
    """What services have in common, as far as it changes.

    ``roles``: bytes of ``addresses`` by their place, as they are and as they will be.
    ``answering``, ``will_answer``: NAT servers by where their packets come from.
    ``space``: where no list of servers is.
    """

    roles: Sequence[tuple[int, int, int]]
    answering: Mapping[ServiceKey, int]
    will_answer: Mapping[ServiceKey, int]
    space: Space


def diff(
    have: Have,
    want: Tables,
    capacity: Capacity,
    renewal: Renewal = NOTHING_RENEWED,
    shared: Shared | None = None,
) -> tuple[Write, ...]:
    """The writes that lead from ``have`` to ``want``; none if they are equal.

    ``shared`` says of a part what it has in common with the rest; without it ``have``
    and ``want`` are everything. Raises Problem when the lists do not fit.
    """
    found = shared or _shared(have, want, capacity)
    plan = _Plan(have, want, capacity, renewal, found)
    writes = tuple(plan.writes())
    # All at once, because the kernel waits a moment for each time; and first, because this
    # is where memory may be short.
    pages = plan.pages - have.slot_pages
    return (PutSlotPages(tuple(sorted(pages))), *writes) if pages else writes


def _shared(have: Have, want: Tables, capacity: Capacity) -> Shared:
    there, wanted = have.roles, want.roles()
    places: Iterable[int] = ()
    if there != wanted:
        places = compress(range(len(wanted)), map(ne, there, wanted))
    return Shared(
        [(at, there[at], wanted[at]) for at in places],
        have.tables.real_servers(),
        want.real_servers(),
        lists_space(have, capacity),
    )


def lists_space(have: Have, capacity: Capacity) -> Space:
    """Where no packet looks for servers."""
    return Space(
        lambda: (region for both in have.regions.values() for region in both),
        capacity.service_destinations,
        "there is no room for the servers' lists",
    )


def after(have: Have, want: Tables, writes: Sequence[Write]) -> Have:
    """What the maps hold when all writes were done."""
    regions, slot_regions = copied(have.regions), copied(have.slot_regions)
    pasts, committed = copied(have.pasts), copied(have.committed)
    pages = have.slot_pages
    roles: bytearray | None = None
    written: dict[Region, slots.Pasts] = {NOWHERE: EMPTY}
    kinds = ByKind(writes)
    for slots_write in kinds.of(WriteSlots):
        written[slots_write.region] = slots_write.pasts
    for put in kinds.of(PutSlotPages):
        pages |= frozenset(put.numbers)
    for commit in kinds.of(Commit):
        current, _ = regions.get(commit.service, (NOWHERE, NOWHERE))
        regions[commit.service] = (commit.region, current)
        current, _ = slot_regions.get(commit.service, (NOWHERE, NOWHERE))
        slot_regions[commit.service] = (commit.slots, current)
        committed[commit.service] = have.now
        pasts[commit.service] = written.get(commit.slots, pasts.get(commit.service, EMPTY))
    for change in kinds.of(PutRoles):
        roles = roles or bytearray(have.roles)
        for at, role in change.slots:
            roles[at] = role
    return have._replace(
        tables=want,
        regions=regions,
        slot_regions=slot_regions,
        committed=committed,
        pasts={id_: found for id_, found in pasts.items() if found},
        roles=bytes(roles) if roles else have.roles,
        egress=_egress(want),
        slot_pages=pages,
    )


def forgetting(have: Have, want: Tables) -> frozenset[int]:
    """Services with slots that need not remember any longer what they do."""
    return frozenset(id_ for id_ in have.pasts if _forgets(id_, have, want))


def losing(have: Have, want: Tables) -> set[int]:
    """Destinations that may lose slots of stateless services."""
    found: set[int] = set()
    for id_, wanted in want.servers.items():
        there = have.tables.servers.get(id_, Servers())
        if want.stateless(id_) and there.owners != wanted.owners:
            found.update(there.owners)
    return found


def _forgets(id_: int, have: Have, want: Tables) -> bool:
    owners = want.servers[id_].owners if id_ in want.servers else ()
    if not want.stateless(id_) or not owners:
        return True
    now = _moment(id_, have, want)
    return any(slots.is_over(past, owners[slot], now) for slot, past in have.pasts[id_].items())


def _moment(id_: int, have: Have, want: Tables) -> Moment:
    """When a change of a service's slots from ``have`` to ``want`` happens."""
    tcp = want.services[id_].key.protocol == IPPROTO_TCP
    timeout = want.settings.timeout[State.ESTABLISHED if tcp else State.UDP]
    return Moment(have.now, timeout, want.destinations, have.busy, have.unseen)


def remap(old: Sequence[int], new: Sequence[int], deleted: frozenset[int]) -> tuple[int, ...]:
    """For each position of the old list, where a cursor there goes.

    It stays with its server; a removed server's goes to its predecessor that is
    left, or before the head (the kernel's ip_vs_rr_del_dest).
    """
    position = {id_: i for i, id_ in enumerate(new) if id_ not in deleted}
    found = []
    at = CURSOR_HEAD
    for id_ in old:
        at = position.get(id_, at)
        found.append(at)
    return tuple(found)


_COUNTS = (
    "services",
    "local_destinations",
    "zero_ports",
    "ftp_services",
    "sip_services",
    "syn_proxies",
    "marks",
)
"""Settings by which packets spare look-ups: one too few and something is not found."""


class _Plan:
    def __init__(
        self, have: Have, want: Tables, capacity: Capacity, renewal: Renewal, shared: Shared
    ) -> None:
        self._have = have
        self._there = have.tables
        self._want = want
        self._renewal = renewal
        self._shared = shared
        self._slot_space = Space(
            lambda: slots_read(have),
            capacity.hash_slots,
            "there is no room for the slots of more services with the schedulers mh and sh",
            page=SLOT_PAGE,
        )
        self.pages: set[int] = set()
        """Pages of slots that writes name."""
        # New to packets: the key is not there, or it was deleted in between.
        self._new = {
            id_
            for id_ in want.services
            if want.used(id_) and (not self._there.used(id_) or id_ in renewal.begun)
        }

    def writes(self) -> Iterator[Write]:
        # A packet between addresses without a role is not looked at any further.
        yield from _roles((at, old, old | new) for at, old, new in self._shared.roles)
        # A reply's next hop must find its interface.
        yield from self._interfaces_added()
        # A server on the director itself answers the first packet that it gets.
        yield from self._egress(on=True)
        # A counter of servers on the director itself that is too low would let their
        # replies leave untranslated; too high costs a look-up.
        yield from self._settings_early()
        # Before any client finds less: a service that goes is unknown first, so that
        # its clients meet the director's own stack, not a service without servers.
        yield from self._keys_dropped()
        # An id may serve somebody new now; before its first packet it counts nothing.
        yield from self._cleared()
        # A connection that gets a port must find the address to go with it.
        yield from self._port_blocks_assigned()
        # A server names its row of blocks only when that is whole.
        yield from self._port_rows_written()
        # A list must not name a server that is not described yet: its connections
        # would go to address zero, or to the id's last owner.
        yield from self._destinations(available=True)
        yield from self._real_servers(there=False)
        # Lists before who names them, and both before the service's flags say which is meant. A
        # destination that counts connections says so by now: they are counted at their end.
        yield from self._clients_written()
        yield from self._admissions()
        yield from self._services_before()
        # Cursor and list change in one step, each service by itself.
        yield from self._lists()
        # The scheduler after its cursor: wrr with rr's cursor would find no weight.
        yield from self._services_after()
        # Only now does a client find a new service: its list is complete.
        yield from self._keys_added()
        # After the lists: a server marked as removed that still is in a list would be
        # chosen for new connections, whose second packet is dropped.
        yield from self._destinations(available=False)
        yield from self._real_servers(there=True)
        yield from self._destinations_freed()
        yield from self._services_freed()
        yield from self._port_blocks_freed()
        yield from self._interfaces_dropped()
        # Marks lead to services: those that they lead to are there by now.
        yield from self._marks_written()
        if self._settings_now != self._want.settings:
            yield PutSettings(self._want.settings)
        # Packets that met this set until now look again.
        yield from self._marks_dropped()
        # As with marks: packets that met the service before its flags changed look again.
        yield from self._clients_dropped()
        # Nobody is left who could answer.
        yield from self._egress(on=False)
        # Last: until here packets of what goes were still ours.
        yield from _roles((at, old | new, new) for at, old, new in self._shared.roles)

    def _port_blocks_assigned(self) -> Iterator[Write]:
        for block, whose in self._new_blocks():
            yield PutPortBlock(block, whose)

    def _new_blocks(self) -> Iterator[tuple[int, PortBlock]]:
        there = self._there.port_blocks
        for block, whose in self._want.port_blocks.items():
            if there.get(block) != whose and self._unused(block):
                yield block, whose

    def _port_rows_written(self) -> Iterator[Write]:
        for place, blocks in self._want.port_rows.items():
            if self._there.port_rows.get(place) != blocks:
                yield WriteRow(place, blocks)

    def _port_blocks_freed(self) -> Iterator[Write]:
        for block in self._there.port_blocks.keys() - self._want.port_blocks.keys():
            if self._unused(block):
                yield PutPortBlock(block, PortBlock())

    def _unused(self, block: int) -> bool:
        """Going back after a failure, a block may have connections; they keep it."""
        return block not in self._have.busy_blocks

    def _interfaces_added(self) -> Iterator[Write]:
        for ifindex, interface in self._want.interfaces.items():
            if self._there.interfaces.get(ifindex) != interface:
                yield PutInterface(ifindex, interface)

    def _interfaces_dropped(self) -> Iterator[Write]:
        for ifindex in self._there.interfaces.keys() - self._want.interfaces.keys():
            yield DropInterface(ifindex)

    def _egress(self, *, on: bool) -> Iterator[Write]:
        if self._have.egress is not on and _egress(self._want) is on:
            yield PutEgress(on)

    @property
    def _settings_now(self) -> Settings:
        """The wanted settings, but no smaller counts than now."""
        there, want = self._there.settings, self._want.settings
        counts = {name: max(getattr(there, name), getattr(want, name)) for name in _COUNTS}
        return want._replace(**counts, mark_set=there.mark_set, mark_rules=there.mark_rules)

    def _settings_early(self) -> Iterator[Write]:
        if self._settings_now != self._there.settings:
            yield PutSettings(self._settings_now)

    def _marks_written(self) -> Iterator[Write]:
        if self._marks_change:
            want = self._want
            there = self._there.settings.mark_set
            yield WriteMarks(want.settings.mark_set, want.marks, keep=there)

    def _marks_dropped(self) -> Iterator[Write]:
        if self._marks_change:
            yield DropMarks(keep=self._want.settings.mark_set)

    @property
    def _marks_change(self) -> bool:
        return self._there.settings.mark_set != self._want.settings.mark_set

    def _clients_written(self) -> Iterator[Write]:
        for number, clients in self._want.client_lists.items():
            if number not in self._there.client_lists and clients is not None:
                yield WriteClients(number, clients)

    def _clients_dropped(self) -> Iterator[Write]:
        for number, clients in self._there.client_lists.items():
            if number not in self._want.client_lists:
                yield DropClients(number, clients)

    def _admissions(self) -> Iterator[Write]:
        for id_, admission in self._want.admissions.items():
            if self._there.admissions.get(id_) != admission:
                other = bool(self._want.services[id_].flags & _ADMISSION_OTHER)
                yield PutAdmission(2 * id_ + other, admission)

    def _keys_dropped(self) -> Iterator[Write]:
        for key in self._there.keys.keys() - self._want.keys.keys():
            id_ = self._there.keys[key]
            yield DropKey(key)
            # Packets that remember the id look whether it still is a service.
            yield PutService(id_, _hidden(self._there.services[id_]))

    def _keys_added(self) -> Iterator[Write]:
        added = [
            (key, id_) for key, id_ in self._want.keys.items() if self._there.keys.get(key) != id_
        ]
        # All of one kind, then all of the other: so they go to the maps in few calls.
        for _, id_ in added:
            yield PutService(id_, self._want.services[id_])
        yield from starmap(PutKey, added)

    def _cleared(self) -> Iterator[Write]:
        for id_ in self._new:
            yield ClearService(id_)
        for block, _ in self._new_blocks():
            yield ClearBlock(block)
        for id_, destination in self._want.destinations.items():
            known = self._there.destinations.get(id_)
            if known is None:
                yield ClearDestination(id_, load=True)
            elif destination.service in self._new and _available(destination.flags):
                # The kernel: counters go on only if the service is still the same.
                yield ClearDestination(id_, load=False)

    def _destinations(self, *, available: bool) -> Iterator[Write]:
        there, wanted = self._there.destinations, _AVAILABLE if available else 0
        for id_, destination in self._want.destinations.items():
            if destination.flags & _AVAILABLE == wanted and there.get(id_) != destination:
                yield PutDestination(id_, destination)

    def _real_servers(self, *, there: bool) -> Iterator[Write]:
        """Those that come, or those that are ``there`` and go."""
        before, wanted = self._shared.answering, self._shared.will_answer
        if there:
            for key in before.keys() - wanted.keys():
                yield DropRealServer(key)
        else:
            for key, id_ in wanted.items():
                if before.get(key) != id_:
                    yield PutRealServer(key, id_)

    def _destinations_freed(self) -> Iterator[Write]:
        for id_ in self._there.destinations.keys() - self._want.destinations.keys():
            yield PutDestination(id_, Destination())

    def _services_before(self) -> Iterator[Write]:
        for id_, service in self._want.services.items():
            there = self._there.services.get(id_)
            if there is None or (id_ in self._new and there != service):
                found = self._there.keys.get(service.key) == id_
                yield PutService(id_, service if found else _hidden(service))

    def _services_after(self) -> Iterator[Write]:
        for id_, service in self._want.services.items():
            if id_ in self._new or id_ not in self._there.services:
                continue
            if self._there.services[id_] != service:
                yield PutService(id_, service)

    def _services_freed(self) -> Iterator[Write]:
        for id_ in self._there.services.keys() - self._want.services.keys():
            yield PutService(id_, Service())

    def _lists(self) -> Iterator[Write]:
        writes = [
            write
            for id_ in self._there.servers.keys() | self._want.servers.keys()
            for write in self._list(id_)
        ]
        # No packet reads a list before its commit, so all of them may be written first.
        yield from (write for write in writes if isinstance(write, WriteList))
        yield from (write for write in writes if not isinstance(write, WriteList))

    def _list(self, id_: int) -> Iterator[Write]:
        old = self._there.servers.get(id_, Servers())
        new = self._want.servers.get(id_, Servers())
        scheduler = self._want.scheduler(id_)
        reset = (
            id_ in self._new
            or id_ in self._renewal.rebound
            or (self._want.used(id_) and scheduler != self._there.scheduler(id_))
        )
        steps = list(self._renewal.weights.get(id_, ()))
        forgets = id_ in self._renewal.forgetting or self._becomes_stateless(id_)
        if not (reset or steps or old != new or forgets):
            return
        last = (new.gcd, new.max_weight)
        if not steps or steps[-1] != last:
            steps.append(last)
        # Only wrr remembers the way.
        steps = wrr.telling(steps, begins=reset) if scheduler == Scheduler.WRR else steps[-1:]
        region, _ = self._have.regions.get(id_, (NOWHERE, NOWHERE))
        if old.ids != new.ids:
            region = self._shared.space.take(len(new.ids))
            if new.ids:
                yield WriteList(region, new.ids)
        slots_region, _ = self._have.slot_regions.get(id_, (NOWHERE, NOWHERE))
        if not new.owners:
            slots_region = slots_region if self._stops_hashing(id_) else NOWHERE
        elif old.owners != new.owners or forgets:
            slots_region = self._slot_space.take(len(new.owners))
            self.pages.add(page_of(slots_region))
            yield WriteSlots(slots_region, new.owners, self._pasts(id_, old, new))
        moved = () if reset else remap(old.ids, new.ids, self._renewal.deleted)
        for step, (gcd, max_weight) in enumerate(steps):
            yield Commit(
                id_,
                scheduler,
                reset and step == 0,
                region,
                gcd,
                max_weight,
                moved if not step else (),
                slots_region,
            )

    def _stops_hashing(self, id_: int) -> bool:
        """Until the service has its new scheduler, packets still look for its slots."""
        return (
            self._want.used(id_)
            and self._want.scheduler(id_) not in slots.HASHING
            and self._there.scheduler(id_) in slots.HASHING
        )

    def _becomes_stateless(self, id_: int) -> bool:
        """Whether the service has kept its connections until now."""
        return (
            self._want.stateless(id_) and self._there.used(id_) and not self._there.stateless(id_)
        )

    def _pasts(self, id_: int, old: Servers, new: Servers) -> slots.Pasts:
        """What the slots remember."""
        if not self._want.stateless(id_):
            return EMPTY
        moment = _moment(id_, self._have, self._want)
        if self._becomes_stateless(id_):
            # By the same slots as until now nobody's connections are anybody else's.
            others = () if old.owners == new.owners else old.ids
            return slots.of_a_table(others, new.owners, moment)
        pasts = self._have.pasts.get(id_, EMPTY)
        return slots.after_change(old.owners, pasts, new.owners, moment)


def _egress(want: Tables) -> bool:
    """Whether anybody's answers have to be seen on the way out."""
    return want.settings.local_destinations > 0


def _hidden(service: Service) -> Service:
    """The record, so that packets do not find it."""
    return service._replace(flags=service.flags & ~_USED)


def _available(flags: int) -> bool:
    return bool(flags & _AVAILABLE)


def _roles(changes: Iterable[tuple[int, int, int]]) -> Iterator[Write]:
    """Those bytes of ``addresses`` that change, if any."""
    found = tuple((at, new) for at, old, new in changes if old != new)
    if found:
        yield PutRoles(found)
