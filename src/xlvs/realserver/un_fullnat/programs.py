# SPDX-License-Identifier: Apache-2.0
"""The programs of un-FULLNAT at clsact: load, attach, look at, take off.

Nothing stays pinned: the filters keep programs and maps alive, and both go with the
interface. A further ``up`` finds the maps by their ids, so living connections go on.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import xlvs.datapath
from xlvs.datapath import libbpf, pins
from xlvs.datapath.problems import explained
from xlvs.model.problem import Code, Problem
from xlvs.realserver.client_address import kept
from xlvs.realserver.client_address.wanted import Wanted
from xlvs.realserver.host import LinuxHost
from xlvs.realserver.un_fullnat.wanted import UnWanted, packed, unpacked

OBJECT = Path(xlvs.datapath.__file__).with_name("objects") / "unfullnat.bpf.o"

COUNTS = ("shown", "without", "malformed", "collisions", "fragments", "lost", "no_memory")
"""enum un_count of bpf/unfullnat/maps.h."""

# Of all filters on clsact these are ours, behind those of tunnels (decap.py).
HANDLE = 1
PRIORITY = 0x5857

_FIRST = struct.pack("=I", 0)
_SETTINGS = 8  # bytes of struct un_settings
_ID_AT = 4  # struct bpf_map_info, struct bpf_prog_info
_OTHER_LAYOUT = "parameter mismatch"  # libbpf's words for a pinned map of another form


class Kept(NamedTuple):
    """What the programs know: whom they believe, by which option, what they counted."""

    told: Wanted
    mark: int
    counts: dict[str, int]


class Attached(NamedTuple):
    """Ids that the kernel gives: of the maps by name; of the programs, in and out."""

    maps: dict[str, int]
    programs: tuple[int, int]


class Programs(Protocol):
    """The programs on interfaces, or a test's idea of them."""

    def has_clsact(self, interface: str) -> bool:
        """The qdisc that carries filters is there."""

    def attach(self, wanted: UnWanted, maps: Mapping[str, int]) -> Attached:
        """Attach, or exchange what is attached; go on with these maps. Raises Problem."""

    def detach(self, interface: str, *, clsact: bool) -> bool:
        """Take both off, and the qdisc if it is ours and empty; False: others are on it."""

    def programs(self, interface: str) -> tuple[int, int]:
        """Ids of what is attached where ours are, in and out; 0: nothing."""

    def kept(self, maps: Mapping[str, int]) -> Kept | None:
        """What the maps say; None: they are gone."""


class EbpfPrograms:
    """``Programs`` by libbpf."""

    def __init__(self, host: LinuxHost) -> None:
        self._host = host

    def has_clsact(self, interface: str) -> bool:
        return self._host.has_clsact(interface)

    def attach(self, wanted: UnWanted, maps: Mapping[str, int]) -> Attached:
        if not OBJECT.exists():
            raise Problem(
                Code.INTERNAL,
                f"{OBJECT} is missing: build it with script/bootstrap or reinstall xlvs",
            )
        index = self._host.index(wanted.interface)
        with (
            _named(maps) as folder,
            libbpf.captured_log() as log,
            _clearer(log),
            explained("loading un-FULLNAT's programs", wanted.interface, log),
            closing(libbpf.Object(str(OBJECT), str(folder))) as loaded,
        ):
            loaded.load()
            found, programs = loaded.map_fds(), loaded.program_fds()
            libbpf.map_update(found["un_settings"], _FIRST, packed(wanted.mark, wanted.told.kind))
            kept.believe(found["un_believed"], wanted.told.believed)
            libbpf.tc_hook_create(index)
            # No packet comes in changed that could not go back.
            for point, name in (
                (libbpf.TC_EGRESS, "xlvs_unfullnat_out"),
                (libbpf.TC_INGRESS, "xlvs_unfullnat_in"),
            ):
                libbpf.tc_attach(index, point, programs[name], HANDLE, PRIORITY)
            ids = {name: _id(fd) for name, fd in found.items() if name.startswith("un_")}
            return Attached(ids, self.programs(wanted.interface))

    def detach(self, interface: str, *, clsact: bool) -> bool:
        if interface not in self._host.interfaces():
            return True  # it took all along
        index = self._host.index(interface)
        with explained("taking un-FULLNAT's programs off", interface):
            for point, found in zip(
                (libbpf.TC_INGRESS, libbpf.TC_EGRESS), self.programs(interface), strict=True
            ):
                if found:
                    libbpf.tc_detach(index, point, HANDLE, PRIORITY)
            if not (clsact and self._host.has_clsact(interface)):
                return True
            if self._host.has_filters(interface):
                return False
            libbpf.tc_hook_destroy(index)
            return True

    def programs(self, interface: str) -> tuple[int, int]:
        if interface not in self._host.interfaces() or not self._host.has_clsact(interface):
            return 0, 0
        index = self._host.index(interface)
        return (
            libbpf.tc_query(index, libbpf.TC_INGRESS, HANDLE, PRIORITY),
            libbpf.tc_query(index, libbpf.TC_EGRESS, HANDLE, PRIORITY),
        )

    def kept(self, maps: Mapping[str, int]) -> Kept | None:
        with contextlib.ExitStack() as opened:
            try:
                fds = {name: libbpf.map_by_id(number) for name, number in maps.items()}
            except FileNotFoundError:
                return None
            for fd in fds.values():
                opened.callback(os.close, fd)
            if not fds:
                return None
            value = libbpf.map_lookup(fds["un_settings"], _FIRST, _SETTINGS) or bytes(_SETTINGS)
            mark, kind = unpacked(value)
            told = Wanted(kept.believed(fds["un_believed"]), kind)
            return Kept(told, mark, kept.counted(fds["un_counts"], COUNTS))


@contextmanager
def _named(maps: Mapping[str, int]) -> Iterator[Path]:
    """Maps that there are have a name while the programs are loaded, so that these use them."""
    folder = pins.reach(pins.BPFFS / f"xlvs-un-fullnat-{os.getpid()}")
    folder.mkdir(mode=0o700)
    try:
        for name, number in maps.items():
            with contextlib.suppress(FileNotFoundError):
                fd = libbpf.map_by_id(number)
                try:
                    libbpf.pin(fd, str(folder / name))
                finally:
                    os.close(fd)
        yield folder
    finally:
        pins.remove_tree(folder)


@contextmanager
def _clearer(log: list[str]) -> Iterator[None]:
    """The cause that libbpf's words hide."""
    try:
        yield
    except Problem as problem:
        if _OTHER_LAYOUT not in "".join(log):
            raise
        raise Problem(
            Code.NOT_SUPPORTED,
            "another version of xlvs set this up, which remembers otherwise: first"
            " `xlvs realserver down --un-fullnat`, which ends living connections",
        ) from problem


def _id(fd: int) -> int:
    return int(struct.unpack_from("=I", libbpf.info(fd), _ID_AT)[0])
