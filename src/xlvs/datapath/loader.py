# SPDX-License-Identifier: Apache-2.0
"""The data path of one instance: load, adopt, attach, remove.

Everything is pinned below one folder of bpffs, so it outlives this process:

``maps/``   the maps by name
``progs/``  the programs by name
``links/``  what is attached where (attach.py)
``namespace`` the network namespace of the interfaces (place.py)
``layout``  a map of one value: the layout of all records as text

``layout`` is pinned last. A folder without it is the rest of a start that broke
off, and is cleared away.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from xlvs.datapath import attach as hooks
from xlvs.datapath import libbpf, pins, records
from xlvs.datapath.btf import BtfError, read
from xlvs.datapath.layout import Layout, LayoutError, difference
from xlvs.datapath.maps import Map, map_info
from xlvs.datapath.place import entered, here, remember, remembered
from xlvs.datapath.problems import DataPathProblem, explained, no_privilege, privileged
from xlvs.datapath.programs import HOOK_PROGRAMS, Programs
from xlvs.model.problem import Code

OBJECTS = Path(__file__).parent / "objects"
CONTROL_OBJECT = "control.bpf.o"
OBJECT_FILES = (*dict.fromkeys(HOOK_PROGRAMS.values()), CONTROL_OBJECT)
COMMIT_PROGRAM = "xlvs_commit"
SWEEP_PROGRAM = "xlvs_start_sweep"
NOW_PROGRAM = "xlvs_now"
SYNC_PROGRAM = "xlvs_sync"
CLOSE_PROGRAM = "xlvs_close"

_LAYOUT_BYTES = 1 << 16
_CLOCK_MONOTONIC_COARSE = 6  # its resolution is the kernel's tick
_TICKS = 1 << 32  # as many as the maps tell apart
_SECRET_BYTES = 8
_START_ATTEMPTS = 100
_START_PAUSE = 0.02  # s
_ROOM_BYTES = 8 << 20

CONNECTIONS_MAX = (1 << 32) // records.WAYS4 - records.CHAIN
"""A place in the table has a number of 32 bits."""

PORT_BLOCKS_MAX = (1 << 16) - 2
"""A connection names its block in 16 bits; there has to be a number for none."""

_LINES6_MIN = 1024
_HALF_OPEN_MIN = 64
_SHARE = 4  # a quarter of the table may be IPv6's, and half-open


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of entries; fixed when an instance's maps are made.

    ``connections``: for so many the table is rated. It has nearly twice as many places,
    of 32 bytes: about half full, no connection finds all of its taken.
    ``services``, ``destinations``: together 41 MB, and 7 MB more for each CPU.
    ``service_destinations``: places in the services' lists, of which each change needs
    some, so half of them may be taken; four for each destination, so that all lists may be
    written anew while packets still read those of now and before.
    ``slot_pages``: of ``records.SLOT_PAGE`` slots of 16 bytes; they take memory as services
    need them. A service has 4093 slots with the scheduler mh, so 16 fit into a page, and 256
    with sh: as many services as there can be have slots, also when all are written anew at
    once.
    ``connections6``: places of IPv6, of 64 bytes; 0 stands for a quarter.
    """

    connections: int = 262144
    services: int = 16384
    destinations: int = 131072
    service_destinations: int = 1 << 19
    port_blocks: int = 1024
    slot_pages: int = 2048
    connections6: int = 0

    def __post_init__(self) -> None:
        if not self.connections6:
            lines = max(min(_LINES6_MIN, self.connections), self.connections // _SHARE)
            object.__setattr__(self, "connections6", lines)

    @classmethod
    def rated(cls, connections: int, ipv6: int | None = None) -> Self:
        """Sizes for so many connections; of IPv6 an eighth of that if not said.

        Its lines have one place each, so they have to be emptier than IPv4's.
        """
        return cls(connections=connections, connections6=2 * ipv6 if ipv6 else 0)

    @property
    def port_rows(self) -> int:
        """Places in all rows of blocks: a row has its length and its blocks, before and after."""
        return 4 * self.port_blocks

    @property
    def hash_slots(self) -> int:
        """Slots in all pages together."""
        return self.slot_pages * records.SLOT_PAGE

    def check(self) -> None:
        """Raises DataPathProblem if the maps cannot be that big whatever the memory."""
        for wanted, most, what in (
            (self.connections, CONNECTIONS_MAX, "connections in the table (--table-size)"),
            (
                self.connections6,
                CONNECTIONS_MAX,
                "places for IPv6 connections (twice --table-size-ipv6)",
            ),
            (self.port_blocks, PORT_BLOCKS_MAX, "pairs of local address and real server"),
        ):
            if wanted > most:
                raise DataPathProblem(
                    Code.INVALID, f"there can be {most} {what} at most, not {wanted}"
                )


def _lines4(connections: int) -> int:
    """Lines of two places, a few less than one for each connection.

    At 80 % of the rating it is 77 bytes for each, 153 where FULLNAT takes two places,
    and nobody is refused; at all of it, one newcomer of some millions (ADR 10).
    """
    return connections - connections // 24


def _regions(lines: int) -> int:
    return (lines + records.CHAIN - 1) // records.REGION_LINES + 1


def geometry(sizes: Sizes) -> records.Geometry:
    """What packets must know of the table. Each call has other secrets."""
    secret = [int.from_bytes(os.urandom(_SECRET_BYTES), "little") for _ in range(2)]
    return records.Geometry(
        secret=(secret[0], secret[1] | 1),  # the second one is a factor: odd loses nothing
        lines4=_lines4(sizes.connections),
        lines6=sizes.connections6,
        hz=round(1 / time.clock_getres(_CLOCK_MONOTONIC_COARSE)),
        half_open_max=max(sizes.connections // _SHARE, _HALF_OPEN_MIN),
        connections=sizes.connections,
    )


# A chain of lines that begins at the last one must not wrap.
_BEHIND = records.CHAIN - 1

_TEMPLATES_MAX = 1 << 20
_CALL_IDS_MAX = 1 << 17


def _templates(sizes: Sizes) -> int:
    """Templates, connections under them or under a limit, clients, and streams, that are counted.

    A hash takes 16 bytes for each possible entry at once, so there is an end to it: what
    is beyond lives by its time-out alone.
    """
    return min(sizes.connections + sizes.connections6, _TEMPLATES_MAX)


_ENTRIES: Mapping[str, Callable[[Sizes], int]] = {
    "services_by_key4": lambda s: s.services,
    "services_by_key": lambda s: s.services,
    "services": lambda s: s.services,
    "schedules": lambda s: s.services,
    "locality_tables": lambda s: s.services,
    "admissions": lambda s: 2 * s.services,
    "admitted": lambda s: s.services,
    "arrivals": lambda s: s.services,
    "clients": _templates,
    "counted": _templates,
    "service_stats": lambda s: s.services,
    "service_destinations": lambda s: s.service_destinations,
    "remap": lambda s: s.service_destinations,
    "destinations": lambda s: s.destinations,
    "destination_load": lambda s: s.destinations,
    "destination_stats": lambda s: s.destinations,
    "real_servers": lambda s: s.destinations,
    "hash_slots": lambda s: s.slot_pages,
    "port_blocks": lambda s: s.port_blocks,
    "port_rows": lambda s: s.port_rows,
    "local_ports": lambda s: s.port_blocks,
    "connections4": lambda s: _lines4(s.connections) + _BEHIND,
    "connections6": lambda s: s.connections6 + _BEHIND,
    "regions4": lambda s: _regions(_lines4(s.connections)),
    "regions6": lambda s: _regions(s.connections6),
    "templates": _templates,
    "controlled": _templates,
    "streams": _templates,
    "call_ids": lambda s: min(_templates(s), _CALL_IDS_MAX),
}
"""Map -> its size; maps not named here keep the size that C gives them."""


def _sizes(maps: Mapping[str, Map], connections: int) -> Sizes:
    """The sizes of a running data path; what its lines are rated for they do not say."""

    def entries(name: str) -> int:
        return maps[name].info.max_entries

    return Sizes(
        connections=connections,
        services=entries("services"),
        destinations=entries("destinations"),
        service_destinations=entries("service_destinations"),
        port_blocks=entries("port_blocks"),
        slot_pages=entries("hash_slots"),
        connections6=entries("connections6") - _BEHIND,
    )


class DataPath:
    """A loaded data path. Made by ``open``; ``close`` leaves it running."""

    def __init__(
        self,
        pin_folder: Path,
        layout: Layout,
        maps: Mapping[str, Map],
        programs: dict[str, int],
        objects: Path,
        *,
        adopted: bool,
    ) -> None:
        self.pins = pin_folder
        self.layout = layout
        self.adopted = adopted
        """Whether it ran before: connections and counters were kept."""
        self.programs = Programs(programs, self._load)
        """Program name -> descriptor."""
        self._objects = objects
        self._maps = maps
        self.geometry = layout.unpack(records.Geometry, maps["geometry"].lookup(0) or b"")
        """The table's, and ``hz``: ticks per second."""
        self.sizes = _sizes(maps, self.geometry.connections)
        """Sizes in effect: those of the first start if adopted."""
        self.egress = self._settings().local_destinations > 0
        """Whether interfaces have a program on egress: while a server is on the director itself."""
        self.behind_xdp = _behind_xdp(self._settings())
        """Whether interfaces with XDP have a program on TC too, for what XDP passes to it."""

    @classmethod
    def open(
        cls, pin_folder: Path, sizes: Sizes | None = None, objects: Path = OBJECTS
    ) -> DataPath:
        """Load what interfaces do not run, on top of what is pinned there if its layout agrees.

        What they run is loaded when one is attached: those that are attached get their new
        ones now. Raises DataPathProblem; a start that fails leaves nothing new behind.
        """
        if not privileged():
            raise no_privilege("loading the data path")
        _check_library()
        _check_objects(objects)
        place = pins.reach(pin_folder)
        sizes = sizes or Sizes()
        sizes.check()
        layout = _read_layout(objects / OBJECT_FILES[0])
        adopted = _check_pinned(place, layout, pin_folder)
        if adopted:
            _check_namespace(place, pin_folder)
        else:
            _remove(place)
        try:
            for name in ("maps", "progs", "links"):
                (place / name).mkdir(mode=0o700, parents=True, exist_ok=True)
            build = _build_of(objects)
            same = adopted and _read_text(place / "build") == build
            maps, programs = _gathered(place, objects, sizes, pinned=same)
            if not adopted:
                # Before anything is attached: it decides where connections are.
                maps["geometry"].update(0, layout.pack(geometry(sizes)))
            path = cls(place, layout, maps, programs, objects, adopted=adopted)
            path._settle(build)
        except BaseException:
            if not adopted:
                _remove(place)
            raise
        return path

    def _settle(self, build: bytes) -> None:
        """Pin what was loaded, and let it take over the hooks of its forerunner.

        ``build`` comes last: where it is found, all of this was done.
        """
        try:
            with explained(f"pinning in {self.pins}"):
                (self.pins / "build").unlink(missing_ok=True)
                for name, fd in self.programs.loaded.items():
                    pins.replace(fd, self.pins / "progs" / name)
                remember(self.pins)
                if not self.adopted:
                    _pin_layout(self.pins, self.layout)
            for found in self.attachments():
                self.attach(found.ifname, found.hook)
            with explained(f"pinning in {self.pins}"):
                for pin in (self.pins / "progs").iterdir():
                    if pin.name not in self.programs.loaded:
                        pin.unlink()  # another build's, that no interface runs any more
                _pin_text(self.pins / "build", build)
        except BaseException:
            self.close()
            raise

    def _load(self, name: str) -> int:
        """A program that interfaces run; pinned."""
        path = self._objects / HOOK_PROGRAMS[name]
        maps: dict[str, Map] = {}
        loaded: dict[str, int] = {}
        _load_object(path, self.pins / "maps", self.sizes, maps, loaded, only=name)
        for each in maps.values():
            each.close()
        if name not in loaded:
            raise DataPathProblem(
                Code.INTERNAL, f"there is no program {name}: run script/bootstrap", str(path)
            )
        try:
            with explained(f"pinning in {self.pins}"):
                pins.replace(loaded[name], self.pins / "progs" / name)
        except BaseException:
            os.close(loaded[name])
            raise
        return loaded[name]

    def _settings(self) -> records.Settings:
        return self.layout.unpack(records.Settings, self._maps["settings"].lookup(0) or b"")

    def map(self, name: str) -> Map:
        """A map by its name in bpf/maps.h; KeyError if C has none."""
        return self._maps[name]

    def maps(self) -> Iterable[Map]:
        """All maps."""
        return self._maps.values()

    def attach(self, ifname: str, hook: str) -> None:
        """Run on an interface by ``xdp`` (native), ``xdp-generic`` or ``tc``."""
        hooks.attach(
            self.pins / "links",
            ifname,
            hook,
            self.programs,
            egress=self.egress,
            answers=self.behind_xdp,
        )

    def detach(self, ifname: str) -> None:
        """Stop running on an interface."""
        hooks.detach(self.pins / "links", ifname)

    def put_egress(self, *, on: bool) -> None:
        """Let what is sent pass our program, or not any more: on all interfaces, or no change.

        Interfaces that are attached later do as these.
        """
        try:
            self._put_egress(on=on)
        except DataPathProblem:
            with suppress(DataPathProblem):
                self._put_egress(on=not on)
            raise
        self.egress = on

    def _put_egress(self, *, on: bool) -> None:
        for found in self.attachments():
            if on:
                hooks.attach_egress(self.pins / "links", found.ifname, self.programs)
            else:
                hooks.detach_egress(self.pins / "links", found.ifname)

    def put_behind_xdp(self, settings: records.Settings) -> None:
        """With these settings XDP passes packets to a program on TC, or not any more."""
        on = _behind_xdp(settings)
        if on == self.behind_xdp:
            return
        for found in self.attachments():
            if found.hook != "tc":
                hooks.put_answers(self.pins / "links", found.ifname, self.programs, on=on)
        self.behind_xdp = on

    def attachments(self) -> list[hooks.Attachment]:
        """What is attached in this network namespace."""
        with explained("reading what is attached"):
            return hooks.attachments(self.pins / "links")

    def commit(self, commit: records.Commit) -> int:
        """Give a service another list and cursor in one step; the new generation."""
        codec = self.layout.codec(records.Commit)
        with explained("committing a service's destinations"):
            run = libbpf.test_run(self.programs[COMMIT_PROGRAM], None, codec.pack(commit), 0, 0)
        if run.retval:
            raise DataPathProblem(
                Code.INTERNAL,
                f"the data path refused the list of service {commit.service} (code {run.retval}): "
                "report it",
            )
        return codec.unpack(run.ctx_out).generation

    def start_sweep(self) -> None:
        """Let connections expire; idempotent, and it goes on without this process."""
        self.start(SWEEP_PROGRAM)

    def start(self, program: str) -> None:
        """Run a control program that starts a timer, which does the work in a moment.

        The kernel takes a new timer's memory without waiting for any, so that a busy
        machine may refuse one for a while. Memory that we take and give back makes it
        reclaim some.
        """
        for _ in range(_START_ATTEMPTS):
            with explained(f"running {program}"):
                run = libbpf.test_run(self.programs[program], None, None, 0, 0)
            if not run.retval:
                return
            _ = bytes(range(256)) * (_ROOM_BYTES // 256)  # each page is touched
            time.sleep(_START_PAUSE)
        reason = os.strerror(-ctypes.c_int32(run.retval).value)
        raise DataPathProblem(Code.INTERNAL, f"{program} did not start ({reason}): report it")

    def ticks(self) -> int:
        """The present tick, to compare with the maps' times by difference."""
        return self.ticks64() % _TICKS

    def ticks64(self) -> int:
        """All of the present tick: it never begins anew."""
        codec = self.layout.codec(records.Now)
        with explained("reading the data path's clock"):
            run = libbpf.test_run(self.programs[NOW_PROGRAM], None, codec.pack(records.Now()), 0, 0)
        return codec.unpack(run.ctx_out).ticks

    def close(self) -> None:
        """Close the descriptors; the data path goes on."""
        self.programs.close()
        for each in self._maps.values():
            each.close()


def _behind_xdp(settings: records.Settings) -> bool:
    return bool(settings.local_clients or settings.syn_proxies)


def remove(pin_folder: Path) -> None:
    """Detach and unpin everything of an instance; fine if there is nothing.

    Also from another network namespace than that of its interfaces.
    """
    place = pins.find(pin_folder)
    if place is None or not place.exists():
        return
    if not privileged():
        raise no_privilege("removing the data path")
    _remove(place)


def exists(pin_folder: Path) -> bool:
    """Whether a complete data path is pinned there."""
    place = pins.find(pin_folder)
    return place is not None and (place / "layout").exists()


def _remove(place: Path) -> None:
    links = place / "links"
    with explained(f"removing {place}"), entered(remembered(place)):
        for ifname in hooks.recorded(links):
            hooks.detach(links, ifname)
    with explained(f"removing {place}"):
        # The mark of completeness goes first, as it came last.
        (place / "layout").unlink(missing_ok=True)
        (place / "build").unlink(missing_ok=True)
        pins.remove_tree(place)


def _check_library() -> None:
    try:
        libbpf.possible_cpus()
    except OSError as error:
        raise DataPathProblem(
            Code.NOT_SUPPORTED,
            f"{libbpf.SONAME} cannot be loaded: install it (apt-get install libbpf1)",
        ) from error


def _check_objects(objects: Path) -> None:
    missing = [name for name in OBJECT_FILES if not (objects / name).exists()]
    if missing:
        raise DataPathProblem(
            Code.NOT_SUPPORTED,
            f"the compiled data path lacks {', '.join(missing)}: build it (script/bootstrap)",
            str(objects),
        )


def _read_layout(path: Path) -> Layout:
    try:
        return Layout(read(path.read_bytes()))
    except (BtfError, LayoutError) as error:
        raise DataPathProblem(
            Code.INTERNAL,
            f"{path.name} does not belong to this version ({error}): build it (script/bootstrap)",
            str(path),
        ) from error


def _check_pinned(place: Path, layout: Layout, shown: Path) -> bool:
    """Whether a running data path can be adopted; raises if it is one of another layout."""
    if not (place / "layout").exists():
        return False
    with explained(f"reading {shown}"):
        text = _read_text(place / "layout")
    wrong = difference(layout.fingerprint(), text)
    if wrong:
        raise DataPathProblem(
            Code.NOT_SUPPORTED,
            f"the running data path was loaded by another version of xlvs ({wrong}): "
            "remove it first (xlvs down), which ends its connections",
            str(shown),
        )
    return True


def _check_namespace(place: Path, shown: Path) -> None:
    """Refuse to adopt what runs on interfaces of another namespace: they would be lost."""
    kept = remembered(place)
    if kept is None or kept == here() or not hooks.recorded(place / "links"):
        return
    with entered(kept) as alive:
        running = alive and hooks.attachments(place / "links")
    if running:
        names = ", ".join(found.ifname for found in running)
        raise DataPathProblem(
            Code.INVALID,
            f"this instance runs in another network namespace (on {names}): start it there, "
            "or remove it first (xlvs down), which ends its connections",
            str(shown),
        )


def _pin_layout(place: Path, layout: Layout) -> None:
    _pin_text(place / "layout", layout.fingerprint())


def _pin_text(path: Path, text: bytes) -> None:
    """A map with the text as its one value, for bpffs has no plain files."""
    fd = libbpf.map_create(libbpf.BPF_MAP_TYPE_ARRAY, f"xlvs_{path.name}", 4, _LAYOUT_BYTES, 1)
    try:
        libbpf.map_update(fd, bytes(4), text.ljust(_LAYOUT_BYTES, b"\0"))
        libbpf.pin(fd, str(path))
    finally:
        os.close(fd)


def _read_text(path: Path) -> bytes:
    """What ``_pin_text`` wrote; empty if there is nothing."""
    if not path.exists():
        return b""
    fd = libbpf.get(str(path))
    try:
        raw = libbpf.map_lookup(fd, bytes(4), map_info(fd).value_size) or b""
    finally:
        os.close(fd)
    return raw.rstrip(b"\0")


def _build_of(objects: Path) -> bytes:
    """Which programs these are: the same text, the same programs."""
    lines = (
        f"{name} {hashlib.sha256((objects / name).read_bytes()).hexdigest()}"
        for name in OBJECT_FILES
    )
    return "\n".join(lines).encode()


def _gathered(
    place: Path, objects: Path, sizes: Sizes, *, pinned: bool
) -> tuple[dict[str, Map], dict[str, int]]:
    """Maps and programs, by name: those that are pinned, or loaded anew on top of their maps."""
    maps: dict[str, Map] = {}
    programs: dict[str, int] = {}
    try:
        if pinned:
            _open_pinned(place, maps, programs)
        else:
            _load_object(objects / CONTROL_OBJECT, place / "maps", sizes, maps, programs)
    except BaseException:
        for fd in programs.values():
            os.close(fd)
        for each in maps.values():
            each.close()
        raise
    return maps, programs


def _open_pinned(place: Path, maps: dict[str, Map], programs: dict[str, int]) -> None:
    """What is there as it is: a restart does not ask the verifier again."""
    with explained(f"opening what is pinned in {place}"):
        for pin in sorted((place / "maps").iterdir()):
            maps[pin.name] = Map(pin.name, libbpf.get(str(pin)))
        for pin in sorted((place / "progs").iterdir()):
            programs[pin.name] = libbpf.get(str(pin))


def _load_object(
    path: Path,
    map_pins: Path,
    sizes: Sizes,
    maps: dict[str, Map],
    programs: dict[str, int],
    *,
    only: str = "",
) -> None:
    with libbpf.captured_log() as log, explained(f"loading {path.name}", str(path), log):
        loaded = libbpf.Object(str(path), str(map_pins))
        try:
            pinned = [each for each in loaded.maps() if each.pinned]
            for definition in pinned:
                entries = _wanted_entries(map_pins / definition.name, definition.name, sizes)
                if entries:
                    loaded.set_max_entries(definition, entries)
            if only:
                loaded.choose(only)
            loaded.load()
            fds = loaded.map_fds()
            for definition in pinned:
                if definition.name not in maps:
                    maps[definition.name] = Map(definition.name, os.dup(fds[definition.name]))
            for name, fd in loaded.program_fds().items():
                programs[name] = os.dup(fd)
        finally:
            loaded.close()


def _wanted_entries(pinned: Path, name: str, sizes: Sizes) -> int:
    """The size of a map that is pinned already, else the configured one; 0: as C says."""
    if pinned.exists():
        fd = libbpf.get(str(pinned))
        try:
            return map_info(fd).max_entries
        finally:
            os.close(fd)
    size = _ENTRIES.get(name)
    return size(sizes) if size else 0
