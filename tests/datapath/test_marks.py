# SPDX-License-Identifier: Apache-2.0
"""The mark that rules give a packet, asked of stages/marks.h by either hook's program."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import threading
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hatch_build import compiler, flags

from xlvs.datapath import libbpf, testrun
from xlvs.datapath.marks import NO_MARKS, compiled
from xlvs.io.mark_maps import MarkMaps
from xlvs.model.mark import MarkRule
from xlvs.model.service import Family

from . import world as w
from .marks import load, mark_of, rule
from .world import World

SOURCE = Path(__file__).resolve().parent / "bpf" / "marks_probe.c"
_TUPLE = struct.Struct("!16s16sHHB3x")  # struct xlvs_tuple


class Probe:
    """The test's own program on the world's maps."""

    def __init__(self, world: World, hook: str, folder: Path) -> None:
        target = folder / f"marks_{hook}.o"
        macros = (f'-DPROBE_HOOK="hook_{hook}.h"', f'-DPROBE_SECTION="{hook}"')
        options = (*flags(), "-Wno-unused-function", *macros)
        command = [compiler(), *options, "-c", str(SOURCE), "-o", str(target)]
        subprocess.run(command, check=True)
        self._object = libbpf.Object(str(target), str(world.path.pins / "maps"))
        for definition in self._object.maps():
            if definition.pinned:
                entries = world.path.map(definition.name).info.max_entries
                self._object.set_max_entries(definition, entries)
        self._object.load()
        self._program = os.dup(self._object.program_fds()["probe"])
        self._asked = os.dup(self._object.map_fds()["asked"])
        self._hook = hook
        self._index = world.ifindex["eth0"]

    def __call__(
        self, source: str, to: str, protocol: int = 6, port: int = 80, mark: int = 0
    ) -> int:
        """The mark of a packet that came with ``mark``, which XDP's cannot."""
        tuple_ = _TUPLE.pack(w.packed(source), w.packed(to), 4000, port, protocol)
        libbpf.map_update(self._asked, bytes(4), tuple_)
        frame = bytes(60)
        if self._hook == "xdp":
            ctx = testrun.xdp_context(len(frame), self._index)
        else:
            ctx = testrun.tc_context(self._index, mark)
        return testrun.test_run(self._program, frame, ctx=ctx).retval

    def close(self) -> None:
        os.close(self._program)
        os.close(self._asked)
        self._object.close()


@pytest.fixture(scope="module")
def _probes(loaded: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Probe]]:
    folder = tmp_path_factory.mktemp("marks")
    probes = {hook: Probe(loaded, hook, folder) for hook in ("xdp", "tc")}
    yield probes
    for each in probes.values():
        each.close()


@pytest.fixture
def probe(director: World, _probes: dict[str, Probe]) -> Probe:
    """Asks for a mark by the hook in turn."""
    return _probes[director.hook]


RULES = (
    rule(1, "10.9.0.0/16"),
    rule(2, "10.9.1.0/24", protocol=6, ports=[(80, 80), (443, 443), (8000, 8999)]),
    rule(3, source="192.0.2.0/24", protocol=17),
    rule(4, "10.9.1.7/32", "198.51.100.0/24"),
    rule(5, "fd00:9::/32", protocol=6, ports=[(80, 80)]),
    rule(0x100, "10.10.0.0/16", mask=0x100),
    rule(6, family=Family.INET6, protocol=132),
)


@pytest.mark.parametrize(
    ("source", "to", "protocol", "port", "mark"),
    [
        ("203.0.113.1", "10.9.0.1", 6, 80, 1),
        ("203.0.113.1", "10.9.255.255", 17, 9, 1),
        ("203.0.113.1", "10.8.255.255", 6, 80, 0),
        ("203.0.113.1", "10.9.1.1", 6, 80, 2),
        ("203.0.113.1", "10.9.1.1", 6, 81, 1),
        ("203.0.113.1", "10.9.1.1", 6, 7999, 1),
        ("203.0.113.1", "10.9.1.1", 6, 8000, 2),
        ("203.0.113.1", "10.9.1.1", 6, 8999, 2),
        ("203.0.113.1", "10.9.1.1", 6, 9000, 1),
        ("203.0.113.1", "10.9.1.1", 17, 80, 1),
        ("192.0.2.9", "10.9.1.1", 17, 80, 3),
        ("192.0.2.9", "10.77.1.1", 17, 53, 3),
        ("192.0.2.9", "10.77.1.1", 6, 53, 0),
        ("198.51.100.200", "10.9.1.7", 6, 80, 4),
        ("198.51.101.200", "10.9.1.7", 6, 80, 2),
        ("2001:db8::1", "fd00:9::1", 6, 80, 5),
        ("2001:db8::1", "fd00:9::1", 6, 81, 0),
        ("2001:db8::1", "fd00:9::1", 132, 81, 6),
        ("203.0.113.1", "10.9.0.1", 132, 81, 1),
        ("203.0.113.1", "10.10.0.1", 6, 81, 0x100),
    ],
)
def test_the_last_matching_rule_decides(
    director: World, probe: Probe, source: str, to: str, protocol: int, port: int, mark: int
) -> None:
    load(director, RULES)
    assert mark_of(RULES, source, to, protocol, port) == mark, "the test's own evaluation"
    assert probe(source, to, protocol, port) == mark


