# SPDX-License-Identifier: Apache-2.0
"""The port to a loaded data path: typed values to and from the maps' bytes."""

from __future__ import annotations

import logging
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from ipaddress import IPv4Address
from itertools import groupby, starmap
from typing import Any, TypeVar, cast

import numpy as np

from xlvs.datapath import records
from xlvs.datapath import writes as w
from xlvs.datapath.addresses import AF_INET, packed, unpacked
from xlvs.datapath.explain import trial as trials
from xlvs.datapath.explain.story import Door, Story
from xlvs.datapath.loader import DataPath, Sizes
from xlvs.datapath.maps import Key
from xlvs.datapath.port import Attached, Closed, Loads, Piece, PortUse, TableUse, Totals
from xlvs.datapath.problems import explained
from xlvs.datapath.selection import EVERYTHING, Selection
from xlvs.datapath.slots import HASHING, NO_OWNERS
from xlvs.datapath.tables import Have, Region, Servers, Tables
from xlvs.datapath.tally import Tally
from xlvs.io.arrivals import arrivals
from xlvs.io.client_maps import ClientMaps
from xlvs.io.connection_maps import ConnectionMaps
from xlvs.io.mark_maps import MarkMaps
from xlvs.io.slot_maps import SlotMaps
from xlvs.io.syn_maps import SynMaps
from xlvs.io.sync_maps import SyncMaps
from xlvs.wire.explanation import Explanation, Packet

_ID_BYTES = 4
_COUNTER_BYTES = 8
_GAP = 64  # counters that nobody asked for are read along, rather than in two calls
_NO_REGIONS = (Region(0, 0), Region(0, 0))

R = TypeVar("R", bound=tuple[Any, ...])

log = logging.getLogger(__name__)


