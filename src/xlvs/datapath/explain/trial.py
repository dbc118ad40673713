# SPDX-License-Identifier: Apache-2.0
"""One packet through the data path's own code, over copies of what it looks at.

The object is attached nowhere, and nothing of the running data path is written
(bpf/explain/overlay.h). A test run does not send what a program redirects.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from xlvs.datapath import libbpf, records
from xlvs.datapath.btf import Btf, BtfError, Kind, read
from xlvs.datapath.layout import Layout, LayoutError
from xlvs.datapath.loader import OBJECTS, DataPath
from xlvs.datapath.maps import Map
from xlvs.datapath.problems import DataPathProblem, explained
from xlvs.datapath.testrun import Result, tc_context, test_run, xdp_context
from xlvs.model.problem import Code

_POOLS = {
    "copies": 0,
    "copied_destinations": 1,
    "copied_loads": 1,
    "copied_ports": 0,
}
"""Maps of copies -> whether there may be one for each destination."""

_OTHERS = ("notes", "packets", "asked")

_VERDICTS = {
    ("xdp", 1): "drop",
    ("xdp", 2): "pass",
    ("xdp", 4): "send",
    ("tc", 0xFFFFFFFF): "pass",  # TC_ACT_UNSPEC: the next filter's turn
    ("tc", 2): "drop",
    ("tc", 7): "send",
}
_COPIED = "XLVS_COPIED_"
_NOTE = "XLVS_NOTE_"


class TemplateFound(IntEnum):
    """enum xlvs_note_template."""

    NONE = 0
    OVER = 1
    ABANDONED = 2
    FOUND = 3


class Note(NamedTuple):
    """What the packet left in writing; see bpf/explain/notes.h."""

    id: int
    a: int
    b: int


class Copy(NamedTuple):
    """An entry as the packet left it, and as it was; None: there is or was none."""

    now: bytes | None
    was: bytes | None


class Trial(NamedTuple):
    """What came of a run. ``notes`` by kind, ``looked`` how many of each there were."""

    verdict: str
    reason: str
    frame: bytes
    notes: Mapping[str, tuple[Note, ...]]
    looked: Mapping[str, int]
    copies: Mapping[str, Mapping[bytes, Copy]]
    packet: Mapping[str, bytes]
    template: Mapping[str, bytes]
    asked: bool

    def note(self, kind: str) -> Note | None:
        """The last of its kind."""
        found = self.notes.get(kind)
        return found[-1] if found else None

    def number(self, field: str) -> int:
        """A plain number of ``struct packet``."""
        return int.from_bytes(self.packet[field], "little")


class Rehearsal:
    """A loaded object: packets are run one after the other, each as if it were the first."""

    def __init__(self, path: DataPath, hook: str) -> None:
        """Load for a hook (``tc`` or one of XDP's). Raises DataPathProblem."""
        self._kind = _kind(hook)
        self._layout = path.layout
        self._used = False
        image = OBJECTS / f"explain_{self._kind}.bpf.o"
        self._btf = _btf(image)
        with libbpf.captured_log() as log, explained(f"loading {image.name}", str(image), log):
            self._object = libbpf.Object(str(image), str(path.pins / "maps"))
            try:
                for definition in self._object.maps():
                    entries = _entries(path, definition)
                    if entries:
                        self._object.set_max_entries(definition, entries)
                self._object.load()
            except BaseException:
                self._object.close()
                raise
        fds = self._object.map_fds()
        self._maps = {name: Map(name, os.dup(fds[name])) for name in (*_POOLS, *_OTHERS)}

    def close(self) -> None:
        """Let go of everything; nothing stays in the kernel."""
        for each in self._maps.values():
            each.close()
        self._object.close()

    def programs(self) -> Mapping[str, int]:
        """Descriptors of its programs, by name."""
        return self._object.program_fds()

    def run(self, frame: bytes, ifindex: int, mark: int = 0) -> Trial:
        """One packet. Raises DataPathProblem."""
        if self._used:
            for each in self._maps.values():
                each.clear()
        self._used = True
        program = self.programs()[f"xlvs_explain_{self._kind}"]
        xdp = self._kind == "xdp"
        context = xdp_context(len(frame), ifindex) if xdp else tc_context(ifindex, mark)
        wants = " (for XDP the interface has to have a receive queue)" if xdp else ""
        with explained(f"running the packet by {self._kind}{wants}"):
            with _one_cpu() as cpu:
                done = test_run(program, frame, ctx=context)
            return self._trial(done, cpu)

    def _trial(self, done: Result, cpu: int) -> Trial:
        copies = _copies(self._btf, self._maps)
        notes, looked = _notes(self._btf, self._maps["notes"].lookup(0) or b"")
        packets = self._maps["packets"]
        return Trial(
            verdict=_VERDICTS.get((self._kind, done.retval), str(done.retval)),
            reason=_reason(self._layout, copies.get("reasons", {})),
            frame=done.data_out,
            notes=notes,
            looked=looked,
            copies=copies,
            packet=_fields(self._btf, "packet", packets.lookup_percpu(0)[cpu]),
            template=_fields(self._btf, "packet", packets.lookup_percpu(1)[cpu]),
            asked=any(self._maps["asked"].lookup(0) or b""),
        )


class Rehearsals:
    """Both hooks' objects, each loaded at the first packet that needs it.

    The verifier takes a second or two, and a loaded object holds room for a copy of every
    destination: 70 MB by the usual sizes. So it is kept as long as packets come, not for ever.
    """

    def __init__(self, path: DataPath) -> None:
        self._path = path
        self._loaded: dict[str, Rehearsal] = {}
        self._one = threading.Lock()

    def run(self, frame: bytes, hook: str, ifindex: int, mark: int = 0) -> Trial:
        """One packet; others wait. Raises DataPathProblem."""
        kind = _kind(hook)
        with self._one:
            if kind not in self._loaded:
                self._loaded[kind] = Rehearsal(self._path, hook)
            return self._loaded[kind].run(frame, ifindex, mark)

    def close(self) -> None:
        """Let go of what is loaded; the next packet loads anew."""
        with self._one:
            while self._loaded:
                self._loaded.popitem()[1].close()


def _kind(hook: str) -> str:
    return "tc" if hook == "tc" else "xdp"


def _btf(image: Path) -> Btf:
    try:
        btf = read(image.read_bytes())
        Layout(btf)
    except (BtfError, LayoutError) as error:
        raise DataPathProblem(
            Code.INTERNAL,
            f"{image.name} does not belong to this version ({error}): build it (script/bootstrap)",
            str(image),
        ) from error
    return btf


def _entries(path: DataPath, definition: libbpf.MapDefinition) -> int:
    if definition.pinned:
        return path.map(definition.name).info.max_entries
    # A packet looks at the servers of one service: their positions have 16 bits.
    most = min(path.sizes.destinations, records.CURSOR_HEAD)
    return most if _POOLS.get(definition.name) else 0


@contextmanager
def _one_cpu() -> Iterator[int]:
    """What is per CPU is read from where the packet was; only this thread moves."""
    allowed = os.sched_getaffinity(0)
    cpu = min(allowed)
    os.sched_setaffinity(0, {cpu})
    try:
        yield cpu
    finally:
        os.sched_setaffinity(0, allowed)


def _copies(btf: Btf, maps: Mapping[str, Map]) -> dict[str, dict[bytes, Copy]]:
    names = _enum(btf, "xlvs_copied", _COPIED)
    found: dict[str, dict[bytes, Copy]] = {}
    for pool in _POOLS:
        half = (maps[pool].info.value_size - 8) // 2
        for key, value in maps[pool].items():
            (of,) = struct.unpack_from("=I", key)
            gone, was_there = struct.unpack_from("=II", value)
            now = None if gone else value[8 : 8 + half]
            was = value[8 + half :] if was_there else None
            found.setdefault(names[of], {})[key[4:]] = Copy(now, was)
    return found


def _notes(btf: Btf, raw: bytes) -> tuple[dict[str, tuple[Note, ...]], dict[str, int]]:
    kinds = _enum(btf, "xlvs_note_kind", _NOTE)
    kinds.pop(max(kinds))  # MAX
    layout = _struct(btf, "xlvs_notes")
    at, length = layout["note"]
    size = _size(btf, "xlvs_note")
    room = length // size // len(kinds)
    notes, looked = {}, {}
    for kind, name in kinds.items():
        (total,) = struct.unpack_from("=I", raw, layout["total"][0] + 4 * kind)
        kept = min(total, 1 if name == "choose" else room)
        looked[name] = total
        notes[name] = tuple(
            Note(*struct.unpack_from("=4xIQQ", raw, at + (kind * room + i) * size))
            for i in range(kept)
        )
    return notes, looked


def _reason(layout: Layout, copies: Mapping[bytes, Copy]) -> str:
    """Whose counter was raised: the only one that was looked at."""
    codec = layout.codec(records.ReasonStats)
    for key, copy in copies.items():
        if copy.now and copy.was and codec.unpack(copy.now) != codec.unpack(copy.was):
            return layout.reasons[int.from_bytes(key[:4], "little")]
    return ""


def _enum(btf: Btf, name: str, prefix: str) -> dict[int, str]:
    found = btf.find(Kind.ENUM, name)
    if found is None:
        raise DataPathProblem(Code.INTERNAL, f"the object has no enum {name}: build it again")
    return {value: spelled.removeprefix(prefix).lower() for spelled, value in found.values}


def _struct(btf: Btf, name: str) -> dict[str, tuple[int, int]]:
    """Where fields are and how long; of structs within the struct as ``outer.inner``."""
    found = btf.find(Kind.STRUCT, name)
    if found is None:
        raise DataPathProblem(Code.INTERNAL, f"the object has no struct {name}: build it again")
    fields = {}
    for member in found.members:
        at, size = member.bit_offset // 8, btf.size_of(member.type_id)
        fields[member.name] = (at, size)
        kind, _ = btf.resolve(member.type_id)
        if kind.kind is Kind.STRUCT and kind.name:
            for inner, (offset, length) in _struct(btf, kind.name).items():
                fields[f"{member.name}.{inner}"] = (at + offset, length)
    return fields


def _size(btf: Btf, name: str) -> int:
    found = btf.find(Kind.STRUCT, name)
    return found.size if found else 0


def _fields(btf: Btf, name: str, raw: bytes) -> dict[str, bytes]:
    return {field: raw[at : at + size] for field, (at, size) in _struct(btf, name).items()}
