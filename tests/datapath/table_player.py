# SPDX-License-Identifier: Apache-2.0
"""Two CPUs that play clients and servers at once (bpf/table_player.bpf.c), and a sweep that
comes when it is called (bpf/table_sweep.bpf.c)."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from hatch_build import compiler, flags
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from xlvs.datapath import libbpf
from xlvs.datapath.maps import Map
from xlvs.datapath.testrun import xdp_context

from . import world as w
from .world import World

SOURCES = Path(__file__).resolve().parent / "bpf"
FRAME = 80
NOTHING_YET = 5  # ACT_MAX
_HEAD = struct.Struct("=8Q14I")
_RESULT = struct.Struct("=8Q")
_CLIENT_BYTES, _CLIENTS = 4, 256


class Play(NamedTuple):
    """What a player does; ``acts``: shares in 256 of SYN, ACK, FIN and RST, replies the rest."""

    v6: bool = False
    clients: int = 16
    first: int = 10000
    safe: int = 0
    strict: bool = True
    in_turn: bool = False
    acts: tuple[int, int, int, int] = (64, 80, 16, 16)
    local: bool = False
    seed: int = 1


class Played(NamedTuple):
    """Numbers of packets, see struct player."""

    random: int
    sent: int
    unsent: int
    opened: int
    lost: int
    strayed: int
    replies: int
    strayed_replies: int


def _bytes(packet: Ether) -> bytes:
    raw = bytes(packet)
    assert len(raw) == FRAME
    return raw


def request(play: Play) -> bytes:
    """A client's frame."""
    ip = IPv6(src=w.CLIENT6, dst=w.VIP6) if play.v6 else IP(src=w.CLIENT, dst=w.VIP)
    packet = Ether(src=w.CLIENT_MAC, dst=w.MAC0) / ip / TCP(sport=1, dport=80, flags="S")
    return _bytes(packet / bytes(FRAME - len(packet)))


def reply(play: Play) -> bytes:
    """A server's frame, of server 0."""
    if play.v6:
        ip = IPv6(src="fd00:200::10", dst=w.LIP6 if play.local else w.CLIENT6)
    else:
        ip = IP(src="192.168.200.0", dst=w.LIP if play.local else w.CLIENT)
    packet = Ether(src=w.server_mac(1), dst=w.MAC1) / ip / TCP(sport=80, dport=1, flags="A")
    return _bytes(packet / bytes(FRAME - len(packet)))


class Player:
    """One CPU's program, with a memory of its own."""

    def __init__(self, objects: Path, world: World, name: str) -> None:
        self._object = libbpf.Object(str(objects / "table_player.o"), None)
        self._object.load()
        fds = self._object.map_fds()
        self._memory = Map("player_map", os.dup(fds["player_map"]))
        self._program = self._object.program_fds()["player"]
        target = struct.pack("=I", world.path.programs["xlvs_xdp"])
        libbpf.map_update(fds["player_target"], bytes(4), target)
        self._context = xdp_context(FRAME, world.ifindex["eth0"])
        # A test run waits for all CPUs unless its program is in use, see bench/two_cpus.py.
        subprocess.run(["ip", "link", "add", name, "type", "veth"], check=True)
        index = socket.if_nametoindex(name)
        self._link = libbpf.xdp_link(self._program, index, libbpf.XDP_FLAGS_SKB_MODE)
        self._frame = bytes(FRAME)

    def set(self, play: Play) -> None:
        """Forget everything and play that."""
        until = [sum(play.acts[: i + 1]) for i in range(4)] + [256]
        back = reply(play)
        header = bytearray(back[14:34])
        header[10:12] = bytes(2)
        words = sum(struct.unpack("=10H", header))
        self._frame = request(play)
        head = _HEAD.pack(
            play.seed * 0x9E3779B97F4A7C15 + 1 & (1 << 64) - 1,
            *(0,) * 7,
            play.v6,
            play.clients,
            play.first,
            play.safe,
            play.strict,
            play.in_turn,
            *until,
            NOTHING_YET,
            0xFFFFFFFF if play.in_turn else 0,
            words,
        )
        raw = head + bytes(_CLIENT_BYTES * _CLIENTS) + self._frame + back
        self._memory.update(0, raw.ljust(self._memory.info.value_size, b"\0"))

    def change(self, play: Play) -> None:
        """Play on otherwise, and remember the clients."""
        was = self._memory.lookup(0) or b""
        self.set(play)
        now = self._memory.lookup(0) or b""
        middle = _HEAD.size + _CLIENT_BYTES * _CLIENTS
        self._memory.update(0, now[: _HEAD.size] + was[_HEAD.size : middle] + now[middle:])

    def run(self, repeat: int) -> Played:
        """So many packets more; numbers since ``set``."""
        libbpf.test_run(self._program, self._frame, self._context, repeat, 512)
        return Played(*_RESULT.unpack_from(self._memory.lookup(0) or b""))

    def close(self) -> None:
        os.close(self._link)
        self._memory.close()
        self._object.close()