class Kernel:
    """A ``xlvs.datapath.port.Port`` over the maps that the kernel holds."""

    def __init__(self, path: DataPath) -> None:
        self._path = path
        self._layout = path.layout
        self._views: dict[str, memoryview] = {}
        self._marks = MarkMaps(path)
        self._clients = ClientMaps(path)
        self._rehearsals = trials.Rehearsals(path)
        self._slots = SlotMaps(path)
        self._connections = ConnectionMaps(path)
        self._no_stats = self._layout.pack(records.Stats())
        self._no_arrivals = self._layout.pack(records.Arrivals())
        self._no_load = self._layout.pack(records.DestinationLoad())
        # Writes that are entries of maps and nothing else: there may be a hundred thousand.
        self._together: Mapping[type, Callable[[Sequence[Any]], None]] = {
            w.PutService: partial(self._put_records, "services"),
            w.PutDestination: partial(self._put_records, "destinations"),
            w.PutPortBlock: partial(self._put_records, "port_blocks"),
            w.PutInterface: partial(self._put_records, "interfaces"),
            w.PutAdmission: partial(self._put_records, "admissions"),
            w.PutKey: self._put_keys,
            w.PutRealServer: self._put_real_servers,
            w.WriteList: self._write_lists,
            w.WriteRow: self._write_rows,
            w.ClearService: self._clear_services,
            w.ClearDestination: self._clear_destinations,
        }

    @property
    def adopted(self) -> bool:
        """Whether the data path ran before this process."""
        return self._path.adopted

    @property
    def capacity(self) -> Sizes:
        """Numbers of entries of the maps."""
        return self._path.sizes

    @property
    def connections_size(self) -> int:
        """For how many connections the table is rated."""
        return self._path.sizes.connections

    # ---- reading what the daemon wrote

    def have(self) -> Have:
        """Read everything back. Raises Problem."""
        with explained("reading the maps"):
            return self._have()

    def _have(self) -> Have:
        services = self._entries("services", records.Service)
        services = {i: s for i, s in services.items() if s.key.family}
        destinations = self._entries("destinations", records.Destination)
        destinations = {i: d for i, d in destinations.items() if d.family}
        servers, regions, slot_regions, pasts = {}, {}, {}, {}
        for id_ in range(self._path.sizes.services):
            schedule = self._at("schedules", records.Schedule, id_)
            current = schedule.list[schedule.word >> 48 & 1]
            before = schedule.list[~schedule.word >> 48 & 1]
            if current.count or before.count:
                regions[id_] = (
                    Region(current.base, current.count),
                    Region(before.base, before.count),
                )
            if current.hash_size or before.hash_size:
                slot_regions[id_] = (
                    Region(current.hash_base, current.hash_size),
                    Region(before.hash_base, before.hash_size),
                )
            if current.count or id_ in services:
                owners = NO_OWNERS
                service = services.get(id_)
                if service is not None and service.scheduler in HASHING:
                    owners, remembered = self._slots.read(slot_regions.get(id_, _NO_REGIONS)[0])
                    if remembered:
                        pasts[id_] = remembered
                ids = self._list(current)
                servers[id_] = Servers(ids, current.gcd or 1, current.max_weight, owners)
        blocks = self._port_blocks()
        settings = self._one("settings", records.Settings)
        tables = Tables(
            keys=self._keys(),
            services=services,
            servers=servers,
            destinations=destinations,
            port_blocks=blocks,
            interfaces={
                int.from_bytes(key, "little"): self._layout.unpack(records.Interface, value)
                for key, value in self._path.map("interfaces").items()
            },
            settings=settings,
            marks=self._marks.read(settings.mark_set),
            port_rows={
                d.port_row: self._row(d.port_row) for d in destinations.values() if d.port_row
            },
            admissions=self._admissions(services),
            client_lists=dict.fromkeys(self._clients.read()),
        )
        busy = frozenset(block for block, ports in self.port_use(blocks).items() if ports.used)
        roles = self._one("addresses", records.Addresses).roles
        now = self.ticks()
        return Have(
            tables=tables,
            regions=regions,
            busy_blocks=busy,
            roles=roles,
            hz=self._path.geometry.hz,
            egress=self._path.egress,
            slot_regions=slot_regions,
            committed=dict.fromkeys(slot_regions, now),
            pasts=pasts,
            now=now,
            slot_pages=self._slots.pages(),
        )

    def _admissions(self, services: Mapping[int, records.Service]) -> dict[int, records.Admission]:
        flag, other = records.ServiceFlag.ADMISSION, records.ServiceFlag.ADMISSION_OTHER
        found = self._path.map("admissions")
        return {
            id_: self._layout.unpack(
                records.Admission, found.lookup(2 * id_ + bool(service.flags & other)) or b""
            )
            for id_, service in services.items()
            if service.flags & flag
        }

    def _keys(self) -> dict[records.ServiceKey, int]:
        found = {
            self._layout.unpack(records.ServiceKey, key): int.from_bytes(value, "little")
            for key, value in self._path.map("services_by_key").items()
        }
        for raw, value in self._path.map("services_by_key4").items():
            key = self._layout.unpack(records.ServiceKey4, raw)
            address = packed(IPv4Address(key.address))
            whole = records.ServiceKey(address, 0, key.port, key.protocol, AF_INET)
            found[whole] = int.from_bytes(value, "little")
        return found

    def _place_of_key(self, key: records.ServiceKey) -> tuple[str, bytes]:
        """The map that packets look in, and the key as it has it."""
        if key.family == AF_INET and not key.fwmark:
            address = int(unpacked(key.address))
            short = records.ServiceKey4(address, key.port, key.protocol)
            return "services_by_key4", self._layout.pack(short)
        return "services_by_key", self._layout.pack(key)

    def _list(self, servers: records.ServerList) -> tuple[int, ...]:
        lists = self._path.map("service_destinations")
        found = (lists.lookup(servers.base + i) for i in range(servers.count))
        return tuple(int.from_bytes(value or b"", "little") for value in found)

    def _port_blocks(self) -> dict[int, records.PortBlock]:
        return self._entries("port_blocks", records.PortBlock)

    def _row(self, place: int) -> tuple[int, ...]:
        rows = self._path.map("port_rows")

        def at(index: int) -> int:
            return int.from_bytes(rows.lookup(index) or b"", "little")

        return tuple(at(place + 1 + i) for i in range(at(place)))

    # ---- reading what packets write

    def ticks(self) -> int:
        """The present tick."""
        return self._path.ticks()

    def service_stats(self, ids: Iterable[int]) -> dict[int, records.Stats]:
        """Totals since each service's first packet."""
        wanted = list(ids)
        totals = self.service_totals(wanted).tolist()
        return dict(zip(wanted, starmap(records.Stats, totals), strict=True))

    def destination_stats(self, ids: Iterable[int]) -> dict[int, records.Stats]:
        """Totals since each destination's first packet."""
        wanted = list(ids)
        totals = self.destination_totals(wanted).tolist()
        return dict(zip(wanted, starmap(records.Stats, totals), strict=True))

    def service_totals(self, ids: Iterable[int]) -> Totals:
        """Totals of many services, in the order of the ids."""
        return self._totals("service_stats", ids)

    def destination_totals(self, ids: Iterable[int]) -> Totals:
        """Totals of many destinations, in the order of the ids."""
        return self._totals("destination_stats", ids)

    def load(self, ids: Iterable[int]) -> dict[int, records.DestinationLoad]:
        """Connections of each destination now."""
        return {id_: self._at("destination_load", records.DestinationLoad, id_) for id_ in ids}

    def loads(self, ids: Sequence[int]) -> Loads:
        """Connections of many destinations now."""
        view, stride = self._view("destination_load")
        offsets = self._layout.codec(records.DestinationLoad).offsets
        places = np.asarray(ids, np.int64)

        def column(name: str) -> list[int]:
            # Made anew each time: the view could not be released while one is kept.
            shape, strides = (len(view) // stride,), (stride,)
            every = np.ndarray(shape, np.uint32, view, offsets[name], strides)
            found: list[int] = every[places].tolist()
            return found

        return Loads(*map(column, Loads._fields))

    def refusals(self, ids: Iterable[int]) -> dict[int, records.Refusals]:
        """New connections that services refused, by cause."""
        return {id_: arrivals(self._path, id_).refused for id_ in ids}

    def admitted(self, ids: Iterable[int]) -> dict[int, int]:
        """Connections of services that their own limits of connections count, now."""
        return {id_: self._at("admitted", records.Admitted, id_).connections for id_ in ids}

    def reasons(self) -> dict[str, records.ReasonStats]:
        """Packets by what became of them."""
        return {
            name: self._summed("reasons", records.ReasonStats, index)
            for index, name in self._layout.reasons.items()
        }

    def streams(self) -> dict[str, int]:
        """Packets by what was done to the stream that they are of, besides being sent on."""
        counts = self._path.map("stream_counts")
        return {
            name: sum(int.from_bytes(each, "little") for each in counts.lookup_percpu(index))
            for index, name in self._layout.stream_events.items()
        }

    def table(self) -> TableUse:
        """How full the connection table is."""
        seen = self._at("table", records.Table, 0)
        counts = self._summed("table_counts", records.TableCounts, 0)
        return TableUse.of(seen, counts, self._path.geometry)

    def port_use(self, blocks: Iterable[int]) -> dict[int, PortUse]:
        """Use of blocks of local ports."""
        view, stride = self._view("local_ports")
        offsets = self._layout.codec(records.LocalPorts).offsets
        used_at, exhausted_at = offsets["used"], offsets["exhausted"]
        found = {}
        for block in blocks:
            at = block * stride
            found[block] = PortUse(
                int.from_bytes(view[at + used_at : at + used_at + 4], "little"),
                int.from_bytes(view[at + exhausted_at : at + exhausted_at + 8], "little"),
            )
        return found

    # ---- connections

    def connections(
        self, selection: Selection = EVERYTHING, after: int = 0, limit: int | None = None
    ) -> Iterator[Piece]:
        """Connections in words."""
        return self._connections.listed(selection, after, limit)

    def tally(self, selection: Selection, tally: Tally) -> Iterator[None]:
        """Count connections."""
        return self._connections.tally(selection, tally)

    def close_connections(
        self, selection: Selection, limit: int, *, reset: bool
    ) -> Iterator[Closed]:
        """End connections. Raises Problem."""
        return self._connections.end(selection, limit, reset=reset)

    # ---- writing

    def write(self, writes: Iterable[w.Write]) -> None:
        """Do writes in their order; those of one kind that follow one another, in any.

        Raises Problem when one fails; some may be done by then.
        """
        for kind, run in groupby(writes, type):
            if kind is w.PutEgress:
                for write in run:
                    self._put_egress(on=cast("w.PutEgress", write).on)
                continue
            with explained("writing the maps"):
                together = self._together.get(kind)
                if together is not None:
                    together(list(run))
                else:
                    for write in run:
                        self._write(write)

    def _put_records(self, name: str, writes: Sequence[tuple[int, tuple[Any, ...]]]) -> None:
        numbers, values = zip(*writes, strict=True)
        pack = self._layout.codec(type(values[0])).pack
        self._path.map(name).update_numbered(numbers, map(pack, values))

    def _put_keys(self, writes: Sequence[w.PutKey]) -> None:
        by_map: dict[str, list[tuple[Key, bytes]]] = defaultdict(list)
        for key, service in writes:
            name, raw = self._place_of_key(key)
            by_map[name].append((raw, _number(service)))
        for name, entries in by_map.items():
            self._path.map(name).update_many(entries)

    def _put_real_servers(self, writes: Sequence[w.PutRealServer]) -> None:
        pack = self._layout.codec(records.ServiceKey).pack
        entries = ((pack(write.key), _number(write.destination)) for write in writes)
        self._path.map("real_servers").update_many(entries)

    def _write_lists(self, writes: Sequence[w.WriteList]) -> None:
        places, ids = array("I"), array("I")
        for write in writes:
            base = write.region.base
            places.extend(range(base, base + len(write.ids)))
            ids.extend(write.ids)
        self._path.map("service_destinations").update_all(places.tobytes(), ids.tobytes())

    def _write_rows(self, writes: Sequence[w.WriteRow]) -> None:
        self._path.map("port_rows").update_many(
            (at, _number(number))
            for place, blocks in writes
            for at, number in enumerate((len(blocks), *blocks), place)
        )

    def _clear_services(self, writes: Sequence[w.ClearService]) -> None:
        ids = [write.id for write in writes]
        self._path.map("service_stats").fill(ids, self._no_stats)
        self._path.map("arrivals").fill(ids, self._no_arrivals)

    def _clear_destinations(self, writes: Sequence[w.ClearDestination]) -> None:
        self._path.map("destination_stats").fill([write.id for write in writes], self._no_stats)
        unused = [write.id for write in writes if write.load]
        self._path.map("destination_load").fill(unused, self._no_load)

    def _write(self, write: w.Write) -> None:  # noqa: C901, PLR0912 - one case for each write
        match write:
            case w.DropKey(key):
                name, raw = self._place_of_key(key)
                self._path.map(name).delete(raw)
            case w.DropRealServer(key):
                self._path.map("real_servers").delete(self._layout.pack(key))
            case w.PutRoles(slots):
                self._put_roles(slots)
            case w.DropInterface(ifindex):
                self._path.map("interfaces").delete(ifindex)
            case w.PutSettings(value):
                self._put_settings(value)
            case w.WriteMarks():
                self._marks.write(*write)
            case w.DropMarks(keep):
                self._marks.drop_others(keep)
            case w.WriteClients():
                self._clients.write(*write)
            case w.DropClients():
                self._clients.drop(*write)
            case w.PutSlotPages(numbers):
                self._slots.put(numbers)
            case w.DropSlotPages(numbers):
                self._slots.drop(numbers)
            case w.WriteSlots():
                self._slots.write(write)
            case w.Commit():
                self._commit(write)
            case w.ClearBlock(block):
                self._put("local_ports", block, self._layout.pack(records.LocalPorts()))

    def _commit(self, commit: w.Commit) -> None:
        # One writer, and the program reads it before it returns: always from the start.
        if commit.remap:
            self._path.map("remap").update_many(enumerate(map(_number, commit.remap)))
        self._path.commit(
            records.Commit(
                service=commit.service,
                scheduler=commit.scheduler,
                reset=int(commit.reset),
                list=records.ServerList(
                    commit.region.base,
                    commit.region.size,
                    commit.gcd,
                    commit.max_weight,
                    commit.slots.base,
                    commit.slots.size,
                ),
                remap_base=0,
                remap_count=len(commit.remap),
            )
        )

    def _put_settings(self, value: records.Settings) -> None:
        # Attached before a packet is passed to it, and detached after the last one.
        if value.syn_proxies:
            self._path.put_behind_xdp(value)
        self._put("settings", 0, self._layout.pack(value))
        self._path.put_behind_xdp(value)

    def _put_roles(self, slots: tuple[tuple[int, int], ...]) -> None:
        # In place: an update of the whole value would take more time, and each byte
        # says something by itself.
        roles, _ = self._view("addresses", writable=True)
        for slot, role in slots:
            roles[slot] = role

    def _put_egress(self, *, on: bool) -> None:
        self._path.put_egress(on=on)
        log.info(
            "real servers on the director itself: %s",
            "programs on egress attached" if on else "none any more, programs on egress detached",
        )

    def _put(self, name: str, key: int | bytes, value: bytes) -> None:
        self._path.map(name).update(key, value)

    def explain(
        self, frame: bytes, packet: Packet, ifindex: int, mark: int, names: Mapping[int, str]
    ) -> Explanation:
        """What would happen to a frame; ``names`` of interfaces. Nothing is changed.

        The first one takes a second or two, and holds memory until ``explained``. May be
        called from another thread. Raises Problem.
        """
        trial = self._rehearsals.run(frame, packet.hook, ifindex, mark)
        door = Door(
            self._layout,
            self._path.geometry.hz,
            lambda name, key: self._path.map(name).lookup(key),
            lambda index: names.get(index, f"interface {index}"),
        )
        return Story(door, trial).tell(packet)

    def explained(self) -> None:
        """Nothing more is to be explained for now: give the memory back."""
        self._rehearsals.close()

    # ---- hooks

    def attach(self, ifname: str, hook: str) -> None:
        """Run on an interface. Raises Problem."""
        self._path.attach(ifname, hook)

    def detach(self, ifname: str) -> None:
        """Stop running on an interface."""
        self._path.detach(ifname)

    def attachments(self) -> list[Attached]:
        """What is attached in this network namespace."""
        return list(self._path.attachments())

    def start_sweep(self) -> None:
        """Let connections expire in the kernel."""
        self._path.start_sweep()

    @property
    def hz(self) -> int:
        """Ticks per second."""
        return self._path.geometry.hz

    def sync_maps(self) -> SyncMaps:
        """For connection sync; to be closed before this."""
        return SyncMaps(self._path)

    def syn_maps(self) -> SynMaps:
        """For SYN proxy."""
        return SynMaps(self._path)

    def events_fd(self) -> int:
        """Descriptor of the ring buffer in which packets ask for neighbours."""
        return self._path.map("events").fd

    def event(self, data: bytes) -> records.Event:
        """One record of that ring buffer."""
        return self._layout.unpack(records.Event, data)

    def close(self) -> None:
        """Let go; the data path runs on."""
        for view in self._views.values():
            view.release()
        self._views.clear()
        self._connections.close()
        self._rehearsals.close()
        self._path.close()

    # ---- bytes

    def _view(self, name: str, *, writable: bool = False) -> tuple[memoryview, int]:
        found = self._path.map(name)
        if name not in self._views:
            self._views[name] = found.view(writable=writable)
        return self._views[name], found.stride

    def _at(self, name: str, record: type[R], index: int) -> R:
        view, stride = self._view(name)
        return self._layout.unpack(record, view, index * stride)

    def _one(self, name: str, record: type[R]) -> R:
        return self._layout.unpack(record, self._path.map(name).lookup(0) or b"")

    def _entries(self, name: str, record: type[R]) -> dict[int, R]:
        codec = self._layout.codec(record)
        empty = bytes(codec.size)
        return {
            int.from_bytes(key, "little"): codec.unpack(value)
            for key, value in self._path.map(name).items()
            if value != empty
        }

    def _totals(self, name: str, ids: Iterable[int]) -> Totals:
        found = self._path.map(name)
        places = np.fromiter(ids, np.int64)
        sorted_ = np.unique(places)
        # What lies close together is read at once, with what lies between.
        cuts = np.flatnonzero(np.diff(sorted_) > _GAP) + 1
        raw, kept, read = [], [], 0
        for run in np.split(sorted_, cuts) if len(sorted_) else ():
            first, count = int(run[0]), int(run[-1] - run[0]) + 1
            raw.append(found.values(first, count))
            kept.append(run - first + read)
            read += count
        words = np.frombuffer(b"".join(raw), np.int64)
        by_cpu = words.reshape(-1, found.cpus, found.stride // _COUNTER_BYTES)
        offsets = self._layout.codec(records.Stats).offsets
        columns = [offsets[field] // _COUNTER_BYTES for field in records.Stats._fields]
        rows = np.concatenate(kept or [places])[np.searchsorted(sorted_, places)]
        totals: Totals = by_cpu[rows].sum(axis=1)[:, columns]
        return totals

    def _summed(self, name: str, record: type[R], index: int) -> R:
        codec = self._layout.codec(record)
        each = [codec.unpack(raw) for raw in self._path.map(name).lookup_percpu(index)]
        make = cast("Callable[..., R]", record)
        return make(*map(sum, zip(*each, strict=True)))


def _number(value: int) -> bytes:
    return value.to_bytes(_ID_BYTES, "little")
