# SPDX-License-Identifier: Apache-2.0
"""The benchmark's own programs, loaded for one hook, and timed runs of what they wrap."""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hatch_build import compiler, flags

from bench.frames import Template
from xlvs.datapath import libbpf
from xlvs.datapath.loader import DataPath
from xlvs.datapath.maps import Map
from xlvs.datapath.testrun import tc_context, test_run, xdp_context

SOURCES = Path(__file__).resolve().parent / "bpf"
EMPTY, WRAPPER = "bench_empty", "bench_wrapper"

_HASHES = ("bench_hash12", "bench_hash40")
# struct bench_case of bpf/bench.h.
_CASE = struct.Struct("=Q13I4xQ4QII80s")
_MISSES_AT = 44
# struct bench_forget of bpf/bench_forget.bpf.c.
_FORGET = struct.Struct("=IIII")
_LINES = 1 << 22  # a loop in the kernel makes twice as many steps at most


class Flows(NamedTuple):
    """Which flows a run visits: ``number`` of them (a power of two), from ``first`` on."""

    number: int
    first: int = 0
    mixed: bool = True


class Run(NamedTuple):
    """CPU time in ns of the whole run, and what came of its last packet."""

    cpu_ns: int
    retval: int
    out: bytes


@contextmanager
def compiled() -> Iterator[Path]:
    """A folder with the compiled programs, for as long as they are needed."""
    with tempfile.TemporaryDirectory(prefix="xlvs-bench-") as folder:
        for source in sorted(SOURCES.glob("*.bpf.c")):
            target = Path(folder) / (source.stem + ".o")
            # The data plane's headers have more than the wrapper uses.
            options = [*flags(), "-Wno-unused-function"]
            command = [compiler(), *options, "-c", str(source), "-o", str(target)]
            if subprocess.run(command, check=False).returncode:
                raise SystemExit(f"{source.name} does not fit the data plane in bpf/: see above")
        yield Path(folder)


class Harness:
    """One hook's programs.

    ``ifindex``: where packets seem to arrive. ``flows``: how many the hash floors hold.
    """

    def __init__(self, hook: str, objects: Path, ifindex: int, flows: int = 1) -> None:
        self.hook = hook
        self._ifindex = ifindex
        self._object = libbpf.Object(str(objects / f"bench_{hook}.bpf.o"), None)
        try:
            for definition in self._object.maps():
                if definition.name in _HASHES:
                    self._object.set_max_entries(definition, flows)
            self._object.load()
            self.programs = self._object.program_fds()
            fds = self._object.map_fds()
            self._case = Map("bench_case", os.dup(fds["bench_case"]))
            self._target = fds["bench_target"]
        except BaseException:
            self._object.close()
            raise
        if self._case.info.value_size != _CASE.size:
            raise SystemExit(f"struct bench_case has {self._case.info.value_size} bytes in C")

    def close(self) -> None:
        """Free everything."""
        self._case.close()
        self._object.close()

    def run(
        self,
        target: int | None,
        template: Template,
        flows: Flows,
        repeat: int,
        ifindex: int = 0,
    ) -> Run:
        """Run a program behind the wrapper so many times; ``target`` None: empty, without it."""
        program = self.programs[EMPTY]
        if target is not None:
            program = self.programs[WRAPPER]
            libbpf.map_update(self._target, bytes(4), struct.pack("=I", target))
            self._prepare(template, flows)
        ctx = self._context(len(template.frame), ifindex or self._ifindex)
        begin = time.thread_time_ns()
        result = test_run(program, template.frame, repeat=repeat, ctx=ctx)
        return Run(time.thread_time_ns() - begin, result.retval, result.data_out)

    def run_singly(
        self, target: int, template: Template, flows: Flows, repeat: int
    ) -> tuple[list[int], Run]:
        """The same with one system call for each packet: times of each in ns, by the kernel."""
        libbpf.map_update(self._target, bytes(4), struct.pack("=I", target))
        self._prepare(template, flows)
        ctx = self._context(len(template.frame), self._ifindex)
        program, frame = self.programs[WRAPPER], template.frame
        times = []
        for _ in range(repeat):
            result = test_run(program, frame, ctx=ctx)
            times.append(result.duration_ns)
        return times, Run(sum(times), result.retval, result.data_out)

    @property
    def misses(self) -> int:
        """Look-ups of the hash floors that found nothing in the last run."""
        raw = self._case.lookup(0) or b""
        (count,) = struct.unpack_from("=I", raw, _MISSES_AT)
        return int(count)

    def _prepare(self, template: Template, flows: Flows) -> None:
        mask = flows.number - 1
        self._case.update(
            0,
            _CASE.pack(
                flows.first,
                mask,
                max(mask.bit_length() // 2, 1),
                flows.mixed,
                template.kind,
                template.ip_sum,
                template.l4_sum,
                template.address,
                template.server,
                template.server_mask,
                0,
                len(template.frame),
                template.tail,
                template.proof.slot_ticks,
                template.proof.offset,
                *template.proof.key,
                template.proof.isn,
                template.proof.mss,
                template.frame,
            ),
        )

    def _context(self, length: int, ifindex: int) -> bytes:
        return xdp_context(length, ifindex) if self.hook == "xdp" else tc_context(ifindex)


class Forget:
    """The program that ends connections of one data path."""

    def __init__(self, path: DataPath, objects: Path) -> None:
        pins = path.pins / "maps"
        self._object = libbpf.Object(str(objects / "bench_forget.bpf.o"), str(pins))
        try:
            for definition in self._object.maps():
                if definition.pinned:  # of the size that it has there
                    entries = path.map(definition.name).info.max_entries
                    self._object.set_max_entries(definition, entries)
            self._object.load()
        except BaseException:
            self._object.close()
            raise
        self._program = self._object.program_fds()["bench_forget"]
        self._parts = [
            (v6, first, min(_LINES, lines - first))
            for v6, name in enumerate(("connections4", "connections6"))
            for lines in (path.map(name).info.max_entries,)
            for first in range(0, lines, _LINES)
        ]

    def __call__(self, clients: int = 0) -> None:
        """End what runs have opened: what is half-open, or all of these clients, over IPv4.

        ``clients``: the first one's address, as a number.
        """
        for part in self._parts:
            libbpf.test_run(self._program, None, _FORGET.pack(*part, clients), 0, 0)

    def close(self) -> None:
        """Free it."""
        self._object.close()
