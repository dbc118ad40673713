# SPDX-License-Identifier: Apache-2.0
"""Packets from live frames, and the sink that counts them.

``BPF_PROG_TEST_RUN`` with ``BPF_F_TEST_XDP_LIVE_FRAMES`` sends what the generator's
program makes through a device, six million packets a second, and the whole path up to
the sink runs on the generator's CPU: it paces itself, nothing is lost on the way, and
the CPU time of the generator's thread is the whole path's.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

from hatch_build import compiler, flags

from bench.e2e.hosts import Failed, Host
from bench.e2e.plan import idle
from bench.frames import SYN, TCP, UDP, fold, total
from bench.harness import SOURCES
from xlvs.datapath import libbpf
from xlvs.datapath.libbpf.calls import call
from xlvs.datapath.libbpf.structs import TestRunOptions
from xlvs.datapath.maps import Map

SOURCE = SOURCES / "e2e.bpf.c"
FRAME = 60
LIVE_FRAMES, BATCH = 2, 64  # BPF_F_TEST_XDP_LIVE_FRAMES; frames between two flushes
_CASE = struct.Struct("=IIIIII60s")
_ETH, _IP = 14, 20
_WARM = (1 << 14, 1 << 17)
_STEP = 0.1  # seconds of sending between two looks at the clock


class Stream(NamedTuple):
    """What a generator sends: ``flows`` (a power of two) from ``first`` on, to a service."""

    device: str
    own_mac: str
    next_mac: str
    first: str
    flows: int
    address: str
    port: int
    syn: bool = False


class Sent(NamedTuple):
    """What a generator has sent. ``packets`` of ``total`` were timed."""

    total: int
    packets: int
    seconds: float
    cpu_seconds: float
    begin: float

    @property
    def end(self) -> float:
        """When the timed part ended, on the monotonic clock."""
        return self.begin + self.seconds


def build(folder: Path) -> Path:
    """Compile the programs into a folder. Raises Failed."""
    target = folder / "e2e.bpf.o"
    command = [compiler(), *flags(), "-c", f"{SOURCE}", "-o", f"{target}"]
    if subprocess.run(command, check=False).returncode:
        raise Failed(f"{SOURCE.name} does not compile: see above")
    return target


def case(stream: Stream, ifindex: int) -> bytes:
    """The bytes of struct e2e_case."""
    destination, first = IPv4Address(stream.address), int(IPv4Address(stream.first))
    # A SYN has one option, an MSS; the frame's last two bytes are Ethernet's padding.
    protocol, size = (TCP, 24) if stream.syn else (UDP, FRAME - _ETH - _IP)
    ip = struct.pack(">BBHHHBBHI", 0x45, 0, _IP + size, 0, 0x4000, 64, protocol, 0, 0)
    ip += destination.packed
    l4 = struct.pack(">HHHH", 0, stream.port, size, 0).ljust(size, b"\0")
    if stream.syn:
        head = struct.pack(">HHIIBBHHH", 0, stream.port, 1, 0, 0x60, SYN, 65535, 0, 0)
        l4 = head + struct.pack(">BBH", 2, 4, 1460)
    macs = bytes.fromhex((stream.next_mac + stream.own_mac).replace(":", ""))
    pseudo = destination.packed + struct.pack(">HH", protocol, len(l4))
    frame = macs + struct.pack(">H", 0x0800) + ip + l4
    sums = fold(total(ip)), fold(total(pseudo + l4))
    return _CASE.pack(stream.flows - 1, first, *sums, stream.syn, ifindex, frame)


def send(program: int, repeat: int) -> None:
    """One system call: to enter and to leave it takes milliseconds."""
    data = ctypes.create_string_buffer(FRAME)
    options = TestRunOptions(
        data_in=ctypes.cast(data, ctypes.c_void_p),
        data_size_in=FRAME,
        repeat=repeat,
        flags=LIVE_FRAMES,
        batch_size=BATCH,
    )
    call("bpf_prog_test_run_opts", program, ctypes.byref(options))


def generate(path: str, cpu: int, seconds: float, stream: Stream, *, alone: bool) -> Sent:
    """Send for about so long; ``alone``: in one go, before everybody else on the CPU."""
    os.sched_setaffinity(0, {cpu})
    if alone:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    loaded = libbpf.Object(path, None)
    loaded.load()
    fds = loaded.map_fds()
    index = socket.if_nametoindex(stream.device)
    libbpf.map_update(fds["e2e_case"], bytes(4), case(stream, index))
    program = loaded.program_fds()["e2e_generate"]
    # A test run enters its program into the kernel's XDP dispatcher and waits for all
    # CPUs (6.18), unless it is in use already: two generators would go one after the other.
    link = libbpf.xdp_link(program, socket.if_nametoindex(idle(cpu)), libbpf.XDP_FLAGS_SKB_MODE)
    rate = 1.0
    for number in _WARM:
        begin = time.monotonic()
        send(program, number)
        rate = number / (time.monotonic() - begin)
    number = max(_WARM[0], int(rate * (seconds if alone else _STEP)))
    cpu_begin, begin, packets = time.thread_time(), time.monotonic(), 0
    while not packets or (not alone and time.monotonic() - begin < seconds):
        send(program, number)
        packets += number
    end, cpu_end = time.monotonic(), time.thread_time()
    os.close(link)
    return Sent(packets + sum(_WARM), packets, end - begin, cpu_end - cpu_begin, begin)


class Generator:
    """A generator in a process of its own, in a host."""

    def __init__(
        self,
        host: Host,
        objects: Path,
        cpu: int,
        seconds: float,
        stream: Stream,
        *,
        alone: bool = True,
    ) -> None:
        words = json.dumps([f"{objects}", cpu, seconds, [*stream], alone])
        self._child = host.start([sys.executable, "-m", "bench.e2e.live", words])

    @property
    def runs(self) -> bool:
        """It is still sending."""
        return self._child.poll() is None

    def done(self) -> Sent:
        """Wait for its end. Raises Failed."""
        out, said = self._child.communicate(timeout=60)
        if self._child.returncode:
            raise Failed(f"the generator: {said.strip()[-500:]}")
        return Sent(*json.loads(out))


class Hop(NamedTuple):
    """A director that only sends on: from a device by another one to a station."""

    host: Host
    device: str
    out: str
    next_mac: str


@contextmanager
def sinks(
    objects: Path, places: Sequence[tuple[Host, str]], hop: Hop | None = None
) -> Iterator[Map]:
    """An XDP program that counts and drops on these devices; gives the counter."""
    with ExitStack() as stack:
        loaded = libbpf.Object(f"{objects}", None)
        stack.callback(loaded.close)
        loaded.load()
        programs, maps = loaded.program_fds(), loaded.map_fds()
        for host, device in places:
            with host.inside():
                stack.callback(os.close, _attach(programs["e2e_sink"], device))
        if hop:
            macs = bytes.fromhex((hop.next_mac + hop.host.mac(hop.out)).replace(":", ""))
            with hop.host.inside():
                out = socket.if_nametoindex(hop.out)
                libbpf.map_update(maps["e2e_case"], bytes(4), _CASE.pack(*[0] * 5, out, macs))
                stack.callback(os.close, _attach(programs["e2e_forward"], hop.device))
        count = Map("e2e_count", os.dup(maps["e2e_count"]))
        stack.callback(count.close)
        yield count


def _attach(program: int, device: str) -> int:
    index = socket.if_nametoindex(device)
    return libbpf.xdp_link(program, index, libbpf.XDP_FLAGS_DRV_MODE)


def counted(count: Map) -> int:
    """Packets that the sinks have dropped."""
    raw = count.lookup(0) or b""
    return sum(struct.unpack(f"={len(raw) // 8}Q", raw))


if __name__ == "__main__":
    _path, _cpu, _seconds, _stream, _alone = json.loads(sys.argv[1])
    sent = generate(_path, _cpu, _seconds, Stream(*_stream), alone=_alone)
    print(json.dumps([*sent]))
