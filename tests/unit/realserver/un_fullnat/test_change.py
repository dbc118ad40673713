# SPDX-License-Identifier: Apache-2.0
"""``up`` and ``down`` of un-FULLNAT leave what was there before, whatever fails in between."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.realserver.fakes import FakeHost

from xlvs.model.problem import Code, Problem
from xlvs.realserver.client_address.wanted import Wanted
from xlvs.realserver.state import Decapsulation, Store
from xlvs.realserver.un_fullnat.change import UnChanger
from xlvs.realserver.un_fullnat.findings import findings
from xlvs.realserver.un_fullnat.programs import COUNTS, Attached, Kept
from xlvs.realserver.un_fullnat.wanted import UnWanted, packed, sysctls, unpacked, wanted

BOTH = Wanted(("10.2.0.96/28", "fd00:2::101"))
FOUR = UnWanted("eth0", Wanted(("10.2.0.101",)))
SIX_AND_FOUR = UnWanted("eth0", BOTH)
SETTINGS = ("net/ipv4/tcp_fwmark_accept", "net/ipv4/fwmark_reflect", "net/ipv6/fwmark_reflect")
OWN = "net/ipv4/conf/eth0/src_valid_mark"


class FakeRouting:
    """(interface, family, mark) of what there is; ``ways``: by which interface to whom."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host
        self.there: set[tuple[str, int, int]] = set()
        self.reason: str | None = None
        self.ways: dict[str, str] = {}

    def refusal(self, interface: str, families: tuple[int, ...]) -> str | None:
        del interface, families
        return self.reason

    def add(self, interface: str, families: tuple[int, ...], mark: int) -> None:
        for family in families:
            self._host.change()
            self.there.add((interface, family, mark))

    def remove(self, interface: str, families: tuple[int, ...], mark: int) -> None:
        self.there -= {(interface, family, mark) for family in families}

    def missing(self, interface: str, families: tuple[int, ...], mark: int) -> list[str]:
        wants = [(interface, family, mark) for family in families]
        return [f"the IPv{each[1]} rule is gone" for each in wants if each not in self.there]

    def leaves_by(self, address: str) -> str | None:
        return self.ways.get(address)


class FakePrograms:
    """Ids of attached programs, qdiscs, and how often maps were made."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host
        self.attached: dict[str, tuple[int, int]] = {}
        self.clsact: set[str] = set()
        self.others: set[str] = set()
        self.maps = 0
        self._next = 1

    def has_clsact(self, interface: str) -> bool:
        return interface in self.clsact

    def attach(self, wanted: UnWanted, maps: Mapping[str, int]) -> Attached:
        self._host.change()
        self.clsact.add(wanted.interface)
        self._host.change()
        self.maps += not maps
        self._next += 2
        self.attached[wanted.interface] = (self._next, self._next + 1)
        return Attached(dict(maps) or {"un_clients": self.maps}, self.attached[wanted.interface])

    def detach(self, interface: str, *, clsact: bool) -> bool:
        self.attached.pop(interface, None)
        if clsact and interface in self.others:
            return False
        if clsact:
            self.clsact.discard(interface)
        return True

    def programs(self, interface: str) -> tuple[int, int]:
        return self.attached.get(interface, (0, 0))

    def kept(self, maps: Mapping[str, int]) -> Kept | None:
        raise NotImplementedError


class World:
    """A host and the file of its namespace."""

    def __init__(self, folder: Path) -> None:
        self.host = FakeHost()
        self.host.settings |= dict.fromkeys((*SETTINGS, OWN), "0")
        self.routing = FakeRouting(self.host)
        self.programs = FakePrograms(self.host)
        self.store = Store(folder / "realserver" / "7.json", 7)

    def changer(self) -> UnChanger:
        """As a new process would see it."""
        return UnChanger(self.host, self.routing, self.programs, self.store)

    def snapshot(self) -> object:
        return copy.deepcopy(
            (
                self.host.snapshot(),
                self.routing.there,
                self.programs.attached,
                self.programs.clsact,
                self.store.path.exists(),
            )
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_up_and_down(world: World) -> None:
    before = world.snapshot()
    world.changer().up(SIX_AND_FOUR)
    assert {world.host.settings[each] for each in (*SETTINGS, OWN)} == {"1"}
    assert world.routing.there == {("eth0", 4, 22614), ("eth0", 6, 22614)}
    what = world.changer().down()
    assert what is not None
    assert what.interface == "eth0"
    assert world.snapshot() == before
    assert world.changer().down() is None


def test_only_what_its_families_need(world: World) -> None:
    world.changer().up(FOUR)
    assert world.host.settings["net/ipv6/fwmark_reflect"] == "0"
    assert world.routing.there == {("eth0", 4, 22614)}
    world.changer().up(SIX_AND_FOUR)
    assert world.host.settings["net/ipv6/fwmark_reflect"] == "1"
    assert world.programs.maps == 1, "living connections go on"
    world.changer().up(FOUR)
    assert len(world.routing.there) == 2, "some may be IPv6's still"
    world.changer().down()
    assert not world.routing.there


@given(at=st.integers(1, 9))
def test_a_first_up_that_fails_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory, at: int
) -> None:
    world = World(tmp_path_factory.mktemp("failing"))
    before = world.snapshot()
    world.host.fail_at = at
    try:
        world.changer().up(SIX_AND_FOUR)
    except Problem:
        assert world.snapshot() == before
    else:
        assert at > 8


def test_a_further_up_that_fails_leaves_the_first(world: World) -> None:
    world.changer().up(FOUR)
    world.host.fail_at = world.host.changes + 1
    with pytest.raises(Problem):
        world.changer().up(SIX_AND_FOUR)
    assert world.programs.attached
    assert ("eth0", 4, 22614) in world.routing.there


def test_what_somebody_else_set_stays(world: World) -> None:
    world.host.settings[SETTINGS[0]] = "1"
    world.changer().up(FOUR)
    world.host.settings[OWN] = "2"
    world.changer().down()
    assert (world.host.settings[SETTINGS[0]], world.host.settings[OWN]) == ("1", "2")


def test_the_qdisc_is_of_the_last_of_ours(world: World) -> None:
    """Tunnels' programs may be on it, too."""
    world.changer().up(FOUR)
    record = world.store.load()
    record.decapsulation["eth0"] = Decapsulation("tc", 5, clsact=False)
    world.store.save(record)
    world.programs.others.add("eth0")
    world.changer().down()
    assert world.store.load().decapsulation["eth0"].clsact
    world.programs.others.clear()
    what = world.changer().up(FOUR)
    assert what.clsact


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (FOUR._replace(interface="eth7"), "there is no interface eth7 here: there are lo, eth0"),
        (FOUR._replace(mark=7), "is on eth0 with mark 22614 already"),
        (FOUR._replace(interface="eth1"), "is on eth0 with mark 22614 already"),
    ],
)
def test_refused(world: World, asked: UnWanted, words: str) -> None:
    world.changer().up(FOUR)
    before = world.snapshot()
    with pytest.raises(Problem) as refused:
        world.changer().up(asked)
    assert words in refused.value.message
    assert world.snapshot() == before


