# SPDX-License-Identifier: Apache-2.0
"""Random lives of connections in a table too small for them, looked at after every step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from xlvs.datapath import records as r
from xlvs.datapath.records import Method

from . import table_player as tp
from . import world as w
from .table_invariants import check
from .world import Connection, World

SIZES = replace(w.SMALL, connections=4, connections6=4)
SERVERS = 3
FIRST, CLIENTS = 2000, 40  # more than IPv6's places, fewer than IPv4's
STRANGERS = 30000
EFFORT = settings(
    max_examples=12,
    stateful_step_count=25,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

clients = st.integers(FIRST, FIRST + CLIENTS - 1)


class Lives(RuleBasedStateMachine):
    """Clients of one service: what is remembered of each is the server that its SYN went to."""

    def __init__(self, world: World, sweep: tp.Sweep, method: Method, v6: bool) -> None:
        super().__init__()
        self.world, self.sweep_now = world, sweep
        self.method, self.v6 = method, v6
        self.owner: dict[int, tuple[str, int]] = {}
        self.strangers = STRANGERS
        world.reset()
        vip, self.local = (w.VIP6, w.LIP6) if v6 else (w.VIP, w.LIP)
        service = world.service(vip=vip, local=(self.local,))
        for n in range(SERVERS):
            world.destination(service, n + 1, method, v6=v6, port_block=n)

    def have(self) -> dict[int, Connection]:
        """Connections that packets may use, by the client's port."""
        world = self.world
        return {c.client_port: c for c in world.connections() if world.left(c) > 0}

    def send(self, sport: int, flags: str) -> tuple[str, tuple[str, int]]:
        """What became of it, and where it went: to which server, from which port."""
        ip = IPv6(src=w.CLIENT6, dst=w.VIP6) if self.v6 else IP(src=w.CLIENT, dst=w.VIP)
        out = self.world.client(ip / TCP(sport=sport, dport=80, flags=flags))
        port = out.packet[TCP].sport if out.verdict == "send" else 0
        return out.reason, (out.packet.dst, port)

    def open(self, sport: int) -> None:
        before = self.have().get(sport)
        reason, where = self.send(sport, "S")
        if reason == "drop_table_full":
            assert before is None or before.state in ("TIME_WAIT", "CLOSE")
            self.owner.pop(sport, None)
            return
        assert reason == f"fwd_{self.method.name.lower()}"
        if before is not None and before.state not in ("TIME_WAIT", "CLOSE"):
            assert where == self.owner[sport], "a SYN on a connection in use goes where it went"
        self.owner[sport] = where

    @rule(client=clients)
    def syn(self, client: int) -> None:
        self.open(client)

    @rule(client=clients, flags=st.sampled_from(["A", "PA", "FA", "R"]))
    def more(self, client: int, flags: str) -> None:
        before = self.have().get(client)
        reason, where = self.send(client, flags)
        if before is None:
            assert reason == "pass_not_syn", "only a SYN opens a connection"
        else:
            assert reason == f"fwd_{self.method.name.lower()}"
            assert where == self.owner[client]

    @rule(client=clients)
    def establish(self, client: int) -> None:
        self.open(client)
        if client in self.have():
            self.send(client, "A")

    @rule(client=clients, flags=st.sampled_from(["SA", "A", "FA", "R"]))
    def answer(self, client: int, flags: str) -> None:
        before = self.have().get(client)
        if before is None or self.method is Method.DR:
            return
        mac, port = self.owner[client]
        n = int(mac[-1])
        source = w.server6(n) if self.v6 else w.server(n)
        client_address = w.CLIENT6 if self.v6 else w.CLIENT
        to = self.local if self.method is Method.FULLNAT else client_address
        ip = IPv6(src=source, dst=to) if self.v6 else IP(src=source, dst=to)
        out = self.world.server(ip / TCP(sport=80, dport=port, flags=flags), n)
        assert out.reason == "fwd_reply"
        got = out.packet[IPv6] if self.v6 else out.packet[IP]
        assert (got.dst, got[TCP].dport) == (client_address, client)

    @rule(number=st.integers(1, 30))
    def strangers_come(self, number: int) -> None:
        """A small flood: half-open connections of clients that are never seen again."""
        safe = {c for c, found in self.have().items() if not found.half_open}
        for _ in range(number):
            self.strangers += 1
            self.open(self.strangers)
        assert safe <= set(self.have()), "established connections are never evicted"

    @rule(which=st.sets(clients, max_size=8), seconds=st.sampled_from([5, 100, 1000]))
    def time_passes_for_some(self, which: set[int], seconds: int) -> None:
        found = self.have()
        self.world.age(seconds, [found[c] for c in which if c in found])

    @rule(seconds=st.sampled_from([5, 70, 1000]))
    def time_passes(self, seconds: int) -> None:
        self.world.age(seconds)

    @rule()
    def sweep(self) -> None:
        usable = self.have()
        self.sweep_now()
        assert {c.client_port for c in self.world.connections()} == set(usable)

    @invariant()
    def holds(self) -> None:
        check(self.world)

    def teardown(self) -> None:
        self.world.age(10_000)
        self.sweep_now()
        assert check(self.world).places == []
        assert self.world.left_behind() == []


@pytest.fixture(scope="module")
def small() -> Iterator[tuple[World, tp.Sweep]]:
    with (
        tp.compiled() as objects,
        w.world("tc", SIZES) as world,
        tp.sweep(world, objects) as sweep,
    ):
        yield world, sweep


@pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])
@pytest.mark.parametrize("method", [Method.NAT, Method.DR, Method.FULLNAT])
def test_lives(small: tuple[World, tp.Sweep], method: Method, v6: bool) -> None:
    run_state_machine_as_test(lambda: Lives(*small, method, v6), settings=EFFORT)


def test_the_checker_knows_the_homes_of_c(small: tuple[World, tp.Sweep]) -> None:
    """Otherwise it would only compare zeros: in chains this full many lines are passed."""
    world, _ = small
    for v6 in (False, True):
        machine = Lives(*small, Method.FULLNAT, v6)
        for port in range(FIRST, FIRST + 10):
            machine.establish(port)
        table = check(world)
        assert len(table.answers) == len(table.connections) == 10
        assert sum(table.passed.values()) > 10
        assert {p.method for p in table.connections} == {r.Method.FULLNAT}
