# SPDX-License-Identifier: Apache-2.0
"""A data path in memory: it obeys writes as the maps and the commit program do, and
looks at every step whether a packet that runs now would be misrouted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from xlvs.datapath import writes as w
from xlvs.datapath.addresses import slot
from xlvs.datapath.marks import NO_MARKS, Marks
from xlvs.datapath.port import Closed, Loads, Piece, PortUse, TableUse, Totals
from xlvs.datapath.records import (
    ADDRESS_SLOTS,
    CURSOR_HEAD,
    SLOT_PAGE,
    AddressRole,
    Admission,
    Destination,
    DestinationFlag,
    DestinationLoad,
    Interface,
    Method,
    PortBlock,
    ReasonStats,
    Refusals,
    Scheduler,
    Service,
    ServiceFlag,
    ServiceKey,
    Settings,
    Stats,
)
from xlvs.datapath.selection import EVERYTHING, Selection
from xlvs.datapath.slots import HASHING, NO_OWNERS, Owners, Pasts
from xlvs.datapath.tables import Have, Region, Servers, Tables
from xlvs.datapath.tally import Tally, Whose
from xlvs.model.client_list import ClientList
from xlvs.model.problem import Code, Problem
from xlvs.schedulers import maglev
from xlvs.wire import codec
from xlvs.wire.messages import ConnectionView

NOWHERE = Region(0, 0)
HZ = 250


class Sizes(NamedTuple):
    connections: int = 1024
    services: int = 16
    destinations: int = 64
    service_destinations: int = 256
    port_blocks: int = 64
    port_rows: int = 256
    hash_slots: int = 12 * maglev.SIZE


class ListVersion(NamedTuple):
    region: Region = NOWHERE
    gcd: int = 1
    max_weight: int = 0
    slots: Region = NOWHERE


class Attached(NamedTuple):
    ifname: str
    hook: str
    egress: bool


class FakePort:
    """``fail_after``: so many writes succeed, then one is refused."""

    def __init__(self, sizes: Sizes | None = None) -> None:
        self.capacity = sizes or Sizes()
        self.adopted = False
        self.fail_after: int | None = None
        self.written: list[w.Write] = []
        self.keys: dict[ServiceKey, int] = {}
        self.services: dict[int, Service] = {}
        self.destinations: dict[int, Destination] = {}
        self.port_blocks: dict[int, PortBlock] = {}
        self.port_rows = [0] * self.capacity.port_rows
        self.roles = bytearray(ADDRESS_SLOTS)
        self.interfaces: dict[int, Interface] = {}
        self.real_servers: dict[ServiceKey, int] = {}
        self.settings = Settings()
        self.marks: dict[int, Marks] = {}
        self.admissions: dict[int, Admission] = {}
        self.clients: dict[int, ClientList] = {}
        self.refused: dict[int, Refusals] = {}
        self.lists = [0] * self.capacity.service_destinations
        self.slots: dict[Region, tuple[Owners, Pasts]] = {NOWHERE: (NO_OWNERS, {})}
        self.slot_pages: set[int] = set()
        self.now = 2**32 - 100  # ticks, about to wrap
        self.versions: dict[int, list[ListVersion]] = {}
        self.generation: dict[int, int] = {}
        self.committed: dict[int, int] = {}
        self.cursor: dict[int, int] = {}
        self.weight: dict[int, int] = {}
        self.counted_services: dict[int, Stats] = {}
        self.counted_destinations: dict[int, Stats] = {}
        self.connected: dict[int, DestinationLoad] = {}
        self.ports: dict[int, PortUse] = {}
        self.attached: list[Attached] = []
        self.egress = False
        self.table_now = TableUse()
        self.sweeps = 0
        self.table_views: list[ConnectionView] = []
        self.tallied: dict[Whose, int] = {}
        self.selections: list[Selection] = []

    @property
    def connections_size(self) -> int:
        return self.capacity.connections

    # ---- what the maps hold

    def have(self) -> Have:
        servers, regions, slot_regions, pasts = {}, {}, {}, {}
        for id_, versions in self.versions.items():
            current = versions[self.generation[id_] & 1]
            before = versions[~self.generation[id_] & 1]
            regions[id_] = (current.region, before.region)
            slot_regions[id_] = (current.slots, before.slots)
            owners, remembered = self.hashed(id_)
            if remembered:
                pasts[id_] = remembered
            if current.region.size or id_ in self.services:
                servers[id_] = Servers(self.ids(id_), current.gcd, current.max_weight, owners)
        for id_ in self.services:
            servers.setdefault(id_, Servers())
        tables = Tables(
            dict(self.keys),
            dict(self.services),
            servers,
            dict(self.destinations),
            dict(self.port_blocks),
            dict(self.interfaces),
            self.settings,
            self.marks.get(self.settings.mark_set, NO_MARKS),
            {d.port_row: self.row(d) for d in self.destinations.values() if d.port_row},
            {id_: found for id_ in self.services if (found := self.admission(id_)) is not None},
            dict(self.clients),
        )
        busy = frozenset(block for block, use in self.ports.items() if use.used)
        return Have(
            tables=tables,
            regions=regions,
            busy_blocks=busy,
            roles=bytes(self.roles),
            hz=HZ,
            egress=self.egress,
            slot_regions=slot_regions,
            committed=dict.fromkeys(slot_regions, self.now),
            pasts=pasts,
            now=self.now,
            slot_pages=frozenset(self.slot_pages),
        )

    def admission(self, service: int) -> Admission | None:
        """Who may open connections, as packets of a service find it."""
        flags = self.services[service].flags
        if not flags & ServiceFlag.ADMISSION:
            return None
        return self.admissions[2 * service + bool(flags & ServiceFlag.ADMISSION_OTHER)]

    def ticks(self) -> int:
        return self.now

    def hashed(self, service: int) -> tuple[Owners, Pasts]:
        """The slots that packets of a service look in now."""
        record = self.services.get(service)
        if service not in self.versions or not record or record.scheduler not in HASHING:
            return NO_OWNERS, {}
        return self.slots[self.versions[service][self.generation[service] & 1].slots]

    def row(self, destination: Destination) -> tuple[int, ...]:
        """The blocks that new connections to a destination may take a port of."""
        place = destination.port_row
        return tuple(self.port_rows[place + 1 :][: self.port_rows[place]])

    def ids(self, service: int) -> tuple[int, ...]:
        """The list that packets of a service walk now."""
        if service not in self.versions:
            return ()
        region = self.versions[service][self.generation[service] & 1].region
        return tuple(self.lists[region.base : region.base + region.size])

    # ---- writing

    def write(self, writes: Iterable[w.Write]) -> None:
        for write in writes:
            self._write(write)

    def _write(self, write: w.Write) -> None:
        if self.fail_after is not None:
            if self.fail_after == 0:
                self.fail_after = None
                raise Problem(Code.INTERNAL, "writing the maps: no memory")
            self.fail_after -= 1
        self.written.append(write)
        self._obey(write)
        self.check(write)

    def _obey(self, write: w.Write) -> None:  # noqa: C901, PLR0912, PLR0915 - one case per kind
        match write:
            case w.PutKey(key, service):
                self.keys[key] = service
            case w.DropKey(key):
                self.keys.pop(key, None)
            case w.PutRealServer(key, id_):
                assert self.destinations[id_].address == key.address
                self.real_servers[key] = id_
            case w.DropRealServer(key):
                del self.real_servers[key]
            case w.PutService(id_, value):
                assert 0 <= id_ < self.capacity.services
                _put(self.services, id_, value, Service())
            case w.PutDestination(id_, value):
                assert 0 <= id_ < self.capacity.destinations
                _put(self.destinations, id_, value, Destination())
            case w.PutPortBlock(id_, value):
                assert 0 <= id_ < self.capacity.port_blocks
                assert not self._connected_by(id_), "a connection has a port of this block"
                _put(self.port_blocks, id_, value, PortBlock())
            case w.WriteRow(place, blocks):
                assert place > 0
                end = place + 1 + len(blocks)
                for each in filter(lambda d: d.port_row, self.destinations.values()):
                    first, last = each.port_row, each.port_row + self.port_rows[each.port_row]
                    assert last < place or end <= first, "packets read there"
                self.port_rows[place:end] = (len(blocks), *blocks)
                assert len(self.port_rows) == self.capacity.port_rows
            case w.PutEgress(on):
                assert self.egress is not on
                self.egress = on
                self.attached = [each._replace(egress=on) for each in self.attached]
            case w.PutRoles(slots):
                for place, role in slots:
                    assert self.roles[place] != role
                    self.roles[place] = role
            case w.PutInterface(ifindex, value):
                self.interfaces[ifindex] = value
            case w.DropInterface(ifindex):
                self.interfaces.pop(ifindex, None)
            case w.PutSettings(value):
                if value.mark_set != self.settings.mark_set:
                    assert value.mark_set in self.marks, "a set of rules that is not written"
                self.settings = value
            case w.WriteMarks(number, marks, keep):
                assert keep == self.settings.mark_set != number, "packets look there"
                self.marks = {n: m for n, m in self.marks.items() if n == keep} | {number: marks}
            case w.DropMarks(keep):
                assert keep == self.settings.mark_set, "packets look there"
                self.marks = {n: m for n, m in self.marks.items() if n == keep}
            case w.PutAdmission(slot_of, value):
                there = self.services.get(slot_of // 2)
                if there is not None and there.flags & ServiceFlag.ADMISSION:
                    other = bool(there.flags & ServiceFlag.ADMISSION_OTHER)
                    assert other != bool(slot_of % 2), "packets look there"
                self.admissions[slot_of] = value
            case w.WriteClients(number, clients):
                assert number not in self.clients
                self.clients[number] = clients
            case w.DropClients(number, clients):
                assert self.clients.pop(number) == clients
            case w.ClearService(id_):
                self.refused.pop(id_, None)
                self.counted_services.pop(id_, None)
            case w.ClearDestination(id_, load):
                self.counted_destinations.pop(id_, None)
                if load:
                    assert id_ not in self.connected, "a connection uses this id"
            case w.ClearBlock(block):
                assert not self._connected_by(block)
                self.ports.pop(block, None)
            case w.PutSlotPages(numbers):
                assert not self.slot_pages & {*numbers}, "services have slots there"
                self.slot_pages |= {*numbers}
            case w.DropSlotPages(numbers):
                assert self.slot_pages >= {*numbers}
                self.slot_pages -= {*numbers}
                for number in numbers:
                    page = Region(number * SLOT_PAGE, SLOT_PAGE)
                    self._check_unread(page, "slots")
                    for each in [each for each in self.slots if not _apart(each, page)]:
                        del self.slots[each]
            case w.WriteSlots(region, owners, pasts):
                assert len(owners) == region.size
                first, last = region.base, region.base + region.size - 1
                assert {first // SLOT_PAGE, last // SLOT_PAGE} <= self.slot_pages
                assert first // SLOT_PAGE == last // SLOT_PAGE, "crosses a page"
                assert region.base + region.size <= self.capacity.hash_slots
                self._check_unread(region, "slots")
                overwritten = [each for each in self.slots if not _apart(each, region)]
                for each in overwritten:
                    del self.slots[each]
                self.slots[region] = (owners, pasts)
            case w.WriteList(region, ids):
                self._check_unread(region, "region")
                self.lists[region.base : region.base + region.size] = ids
            case w.Commit():
                self._commit(write)

    def _connected_by(self, block: int) -> int:
        return self.ports.get(block, PortUse(0, 0)).used

    def _check_unread(self, region: Region, kind: str) -> None:
        for id_, versions in self.versions.items():
            read = versions
            if kind == "slots" and (self.now - self.committed[id_]) % 2**32 >= HZ:
                read = [versions[self.generation[id_] & 1]]
            for version in read:
                assert _apart(region, getattr(version, kind)), f"service {id_} may read there"

    def _commit(self, commit: w.Commit) -> None:
        """What xlvs_commit does (bpf/control.bpf.c)."""
        id_ = commit.service
        versions = self.versions.setdefault(id_, [ListVersion(), ListVersion()])
        generation = self.generation.get(id_, 0) + 1
        assert commit.slots in self.slots
        versions[generation & 1] = ListVersion(
            commit.region, commit.gcd, commit.max_weight, commit.slots
        )
        self.committed[id_] = self.now
        cursor, weight = self.cursor.get(id_, 0), self.weight.get(id_, 0)
        if commit.reset:
            cursor, weight = CURSOR_HEAD, commit.max_weight
        elif commit.scheduler == Scheduler.WRR:
            cursor = CURSOR_HEAD
            if not weight or weight > commit.max_weight:
                weight = commit.max_weight
            elif commit.gcd > 1:
                weight = weight // commit.gcd * commit.gcd + 1
        elif cursor != CURSOR_HEAD:
            cursor = commit.remap[cursor] if cursor < len(commit.remap) else CURSOR_HEAD
        self.generation[id_], self.cursor[id_], self.weight[id_] = generation, cursor, weight

    def check(self, write: w.Write) -> None:
        """Would a packet that runs now go wrong?"""
        used = {s.key: id_ for id_, s in self.services.items() if s.flags & ServiceFlag.USED}
        # By the key, or by an id that packets remember (bpf/stages/3_service.h).
        for key, id_ in {*self.keys.items(), *used.items()}:
            service = self.services.get(id_)
            assert service is not None, f"{write}: a client finds a service that is not there"
            assert service.flags & ServiceFlag.USED, f"{write}: a client finds a removed service"
            assert service.key == key
            assert self.settings.services >= len(self.keys), f"{write}: switched off"
            owners, pasts = self.hashed(id_)
            for past in pasts.values():
                remembered = self.destinations.get(past.destination)
                assert remembered is not None, f"{write}: remembered, but not described"
                assert remembered.service == id_, f"{write}: remembered, but another service's"
            for destination_id in {*self.ids(id_), *owners}:
                destination = self.destinations.get(destination_id)
                assert destination is not None, f"{write}: chosen, but not described"
                assert destination.flags & DestinationFlag.AVAILABLE, (
                    f"{write}: chosen, but removed"
                )
                assert destination.service == id_, f"{write}: chosen, but another service's"
        local = sum(1 for d in self.destinations.values() if d.flags & DestinationFlag.LOCAL)
        assert self.settings.local_destinations >= local, f"{write}: local replies unseen"
        assert self.egress or not local, f"{write}: local replies unseen"
        marks = sum(1 for key in self.keys if key.fwmark)
        assert self.settings.marks >= marks, f"{write}: a mark service unseen"
        self._check_blocks(write)
        self._check_roles(write)
        self._check_admissions(write)

    def _check_blocks(self, write: w.Write) -> None:
        """One block of local ports never serves two pairs of local address and server."""
        owners: dict[PortBlock, int] = {}
        # Those that can be chosen: connections know their block by themselves.
        chosen = [self.destinations[id_] for service in self.services for id_ in self.ids(service)]
        for destination in chosen:
            service = self.services[destination.service]
            if destination.method != Method.FULLNAT:
                continue
            assert self.row(destination), f"{write}: fullnat without local addresses"
            for block in self.row(destination):
                whose = self.port_blocks[block]
                owner = (destination.address, service.key.protocol)
                assert (whose.server, whose.protocol) == owner, f"{write}: another one's {block}"
                assert whose.port in (destination.port, 0)
                assert owners.setdefault(whose, block) == block, f"{write}: two of {whose}"

    def _check_roles(self, write: w.Write) -> None:
        """Whatever a packet of ours may be sent to or come from has its role."""

        def check(address: bytes, role: AddressRole) -> None:
            assert self.roles[slot(address)] & role, f"{write}: {role.name} is missed"

        for key, id_ in self.keys.items():
            service = self.services.get(id_)
            if key.fwmark or (service is not None and service.flags & ServiceFlag.STANDBY):
                continue  # any address may be its clients', or it is another director's
            check(key.address, AddressRole.VIRTUAL)
        for destination in self.destinations.values():
            check(destination.address, AddressRole.SERVER)
            service = self.services.get(destination.service)
            standby = service is not None and service.flags & ServiceFlag.STANDBY
            if service is not None and not service.key.fwmark and not standby:
                check(service.key.address, AddressRole.VIRTUAL)
                if service.flags & ServiceFlag.STATELESS:
                    check(service.key.address, AddressRole.STATELESS)
        for block in self.port_blocks.values():
            check(block.local, AddressRole.LOCAL)

    # ---- what packets write

    def service_stats(self, ids: Iterable[int]) -> dict[int, Stats]:
        return {id_: self.counted_services.get(id_, Stats()) for id_ in ids}

    def destination_stats(self, ids: Iterable[int]) -> dict[int, Stats]:
        return {id_: self.counted_destinations.get(id_, Stats()) for id_ in ids}

    def service_totals(self, ids: Iterable[int]) -> Totals:
        return _rows(self.service_stats(ids))

    def destination_totals(self, ids: Iterable[int]) -> Totals:
        return _rows(self.destination_stats(ids))

    def loads(self, ids: Sequence[int]) -> Loads:
        loads = [self.connected.get(id_, DestinationLoad()) for id_ in ids]
        columns = ([getattr(each, name) for each in loads] for name in Loads._fields)
        return Loads(*columns)

    def load(self, ids: Iterable[int]) -> dict[int, DestinationLoad]:
        return {id_: self.connected.get(id_, DestinationLoad()) for id_ in ids}

    def refusals(self, ids: Iterable[int]) -> dict[int, Refusals]:
        return {id_: self.refused.get(id_, Refusals()) for id_ in ids}

    def admitted(self, ids: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(ids, 0)

    def _check_admissions(self, write: w.Write) -> None:
        for id_, service in self.services.items():
            found = self.admission(id_)
            if found is None:
                continue
            named = found.list[: found.denies + found.allows]
            assert {*named} <= self.clients.keys(), f"{write}: a list that is not written"
            if service.flags & ServiceFlag.USED and (
                found.client_connections or found.service_connections
            ):
                counted = [self.destinations[i].flags for i in self.ids(id_)]
                assert all(flags & DestinationFlag.COUNTED for flags in counted), (
                    f"{write}: connections begin that are not counted at their end"
                )

    def reasons(self) -> dict[str, ReasonStats]:
        return {"fwd_nat": ReasonStats(3, 180), "drop_no_next_hop": ReasonStats()}

    def streams(self) -> dict[str, int]:
        return {"toa": 5, "toa_no_room": 1, "toa_mtu": 0}

    def table(self) -> TableUse:
        self.sweeps += 1
        return self.table_now._replace(sweeps=self.sweeps)

    def port_use(self, blocks: Iterable[int]) -> dict[int, PortUse]:
        return {block: self.ports.get(block, PortUse(0, 0)) for block in blocks}

    def connections(
        self, selection: Selection = EVERYTHING, after: int = 0, limit: int | None = None
    ) -> Iterator[Piece]:
        self.selections.append(selection)
        end = None if limit is None or after + limit >= len(self.table_views) else after + limit
        yield Piece(b"")
        yield Piece(codec.encode_lines(self.table_views[after:end]), end)

    def tally(self, selection: Selection, tally: Tally) -> Iterator[None]:
        self.selections.append(selection)
        yield
        tally.connections = sum(self.tallied.values())
        tally.counts.update(self.tallied)

    def close_connections(
        self, selection: Selection, limit: int, *, reset: bool
    ) -> Iterator[Closed]:
        self.selections.append(selection)
        yield Closed()
        yield Closed(reset=min(limit, 3), more=limit < 3) if reset else Closed(ended=3)

    # ---- hooks

    def attach(self, ifname: str, hook: str) -> None:
        self.detach(ifname)
        self.attached.append(Attached(ifname, hook, self.egress))

    def detach(self, ifname: str) -> None:
        self.attached = [a for a in self.attached if a.ifname != ifname]

    def attachments(self) -> list[Attached]:
        return list(self.attached)


def _apart(one: Region, other: Region) -> bool:
    """Whether two regions share no place."""
    if not one.size or not other.size:
        return True
    return one.base >= other.base + other.size or other.base >= one.base + one.size


def _put(entries: dict[int, object], id_: int, value: object, empty: object) -> None:
    if value == empty:
        entries.pop(id_, None)
    else:
        entries[id_] = value


def _rows(stats: dict[int, Stats]) -> Totals:
    return np.array(list(stats.values()), np.int64).reshape(-1, len(Stats._fields))
