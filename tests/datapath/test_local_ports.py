# SPDX-License-Identifier: Apache-2.0
"""FULLNAT's local ports: the last one is found, and who has none left hurts nobody else."""

from __future__ import annotations

import time

import pytest
from scapy.layers.inet import IP, TCP, UDP
from tests.datapath import world as w
from tests.datapath.schedulers import BY_TURN_OR_LOAD
from tests.datapath.world import Out, World

from xlvs.datapath import records as r
from xlvs.datapath.effective import TIMEOUTS
from xlvs.datapath.records import Method, Scheduler

PORTS = r.LOCAL_PORT_WORDS * 64
LIPS = ("192.168.200.101", "192.168.200.102", "192.168.200.103")
PASSED_OVER = 0.6
"""Seconds after which a server that had no port is asked again (bpf/portless.h: half of one)."""

ELSEWHERE = [*BY_TURN_OR_LOAD, Scheduler.TWOS]
"""Schedulers that have another server for a client whose first choice is overloaded."""


def fill(world: World, block: int, *free: int) -> None:
    """All ports of a block are somebody's, but for these, which are counted from 0."""
    words = [2**64 - 1] * r.LOCAL_PORT_WORDS
    for port in free:
        words[port // 64] &= ~(1 << port % 64)
    full = [0] * r.LOCAL_PORT_SUMMARY
    for i, word in enumerate(words):
        full[i // 64] |= (word == 2**64 - 1) << i % 64
    ports = r.LocalPorts(PORTS - len(free), 77, 0, tuple(full), tuple(words))
    world.path.map("local_ports").update(block, world.layout.pack(ports))


def ports_of(world: World, block: int) -> r.LocalPorts:
    return world.layout.unpack(r.LocalPorts, world.path.map("local_ports").lookup(block) or b"")


def syn(world: World, sport: int, client: str = w.CLIENT, vip: str = w.VIP) -> Out:
    return world.client(IP(src=client, dst=vip) / TCP(sport=sport, dport=80, flags="S"))


def datagram(world: World, sport: int) -> Out:
    return world.client(IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=sport, dport=53))


def whom(out: Out) -> str:
    """The real server that a packet went to, or what became of it."""
    return str(out.packet[IP].dst) if out.reason == "fwd_fullnat" else out.reason


def two_servers(world: World, scheduler: Scheduler = Scheduler.RR) -> tuple[int, int]:
    """A service with two servers, with a block of local ports each."""
    service = world.service(scheduler=scheduler, local=(w.LIP,))
    first = world.destination(service, 1, Method.FULLNAT, weight=100, port_block=0)
    return first, world.destination(service, 2, Method.FULLNAT, weight=100, port_block=1)


@pytest.mark.parametrize("last", [0, 64 * 500 + 3, PORTS - 1])
def test_the_last_port_of_several_addresses_is_found_at_once(director: World, last: int) -> None:
    service = director.service(port=53, protocol=w.UDP, local=LIPS)
    director.destination(service, 1, Method.FULLNAT, port=53, port_block=4)
    for block in (4, 5, 6):
        fill(director, block)
    fill(director, 5, last)
    out = datagram(director, 4000)
    assert (out.packet[IP].src, out.packet[UDP].sport) == (LIPS[1], 1024 + last)
    assert datagram(director, 4001).reason == "drop_local_ports"
    assert [ports_of(director, block).used for block in (4, 5, 6)] == [PORTS] * 3
    # One connection found none, however many addresses it asked.
    assert sum(ports_of(director, block).exhausted for block in (4, 5, 6)) == 1


def test_every_address_is_used_up_before_anybody_is_refused(director: World) -> None:
    service = director.service(port=53, protocol=w.UDP, local=LIPS)
    director.destination(service, 1, Method.FULLNAT, port=53, port_block=0)
    free = {0: range(5), 1: range(100, 103), 2: ()}
    for block, ports in free.items():
        fill(director, block, *ports)
    got = [datagram(director, 4000 + i) for i in range(8)]
    found = {(out.packet[IP].src, out.packet[UDP].sport - 1024) for out in got}
    assert found == {(LIPS[block], port) for block, ports in free.items() for port in ports}
    assert datagram(director, 5000).reason == "drop_local_ports"


@pytest.mark.parametrize("scheduler", ELSEWHERE)
def test_a_server_without_a_port_is_passed_over(director: World, scheduler: Scheduler) -> None:
    """As by IPVS an overloaded one is; its connections go on, and other services' too."""
    first, second = two_servers(director, scheduler)
    other = director.service("10.0.0.9", local=(w.LIP,))
    director.destination(other, 2, Method.FULLNAT, port=8080, port_block=2)
    director.change(first, weight=0)
    assert whom(syn(director, 1000)) == w.server(2)
    director.change(first, weight=100)
    fill(director, 1)
    # A moment after each failure the server is asked again, and still nobody is dropped.
    for at in (2000, 2100):
        assert [whom(syn(director, at + i)) for i in range(6)] == [w.server(1)] * 6
        time.sleep(PASSED_OVER)
    assert ports_of(director, 1).exhausted >= (scheduler is not Scheduler.TWOS)
    assert whom(syn(director, 1000)) == w.server(2)
    assert whom(syn(director, 3000, vip="10.0.0.9")) == w.server(2)
    fill(director, 1, 5)
    director.change(first, weight=0)
    assert whom(syn(director, 4000)) == w.server(2)
    assert director.destinations[second].weight == 100


def test_who_has_no_port_is_passed_over_for_half_a_second(director: World) -> None:
    """A plain SYN finds it out, for which no connection has been looked up."""
    _, second = two_servers(director)
    fill(director, 1)
    assert whom(syn(director, 1000)) == w.server(1)
    raw = director.path.map("destination_load").lookup(second) or b""
    until = director.layout.unpack(r.DestinationLoad, raw).portless_until
    (made,) = director.connections()
    opened = made.expires - TIMEOUTS[r.State.SYN_RECV] * director.hz
    # Both are of this one packet; the clock was read anew for the first.
    assert (until - opened) % 2**32 in range(director.hz // 2, director.hz)


def test_where_there_is_one_server_for_a_client_it_waits(director: World) -> None:
    """lblc, by IPVS's rule, does not ask whether the server that it remembers is overloaded."""
    first, _ = two_servers(director, Scheduler.LBLC)
    director.change(first, weight=0)
    assert whom(syn(director, 1000)) == w.server(2)
    director.change(first, weight=100)
    fill(director, 1)
    assert syn(director, 2000).reason == "drop_local_ports"


def test_a_service_without_any_port_drops_and_recovers(director: World) -> None:
    two_servers(director)
    for block in (0, 1):
        fill(director, block)
    # Also while both are passed over: no error that would tell the client to give up.
    assert [syn(director, 1000 + i).reason for i in range(6)] == ["drop_local_ports"] * 6
    assert all(ports_of(director, block).exhausted for block in (0, 1))
    fill(director, 0, 7)
    time.sleep(PASSED_OVER)
    out = syn(director, 2000)
    assert (whom(out), out.packet[TCP].sport) == (w.server(1), 1024 + 7)
    (made,) = director.connections()
    assert made.destination == 0


def test_a_persistent_client_stays_with_its_server(director: World) -> None:
    service = director.service(
        local=(w.LIP,),
        persistence=100 * director.hz,
        mask=b"\xff" * 16,
        flags=r.ServiceFlag.USED | r.ServiceFlag.PERSISTENT,
    )
    director.destination(service, 1, Method.FULLNAT, port_block=0)
    director.destination(service, 2, Method.FULLNAT, port_block=1)
    assert whom(syn(director, 1000)) == w.server(2)
    fill(director, 1)
    assert syn(director, 1001).reason == "drop_local_ports"
    assert whom(syn(director, 1000, "198.51.100.200")) == w.server(1)