class Stage:
    """Two players, each with a process on a CPU of its own, and the sweep by hand."""

    def __init__(self, world: World, objects: Path, stack: ExitStack) -> None:
        self.world = world
        self.players = [Player(objects, world, f"idle{i}") for i in (0, 1)]
        for each in self.players:
            stack.callback(each.close)
        context = mp.get_context("fork")
        barrier = context.Barrier(2)
        cpus = sorted(os.sched_getaffinity(0))[:2]
        self._pipes = []
        for i, player in enumerate(self.players):
            ours, theirs = context.Pipe()
            cpu = cpus[i % len(cpus)]
            process = context.Process(
                target=_work, args=(cpu, player, barrier, theirs), daemon=True
            )
            process.start()
            theirs.close()
            stack.callback(_end, process, ours)
            self._pipes.append(ours)

    def run(self, plays: Sequence[Play], repeat: int, *, on: bool = False) -> list[Played]:
        """Both at once; ``on``: clients are the same as before."""
        for player, play in zip(self.players, plays, strict=True):
            (player.change if on else player.set)(play)
        for pipe in self._pipes:
            pipe.send(repeat)
        return [self._received(pipe) for pipe in self._pipes]

    @staticmethod
    def _received(pipe: Connection) -> Played:
        assert pipe.poll(60), "a player does not come back"
        found: Played = pipe.recv()
        return found


def _work(cpu: int, player: Player, barrier: object, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.sched_setaffinity(0, {cpu})
    while True:
        try:
            repeat = pipe.recv()
        except EOFError:
            return
        barrier.wait(30)  # type: ignore[attr-defined]
        pipe.send(player.run(repeat))


def _end(process: mp.process.BaseProcess, pipe: Connection) -> None:
    pipe.close()
    process.join(2)
    process.kill()
    process.join()


class Sweep:
    """One walk of the sweep over the whole table, now."""

    def __init__(self, world: World, objects: Path) -> None:
        pins = world.path.pins / "maps"
        self._object = libbpf.Object(str(objects / "table_sweep.o"), str(pins))
        for definition in self._object.maps():
            if definition.pinned:
                entries = world.path.map(definition.name).info.max_entries
                self._object.set_max_entries(definition, entries)
        self._object.load()
        self._program = self._object.program_fds()["table_sweep"]
        lines = (world.path.map(name).info.max_entries for name, _ in w.TABLES)
        self._lines = struct.pack("=II", *lines)

    def __call__(self) -> None:
        libbpf.test_run(self._program, None, self._lines, 0, 0)

    def close(self) -> None:
        self._object.close()


@contextmanager
def compiled() -> Iterator[Path]:
    """A folder with the tests' own programs."""
    with tempfile.TemporaryDirectory(prefix="xlvs-table-") as folder:
        for source in sorted(SOURCES.glob("*.bpf.c")):
            target = Path(folder) / source.name.replace(".bpf.c", ".o")
            options = [*flags(), "-Wno-unused-function"]
            command = [compiler(), *options, "-c", str(source), "-o", str(target)]
            subprocess.run(command, check=True)
        yield Path(folder)


@contextmanager
def stage(world: World, objects: Path) -> Iterator[Stage]:
    """The players of a world."""
    with ExitStack() as stack:
        yield Stage(world, objects, stack)


@contextmanager
def sweep(world: World, objects: Path) -> Iterator[Sweep]:
    """The sweep of a world."""
    made = Sweep(world, objects)
    try:
        yield made
    finally:
        made.close()