def test_without_rules_no_look_up_is_made(director: World, probe: Probe) -> None:
    load(director, [rule(1, "10.0.0.0/8")])
    director.set(mark_rules=0)
    assert probe("203.0.113.1", "10.9.0.1") == 0


def test_other_protocols_have_no_ports(director: World, probe: Probe) -> None:
    load(director, [rule(1, "10.9.0.0/16"), rule(2, protocol=1), rule(3, protocol=50)])
    assert probe("203.0.113.1", "10.9.0.1", 50, 0) == 3
    assert probe("203.0.113.1", "10.9.0.1", 1, 0) == 2


def test_a_mark_set_before_us_counts_on_tc_only(director: World, probe: Probe) -> None:
    load(director, [rule(7, "10.9.0.0/16"), rule(0x10, "10.10.0.0/16", mask=0xF0)])
    before = 0x33 if director.hook == "tc" else 0
    assert probe("203.0.113.1", "10.77.0.1", mark=0x33) == before
    assert probe("203.0.113.1", "10.9.0.1", mark=0x33) == 7, "ours wins"
    assert probe("203.0.113.1", "10.10.0.1", mark=0x33) == before & ~0xF0 | 0x10
    director.set(mark_rules=0)
    assert probe("203.0.113.1", "10.9.0.1", mark=0x33) == before


def _network(random_: random.Random, v6: bool, least: int = 8) -> str:
    if v6:
        return str(ip_network((random_.getrandbits(12) << 100 | 0xFD << 120, 48), strict=False))
    lengths = [8, 12, 16, 20, 24, 28, 32]
    length = max(random_.choices(lengths, [3**i for i in range(len(lengths))])[0], least)
    return str(ip_network((10 << 24 | random_.getrandbits(24), length), strict=False))


def _rules(random_: random.Random, count: int) -> list[MarkRule]:
    """Each says where to, most precisely: nested ones with ports multiply."""
    found = []
    for number in range(1, count + 1):
        v6 = random_.random() < 0.2
        protocol = random_.choice([0, 6, 6, 17, 132])
        ports = []
        if protocol and random_.random() < 0.8:
            first = random_.randrange(1, 2000)
            ports = [(first, first + random_.choice([0, 0, 9]))]
        source = _network(random_, v6, 24) if random_.random() < 0.1 else None
        found.append(rule(number, _network(random_, v6), source, protocol=protocol, ports=ports))
    return found


def test_thousands_of_rules_agree_with_iptables_way(director: World, probe: Probe) -> None:
    random_ = random.Random(9)
    rules = _rules(random_, 3000)
    load(director, rules)
    marks = set()
    for _ in range(1500):
        near = random_.choice(rules)
        assert near.to is not None
        to = near.to[random_.randrange(min(near.to.num_addresses, 1 << 16))]
        source = ip_address("203.0.113.1" if to.version == 4 else "2001:db8::1")
        if near.source is not None:
            source = near.source[random_.randrange(min(near.source.num_addresses, 1 << 16))]
        protocol = near.protocol or 6
        port = random_.choice(near.ports)[0] if near.ports else random_.randrange(1, 3000)
        asked = (str(source), str(to), protocol, port)
        wanted = mark_of(rules, *asked)
        marks.add(wanted)
        assert probe(*asked) == wanted, asked
    assert len(marks) > 500


def test_what_is_written_is_what_is_read(director: World, probe: Probe) -> None:
    del probe
    marks = compiled(_rules(random.Random(4), 500))
    maps = MarkMaps(director.path)
    maps.write(3, marks, 2)
    assert maps.read(3) == marks
    assert maps.read(2) == NO_MARKS
    maps.drop_others(2)
    assert maps.read(3) == NO_MARKS


def test_a_packet_meets_one_set_of_rules(director: World, probe: Probe) -> None:
    """While rules are exchanged again and again, no packet is without its mark."""
    one = [rule(1, "10.9.0.0/16", protocol=6, ports=[(80, 80)]), *_rules(random.Random(5), 200)]
    # The same destination by other classes: what mixed the two sets would find nothing.
    two = [rule(9, "10.0.0.0/8"), rule(2, "10.9.0.1/32", "203.0.113.0/24")]
    one = [each for each in one if each.mark == 1 or each.to != ip_network("10.9.0.1/32")]
    wanted = {mark_of(each, "203.0.113.1", "10.9.0.1", 6, 80) for each in (one, two)}
    assert 0 not in wanted
    load(director, one, 1)
    over = threading.Event()
    seen: set[int] = set()

    def ask() -> None:
        while not over.is_set():
            seen.add(probe("203.0.113.1", "10.9.0.1"))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for number in range(2, 102):
            load(director, two if number % 2 else one, number)
    finally:
        over.set()
        asking.join()
    assert seen == wanted