def test_refused_by_the_host(world: World) -> None:
    world.routing.reason = "lo is no Ethernet"
    before = world.snapshot()
    with pytest.raises(Problem) as refused:
        world.changer().up(FOUR)
    assert refused.value.code is Code.NOT_SUPPORTED
    assert world.snapshot() == before


def test_wanted() -> None:
    assert wanted("eth0", BOTH, None) == SIX_AND_FOUR
    assert wanted("eth0", BOTH, 7).mark == 7
    assert SIX_AND_FOUR.families == (4, 6)
    for mark in (0, -1, 1 << 32):
        with pytest.raises(Problem) as refused:
            wanted("eth0", BOTH, mark)
        assert refused.value.where == "--mark"
    assert unpacked(packed(7, 253)) == (7, 253)
    assert set(sysctls("eth0", (6,))) == {SETTINGS[0], SETTINGS[2]}


def about(world: World, **counts: int) -> tuple[list[str], list[str]]:
    what = world.store.load().un_fullnat
    assert what is not None
    kept = Kept(BOTH, 22614, dict.fromkeys(COUNTS, 0) | counts)
    return tuple(findings(world.host, world.routing, world.programs, what, kept))


def test_findings(world: World) -> None:
    world.changer().up(SIX_AND_FOUR)
    # Of a prefix its first host is asked for.
    world.routing.ways = {"10.2.0.97": "eth0", "fd00:2::101": "eth0"}
    assert about(world) == ([], [])
    world.routing.ways = {"10.2.0.97": "eth1"}
    world.routing.there.discard(("eth0", 6, 22614))
    world.host.settings[OWN] = "0"
    world.programs.attached["eth0"] = (0, 99)
    problems, _ = about(world)
    for problem, words in zip(
        problems,
        (
            "packets that come in is gone from eth0",
            "packets that go out is gone from eth0",
            "the IPv6 rule is gone, so answers",
            "net.ipv4.conf.eth0.src_valid_mark should be 1",
            "local address 10.2.0.96/28 leaves by eth1: it must leave by eth0",
            "local address fd00:2::101 has no route: it must leave by eth0",
        ),
        strict=True,
    ):
        assert words in problem


@pytest.mark.parametrize("name", [each for each in COUNTS if each != "shown"])
def test_what_was_not_shown_is_noted(world: World, name: str) -> None:
    world.changer().up(SIX_AND_FOUR)
    _, notes = about(world, **{name: 7, "shown": 5})
    assert len(notes) == 1
    assert notes[0].startswith("7 ")


def test_an_interface_that_went(world: World) -> None:
    world.changer().up(FOUR)
    world.host.interfaces = lambda: ["lo"]
    assert about(world) == (["there is no interface eth0 here"], [])
