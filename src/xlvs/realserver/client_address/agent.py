# SPDX-License-Identifier: Apache-2.0
"""Load, attach, look at and take off the programs that tell client addresses.

All is pinned in a folder for the cgroup: links, which keep the programs attached, and
maps, so that an ``up`` with other words or of another version goes on with the
addresses that are remembered. Nothing else is written down anywhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import xlvs.datapath
from xlvs.datapath import libbpf, links, pins
from xlvs.datapath.problems import explained
from xlvs.model.problem import Code, Problem
from xlvs.realserver.client_address import kept
from xlvs.realserver.client_address.cgroup import Cgroup, opened
from xlvs.realserver.client_address.findings import OLD_KERNEL, State, too_old
from xlvs.realserver.client_address.wanted import Wanted

OBJECT = Path(xlvs.datapath.__file__).with_name("objects") / "clientaddress.bpf.o"
ROOT = pins.BPFFS / "xlvs-client-address"

COUNTS = (
    "by_syn", "by_ack", "later", "without", "not_believed", "malformed", "second", "no_memory",
)  # fmt: skip
"""enum client_count of bpf/clientaddress/maps.h."""

PROGRAMS = {
    "xlvs_client_learn": libbpf.CGROUP_SOCK_OPS,
    "xlvs_client_peer4": libbpf.CGROUP_INET4_GETPEERNAME,
    "xlvs_client_peer6": libbpf.CGROUP_INET6_GETPEERNAME,
}

_CGROUP_AT = 16  # struct bpf_link_info: cgroup.cgroup_id; 0: it is gone
_ROOTS_ALONE = 0o700
_FIRST = struct.pack("=I", 0)
_OTHER_LAYOUT = "parameter mismatch"  # libbpf's words for a pinned map of another form


class Agent:
    """The programs of one cgroup."""

    def __init__(self, cgroup: Cgroup) -> None:
        self._cgroup = cgroup
        self._pins = ROOT / str(cgroup.id)

    def up(self, wanted: Wanted) -> None:
        """Attach, or exchange what is attached; exactly these are believed. Raises Problem.

        A first ``up`` that fails leaves nothing behind.
        """
        if not OBJECT.exists():
            raise Problem(
                Code.INTERNAL,
                f"{OBJECT} is missing: build it with script/bootstrap or reinstall xlvs",
            )
        folder = pins.reach(self._pins)
        fresh = not folder.exists()
        try:
            for each in (folder.parent, folder):
                each.mkdir(mode=_ROOTS_ALONE, exist_ok=True)
            self._load(folder, wanted)
        except BaseException:
            if fresh:
                pins.remove_tree(folder)
                _remove_if_empty(folder.parent)
            raise

    def down(self) -> bool:
        """Take all off and forget; False if nothing was there."""
        folder = pins.find(self._pins)
        if folder is None or not folder.exists():
            return False
        with explained("taking off the programs that tell client addresses"):
            for name in PROGRAMS:
                links.take_off(folder / name)
            pins.remove_tree(folder)
        _remove_if_empty(folder.parent)
        return True

    def state(self) -> State | None:
        """What there is; None: nothing. Raises Problem."""
        folder = pins.find(self._pins)
        if folder is None or not folder.exists():
            return None
        with explained("looking at the programs that tell client addresses"):
            detached = tuple(name for name in PROGRAMS if not self._attached(folder / name))
            believed, kind = _get(folder / "client_believed"), _get(folder / "client_kind")
            counts = _get(folder / "client_counts")
            try:
                value = libbpf.map_lookup(kind, _FIRST, 4) or bytes(4)
                wanted = Wanted(kept.believed(believed), struct.unpack("=I", value)[0])
                found = kept.counted(counts, COUNTS)
                # Who was learnt of later was one without at first.
                found["without"] -= found["later"]
                return State(detached, wanted, found)
            finally:
                for each in (believed, kind, counts):
                    os.close(each)

    @staticmethod
    def everywhere() -> list[int]:
        """Ids of all cgroups that have programs of ours."""
        root = pins.find(ROOT)
        if root is None:
            return []
        found = (_cgroup_of(root / name / "xlvs_client_learn") for name in pins.names(root))
        return [number for number in found if number]

    @staticmethod
    def forget_gone() -> None:
        """Remove what is left of cgroups that are gone: the kernel took their programs off."""
        root = pins.find(ROOT)
        if root is None:
            return
        for folder in [root / name for name in pins.names(root)]:
            if not any(_cgroup_of(folder / each) for each in PROGRAMS):
                pins.remove_tree(folder)
        _remove_if_empty(root)

    def _load(self, folder: Path, wanted: Wanted) -> None:
        with (
            libbpf.captured_log() as log,
            _clearer(log),
            explained("loading the programs that tell client addresses", "", log),
            closing(libbpf.Object(str(OBJECT), str(folder))) as loaded,
        ):
            loaded.load()
            maps, programs = loaded.map_fds(), loaded.program_fds()
            libbpf.map_update(maps["client_kind"], _FIRST, struct.pack("=I", wanted.kind))
            kept.believe(maps["client_believed"], wanted.believed)
            with opened(self._cgroup) as cgroup:
                for name, point in PROGRAMS.items():
                    self._attach(folder / name, programs[name], cgroup, point)

    def _attach(self, pinned: Path, program: int, cgroup: int, point: int) -> None:
        if self._attached(pinned):
            link = libbpf.get(str(pinned))
            try:
                libbpf.link_update(link, program)
            finally:
                os.close(link)
            return
        links.take_off(pinned)
        try:
            link = libbpf.cgroup_link(program, cgroup, point)
        except PermissionError as error:
            raise Problem(
                Code.NOT_SUPPORTED,
                f"another program holds {self._cgroup.path} for itself alone, or root may not"
                f" attach to it (bpftool cgroup show {self._cgroup.path}): end that program, or"
                " name a cgroup with --cgroup",
                "--cgroup",
            ) from error
        links.keep(link, pinned)

    def _attached(self, pinned: Path) -> bool:
        return _cgroup_of(pinned) == self._cgroup.id


@contextlib.contextmanager
def _clearer(log: list[str]) -> Iterator[None]:
    """Two causes that libbpf's words hide."""
    try:
        yield
    except Problem as problem:
        if too_old(os.uname().release):
            raise Problem(Code.NOT_SUPPORTED, OLD_KERNEL) from problem
        if _OTHER_LAYOUT not in "".join(log):
            raise
        raise Problem(
            Code.NOT_SUPPORTED,
            "another version of xlvs set this up, which remembers otherwise: first"
            " `xlvs realserver down --client-address` (living connections are shown with the"
            " director's address from then on)",
        ) from problem


def _cgroup_of(pinned: Path) -> int:
    """The id of the cgroup that a pinned link is on, 0 if there is no link or cgroup."""
    if not pinned.exists():
        return 0
    link = _get(pinned)
    try:
        return int(struct.unpack_from("=Q", libbpf.info(link), _CGROUP_AT)[0])
    finally:
        os.close(link)


def _get(pinned: Path) -> int:
    return libbpf.get(str(pinned))


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
            raise
