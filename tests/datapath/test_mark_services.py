# SPDX-License-Identifier: Apache-2.0
"""From the operator's words to the real server: mark rules and mark services, whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from tests.unit.datapath_plan.build import Store, add, add_service, observed

from xlvs.datapath import testrun
from xlvs.datapath.effective import Options
from xlvs.io.adoption import adopt
from xlvs.io.director import Director
from xlvs.io.kernel import Kernel
from xlvs.model.edit import AddMark, Clear, ClearMarks, DeleteMark
from xlvs.model.service import Family, Method, Protocol, ServiceKey

from . import world as w
from .marks import rule
from .world import World

SEVEN = ServiceKey(protocol=Protocol.FWM, fwmark=7)
EIGHT = ServiceKey(protocol=Protocol.FWM, fwmark=8)
SEVEN6 = ServiceKey(protocol=Protocol.FWM, fwmark=7, family=Family.INET6)
WEB = rule(7, "10.9.0.0/16", protocol=6, ports=[(80, 80), (443, 443)])
TC_REDIRECT = 7


class Controlled(NamedTuple):
    """A world under a director's control."""

    world: World
    director: Director
    store: Store

    def tcp(self, to: str, port: int, sport: int = 4000) -> str:
        """Why a SYN went where it did."""
        ip = IPv6(src=w.CLIENT6, dst=to) if ":" in to else IP(src=w.CLIENT, dst=to)
        return self.world.client(ip / TCP(sport=sport, dport=port, flags="S")).reason


@pytest.fixture
def controlled(director: World) -> Iterator[Controlled]:
    kernel = Kernel(director.path)
    store = Store()
    made = Director(kernel, Options(), store)
    made.start(adopt(kernel.have(), lambda: None, running=False), observed())
    yield Controlled(director, made, store)
    made.edit([Clear(), ClearMarks()], go_on=False)


def test_a_mark_of_many_addresses_and_ports_is_one_service(controlled: Controlled) -> None:
    edits = [add_service("rr", SEVEN), add(1, key=SEVEN), add(2, key=SEVEN)]
    controlled.director.edit(edits, go_on=False)
    assert controlled.tcp("10.9.1.1", 80) == "pass_no_service", "no rule, no mark"
    controlled.director.edit([AddMark(rule=WEB)], go_on=False)
    assert controlled.tcp("10.9.1.1", 80) == "fwd_nat"
    assert controlled.tcp("10.9.200.7", 443, 4001) == "fwd_nat"
    assert controlled.tcp("10.9.1.1", 81) == "pass_no_service"
    assert controlled.tcp("10.8.1.1", 80) == "pass_no_service"
    datagram = IP(src=w.CLIENT, dst="10.9.1.1") / UDP(sport=4000, dport=80)
    assert controlled.world.client(datagram).reason == "pass_no_service"
    servers = {each.destination for each in controlled.world.connections()}
    assert len(servers) == 2, "rr goes on from one address to the other"


def test_ipv6_has_a_service_of_its_own(controlled: Controlled) -> None:
    rules = [AddMark(rule=rule(7, "fd00:9::/32")), AddMark(rule=rule(7, "10.9.0.0/16"))]
    edits = [add_service("rr", SEVEN), add(1, key=SEVEN), *rules]
    controlled.director.edit(edits, go_on=False)
    assert controlled.tcp("10.9.1.1", 80) == "fwd_nat"
    assert controlled.tcp("fd00:9::1", 80) == "pass_no_service"
    controlled.director.edit([add_service("rr", SEVEN6)], go_on=False)
    assert controlled.tcp("fd00:9::1", 80) == "reply_no_destination"


def test_the_last_rule_wins_and_a_mark_wins_over_an_address(controlled: Controlled) -> None:
    address = ServiceKey(protocol=Protocol.TCP, address=w.ip_address("10.9.1.1"), port=80)
    edits = [
        add_service("rr", SEVEN),
        add_service("rr", EIGHT),
        add(1, key=EIGHT, method=Method.DR),
        add_service("rr", address),
        add(2, key=address),
        AddMark(rule=WEB),
        AddMark(rule=rule(8, "10.9.1.0/24")),
    ]
    controlled.director.edit(edits, go_on=False)
    assert controlled.tcp("10.9.1.1", 80) == "fwd_dr", "mark 8, no port asked for"
    assert controlled.tcp("10.9.2.1", 80) == "reply_no_destination", "mark 7 has no server"
    controlled.director.edit([DeleteMark(number=2)], go_on=False)
    assert controlled.tcp("10.9.1.1", 80, 4001) == "reply_no_destination"
    controlled.director.edit([DeleteMark(number=1)], go_on=False)
    assert controlled.tcp("10.9.1.1", 80, 4002) == "fwd_nat", "the service of the address"
    assert controlled.tcp("10.9.1.1", 80) == "fwd_dr", "a connection goes on without its rule"


def test_a_mark_of_an_earlier_program_counts_on_tc(controlled: Controlled) -> None:
    edits = [add_service("rr", SEVEN), add(1, key=SEVEN)]
    controlled.director.edit(edits, go_on=False)
    packet = IP(src=w.CLIENT, dst="10.9.1.1") / TCP(sport=4000, dport=80, flags="S")
    frame = bytes(Ether(src=w.CLIENT_MAC, dst=w.MAC0) / packet)
    program = controlled.world.path.programs["xlvs_tc_ingress"]
    context = testrun.tc_context(controlled.world.ifindex["eth0"], mark=7)
    assert testrun.test_run(program, frame, ctx=context).retval == TC_REDIRECT
    context = testrun.tc_context(controlled.world.ifindex["eth0"], mark=6)
    other = bytes(
        Ether(src=w.CLIENT_MAC, dst=w.MAC0)
        / IP(src=w.CLIENT, dst="10.9.1.1")
        / TCP(sport=4001, dport=80, flags="S")
    )
    assert testrun.test_run(program, other, ctx=context).retval != TC_REDIRECT


def test_a_restart_finds_its_rules_in_the_maps(controlled: Controlled) -> None:
    rules = [
        rule(i, f"10.{i % 250}.{i // 250}.0/24", protocol=6, ports=[(i, i + 7)])
        for i in range(1, 2001)
    ]
    controlled.director.edit([AddMark(rule=each) for each in rules], go_on=False)
    kernel = Kernel(controlled.world.path)
    have = kernel.have()
    assert have.tables.marks == controlled.director.effective.tables.marks
    assert have.tables.settings.mark_rules == len(rules)
    again = Director(kernel, Options(), Store())
    saved = controlled.store.saved[-1]
    assert again.start(adopt(have, lambda: saved, running=True), observed()) == ()
    assert again.desired.marks == tuple(rules)
