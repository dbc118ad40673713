# SPDX-License-Identifier: Apache-2.0
"""Every fault has its sentence; a healthy host has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.realserver.fakes import CONF, FakeHost, FakeTunnels

from xlvs.realserver.change import Changer
from xlvs.realserver.check import Question, problems
from xlvs.realserver.state import Store

VIP4, VIP6 = "10.0.0.3", "fd00::3"
Ask = Callable[..., list[str]]


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
def tunnels(host: FakeHost) -> FakeTunnels:
    return FakeTunnels(host)


@pytest.fixture
def ask(host: FakeHost, tunnels: FakeTunnels, tmp_path: Path) -> Ask:
    """A real server that is up for TUN; the question about it."""
    store = Store(tmp_path / "7.json", 7)
    Changer(host, tunnels, store).up([VIP4, VIP6], "tun", ["eth0"])

    def question(*clients: str, interfaces: tuple[str, ...] = ("eth0",)) -> list[str]:
        vips = {VIP4: "tun", VIP6: "tun"}
        return problems(host, tunnels, store.load(), Question(vips, interfaces, clients))

    return question


def test_nothing_is_wrong(ask: Ask) -> None:
    assert ask() == []


def test_address_missing(ask: Ask, host: FakeHost) -> None:
    host.present.remove(("lo", VIP6))
    assert ask() == [f"{VIP6} is not on lo: this host does not take packets to it"]


def test_arp(ask: Ask, host: FakeHost) -> None:
    for name in ("all", "eth0"):
        host.settings[f"{CONF}/{name}/arp_ignore"] = "0"
        host.settings[f"{CONF}/{name}/arp_announce"] = "1"
    answers, announces = ask()
    assert answers.startswith(f"eth0 answers ARP for {VIP4}")
    assert announces.startswith(f"eth0 may give {VIP4} as its own address")


def test_address_on_the_wire_itself(ask: Ask, host: FakeHost) -> None:
    host.present.append(("eth0", VIP6))
    (only,) = ask()
    assert only.startswith(f"{VIP6} is an address of eth0 itself")


def test_no_way_back(ask: Ask, host: FakeHost) -> None:
    host.routes = {"10.1.0.2": "eth0"}
    anywhere4, anywhere6 = ask()
    assert "no default route" in anywhere4
    assert VIP6 in anywhere6
    assert ask("10.1.0.2") == []
    assert ask("10.1.0.9") == [f"no route from {VIP4} back to client 10.1.0.9"]


def test_reverse_path_filter(ask: Ask, host: FakeHost) -> None:
    host.routes["192.0.2.1"] = "eth1"
    (other,) = ask()
    host.settings[f"{CONF}/all/rp_filter"] = "1"
    assert "rp_filter on eth0 drops packets of client 192.0.2.1" in ask()[0]
    host.settings[f"{CONF}/eth0/rp_filter"] = "2"
    assert ask() == [other]


def test_a_way_back_where_nothing_lowers_the_mss(ask: Ask, host: FakeHost) -> None:
    host.routes["10.1.0.2"] = "eth1"
    assert ask("192.0.2.1") == []
    (only,) = ask("10.1.0.2")
    assert only.startswith(f"answers of {VIP4} leave by eth1, where nothing lowers the MSS")


def test_the_mss_program_is_gone(
    ask: Ask, tunnels: FakeTunnels, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tunnels.program
    monkeypatch.setattr(
        tunnels, "program", lambda name, hook: 0 if hook == "egress" else there(name, hook)
    )
    assert ask()[0].startswith("the program that lowers the MSS of SYN/ACKs is gone from eth0")


def test_decapsulation(ask: Ask, host: FakeHost, tunnels: FakeTunnels) -> None:
    number, addresses = tunnels.attached.pop("eth0")
    assert "the decapsulation program is gone from eth0" in ask()[0]
    tunnels.attached["eth0"] = (number + 1, addresses)
    assert f"another program (id {number + 1})" in ask()[0]
    tunnels.attached["eth0"] = (number, addresses)
    host.present.append(("eth0", "10.2.0.77"))
    assert ask()[0].startswith("tunnel packets to 10.2.0.77 are not opened")


def test_another_interface(ask: Ask) -> None:
    assert ask(interfaces=("eth0", "eth1"))[-1].startswith(
        "no decapsulation program was attached to eth1"
    )
    assert ask(interfaces=("eth9",)) == ["there is no interface eth9 here"]
