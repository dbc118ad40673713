# SPDX-License-Identifier: Apache-2.0
"""``up`` and ``down`` leave what was there before, whatever fails in between."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.realserver.fakes import CONF, FakeHost, FakeTunnels

from xlvs.model.problem import Problem
from xlvs.realserver.change import Changer
from xlvs.realserver.state import Store

VIP4, VIP6 = "10.0.0.3", "fd00::3"


class World:
    """A host and the file of its namespace."""

    def __init__(self, folder: Path) -> None:
        self.host = FakeHost()
        self.tunnels = FakeTunnels(self.host)
        self.store = Store(folder / "realserver" / "7.json", 7)

    def changer(self) -> Changer:
        """As a new process would see it."""
        return Changer(self.host, self.tunnels, self.store)

    def snapshot(self) -> object:
        return self.host.snapshot(), dict(self.tunnels.attached)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_dr_settings(world: World) -> None:
    world.host.settings[f"{CONF}/eth0/rp_filter"] = "1"
    world.changer().up([VIP4], "dr", ["eth0"])
    got = {path: value for path, value in world.host.settings.items() if value != "0"}
    assert got == {
        f"{CONF}/all/arp_ignore": "1",
        f"{CONF}/eth0/arp_ignore": "1",
        f"{CONF}/all/arp_announce": "2",
        f"{CONF}/eth0/arp_announce": "2",
        f"{CONF}/eth0/rp_filter": "2",
    }
    assert ("lo", VIP4) in world.host.present
    assert not world.tunnels.attached


def test_settings_are_right_before_the_address_is_there(world: World) -> None:
    """Or the real server would answer one ARP request too many."""
    world.host.fail_at = 4  # the last of the four settings
    with pytest.raises(Problem):
        world.changer().up([VIP4], "dr", ["eth0"])
    assert ("lo", VIP4) not in world.host.present


def test_tunnels_are_opened_for_tun_addresses_only(world: World) -> None:
    world.changer().up([VIP4, VIP6], "tun", ["eth0"])
    world.changer().up(["10.0.0.2"], "dr", ["eth0"])
    _, addresses = world.tunnels.attached["eth0"]
    assert [virtual.address for virtual in addresses.inner] == [VIP4, VIP6]
    assert addresses.outer == ("10.2.0.11", "fd00:2::11", "10.7.0.11")
    world.changer().down([VIP4])
    assert [one.address for one in world.tunnels.attached["eth0"][1].inner] == [VIP6]
    world.changer().down([VIP6])
    assert not world.tunnels.attached
    assert ("lo", "10.0.0.2") in world.host.present


@pytest.mark.parametrize("method", ["dr", "tun"])
def test_down_restores_and_forgets(world: World, method: str, tmp_path: Path) -> None:
    before = world.snapshot()
    world.changer().up([VIP4, VIP6], method, ["eth0", "eth1"])
    assert world.snapshot() != before
    world.changer().up([VIP4, VIP6], method, ["eth0", "eth1"])
    world.changer().down([])
    assert world.snapshot() == before
    assert list(tmp_path.iterdir()) == []
    world.changer().down([])


def test_what_others_decided_later_stays(world: World) -> None:
    world.changer().up([VIP4], "dr", ["eth0"])
    world.host.settings[f"{CONF}/all/arp_announce"] = "1"
    world.changer().down([])
    assert world.host.settings[f"{CONF}/all/arp_announce"] == "1"
    assert world.host.settings[f"{CONF}/all/arp_ignore"] == "0"


def test_stricter_settings_are_kept(world: World) -> None:
    world.host.settings[f"{CONF}/eth0/arp_ignore"] = "8"
    world.changer().up([VIP4], "dr", ["eth0"])
    assert world.host.settings[f"{CONF}/eth0/arp_ignore"] == "8"


def test_an_address_that_vanished_is_put_back_and_then_ours(world: World) -> None:
    world.host.present.append(("lo", VIP4))
    world.changer().up([VIP4], "dr", ["eth0"])
    world.host.present.remove(("lo", VIP4))
    world.changer().up([VIP4], "dr", ["eth0"])
    assert ("lo", VIP4) in world.host.present
    world.changer().down([])
    assert ("lo", VIP4) not in world.host.present


@given(step=st.integers(1, 12), method=st.sampled_from(["dr", "tun"]))
def test_a_first_up_that_fails_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory, step: int, method: str
) -> None:
    folder = tmp_path_factory.mktemp("run")
    world = World(folder)
    before = world.snapshot()
    world.host.fail_at = step
    try:
        world.changer().up([VIP4, VIP6], method, ["eth0"])
    except Problem:
        assert world.snapshot() == before
        assert list(folder.iterdir()) == []


@given(step=st.integers(1, 30))
def test_down_after_a_killed_process(tmp_path_factory: pytest.TempPathFactory, step: int) -> None:
    """Killed at any change of a second ``up`` or of ``down``: the next ``down`` restores all."""
    world = World(tmp_path_factory.mktemp("run"))
    before = world.snapshot()
    world.changer().up([VIP4], "dr", ["eth0"])
    world.host.fail_at = world.host.changes + step
    try:
        world.changer().up([VIP6], "tun", ["eth0", "eth1"])
        world.changer().down([])
    except Problem:
        world.changer().down([])
    assert world.snapshot() == before


def test_unknown_interface_and_unknown_address(world: World) -> None:
    with pytest.raises(Problem, match="no interface eth9 here: there are lo, eth0, eth1"):
        world.changer().up([VIP4], "dr", ["eth9"])
    with pytest.raises(Problem, match="was not set up"):
        world.changer().down([VIP4])
    assert world.host.changes == 0
