# SPDX-License-Identifier: Apache-2.0
"""Connections: states, counters, expiry, reuse, removal, a full table, thresholds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from scapy.layers.inet import IP, TCP, UDP

from xlvs.datapath import records as r
from xlvs.datapath.records import Method, Scheduler

from . import world as w
from .world import Out, World


def tcp(flags: str, sport: int = 40000) -> IP:
    return IP(src=w.CLIENT, dst=w.VIP) / TCP(sport=sport, dport=80, flags=flags)


def answer(flags: str, dport: int = 40000, n: int = 1, sport: int = 80) -> IP:
    return IP(src=w.server(n), dst=w.CLIENT) / TCP(sport=sport, dport=dport, flags=flags)


def nat(director: World, servers: int = 1, scheduler: Scheduler = Scheduler.RR) -> list[int]:
    service = director.service(scheduler=scheduler)
    return [director.destination(service, n, Method.NAT) for n in range(1, servers + 1)]


def chosen(out: Out) -> int:
    """The number of the real server that the frame went to."""
    assert out.verdict == "send", out.reason
    return int(out.packet.dst[-1])


def test_a_life_in_nat(director: World) -> None:
    (number,) = nat(director)
    steps = [
        ("client", "S", "SYN_RECV", (1, 0)),
        ("server", "SA", "SYN_RECV", (1, 0)),
        ("client", "A", "ESTABLISHED", (1, 0)),
        ("client", "PA", "ESTABLISHED", (1, 0)),
        ("client", "FA", "CLOSE_WAIT", (0, 1)),
        ("server", "FA", "TIME_WAIT", (0, 1)),
        ("client", "A", "TIME_WAIT", (0, 1)),
    ]
    for side, flags, state, load in steps:
        out = director.client(tcp(flags)) if side == "client" else director.server(answer(flags))
        assert out.verdict == "send"
        assert (director.state(), director.load(number)) == (state, load), flags
    stats = director.stats("destination", number)
    assert stats == r.Stats(1, 5, 2, 200, 80)
    assert director.stats("service", 0) == stats


def test_dr_sees_one_side_only(director: World) -> None:
    service = director.service()
    number = director.destination(service, 1, Method.DR)
    for flags, state in (("S", "SYN_RECV"), ("A", "ESTABLISHED"), ("FA", "FIN_WAIT")):
        director.client(tcp(flags))
        assert director.state() == state
    assert director.load(number) == (0, 1)


def test_udp_is_never_active(director: World) -> None:
    service = director.service(port=53, protocol=w.UDP)
    number = director.destination(service, 1, Method.NAT, port=53)
    director.client(IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=4000, dport=53))
    assert director.state() == "UDP"
    assert director.load(number) == (0, 1)


@pytest.mark.parametrize("flags", ["A", "FA", "R", "SR", "PA", ""])
def test_what_opens_nothing_is_passed_unchanged(director: World, flags: str) -> None:
    nat(director)
    packet = w.Ether(src=w.CLIENT_MAC, dst=w.MAC0) / tcp(flags)
    out = director.run(packet)
    assert (out.verdict, out.reason) == ("pass", "pass_not_syn")
    assert out.raw == bytes(packet)
    assert director.connections() == []


@pytest.mark.parametrize("flags", ["A", "FA", ""])
def test_sloppy_tcp_opens_with_anything_but_rst(director: World, flags: str) -> None:
    nat(director)
    director.set(sloppy_tcp=1)
    assert director.client(tcp("R")).reason == "pass_not_syn"
    assert director.client(tcp(flags)).reason == "fwd_nat"


def test_syn_on_a_closed_connection_is_scheduled_in_the_same_packet(director: World) -> None:
    nat(director, 2)
    first = chosen(director.client(tcp("S")))
    director.client(tcp("A"))
    director.client(tcp("R"))
    assert director.state() == "CLOSE"
    second = chosen(director.client(tcp("S")))
    assert {first, second} == {1, 2}
    (new,) = director.connections()
    assert new.state == "SYN_RECV"
    assert chosen(director.client(tcp("A"))) == second


@pytest.mark.parametrize("mode", [0, 1])
def test_syn_on_an_open_connection_keeps_its_server(director: World, mode: int) -> None:
    nat(director, 2)
    director.set(conn_reuse_mode=mode)
    first = chosen(director.client(tcp("S")))
    director.client(tcp("A"))
    assert chosen(director.client(tcp("S"))) == first


def test_a_removed_server_gets_nothing_and_its_answers_are_translated(director: World) -> None:
    (number,) = nat(director)
    director.client(tcp("S"))
    director.client(tcp("A"))
    director.change(number, flags=r.DestinationFlag.RESOLVED)
    director.age(10)
    before = director.connections()[0]
    out = director.client(tcp("FA"))
    assert (out.verdict, out.reason) == ("drop", "drop_destination_removed")
    assert director.connections()[0] == before, "neither state nor timer"
    assert director.stats("destination", number).in_packets == 2
    assert director.server(answer("A")).reason == "fwd_reply"
    director.change(number, flags=r.DestinationFlag.RESOLVED | r.DestinationFlag.AVAILABLE)
    assert director.client(tcp("A")).reason == "fwd_nat"


def test_expire_nodest_conn_ends_it_at_once(director: World) -> None:
    (number,) = nat(director)
    director.set(expire_nodest_conn=1)
    director.client(tcp("S"))
    director.client(tcp("A"))
    director.change(number, flags=r.DestinationFlag.RESOLVED)
    assert director.client(tcp("A")).reason == "pass_not_syn"


def test_expire_nodest_conn_ends_idle_ones_too(director: World) -> None:
    """IPVS flushes the connections of a removed server without waiting for a packet."""
    kept, removed = nat(director, 2)
    director.set(expire_nodest_conn=1)
    director.path.start_sweep()
    director.client(tcp("S", 40000))
    director.client(tcp("S", 40001))
    director.change(removed, flags=r.DestinationFlag.RESOLVED)
    deadline = time.monotonic() + 5
    while director.table().used > 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert director.load(kept) == (1, 0)
    assert director.load(removed) == (0, 0)


def test_no_service_at_all_switches_off(director: World) -> None:
    nat(director)
    director.client(tcp("S"))
    director.set(services=0)
    assert director.client(tcp("A")).reason == "pass_disabled"
    assert director.server(answer("SA")).reason == "pass_disabled"


def test_connections_expire_in_the_kernel(director: World) -> None:
    (number,) = nat(director)
    director.path.start_sweep()
    for sport in range(40000, 40010):
        director.client(tcp("S", sport))
    assert director.load(number) == (10, 0)
    assert director.table().used == 10
    assert all(59 < director.left(each) <= 60.25 for each in director.connections())
    director.age(60)
    deadline = time.monotonic() + 5
    while director.table().used and time.monotonic() < deadline:
        time.sleep(0.02)
    assert director.table().used == 0
    assert director.load(number) == (0, 0)
    assert director.left_behind() == []
    assert director.table().ended == 10
    assert director.table().half_open == 0


def test_an_entry_whose_time_is_over_is_gone_before_the_sweep(director: World) -> None:
    nat(director, 2)
    first = chosen(director.client(tcp("S")))
    director.age(61)
    assert chosen(director.client(tcp("S"))) != first


@pytest.fixture(scope="module")
def _crowded() -> Iterator[World]:
    sizes = replace(w.SMALL, connections=64, connections6=64)
    with w.world("xdp", sizes) as made:
        yield made


@pytest.fixture
def crowded(hook: str, _crowded: World) -> World:
    """An empty director with room for few connections."""
    _crowded.hook = hook
    _crowded.reset()
    return _crowded


def places(director: World) -> int:
    """As many IPv4 connections as the table can hold at the very most."""
    return r.WAYS4 * (director.path.geometry.lines4 + r.CHAIN - 1)


def from_client(i: int, flags: str) -> IP:
    return IP(src=f"198.51.{i // 250}.{i % 250 + 1}", dst=w.VIP) / TCP(
        sport=40000, dport=80, flags=flags
    )


def test_a_full_table_is_counted_and_what_is_established_goes_on(crowded: World) -> None:
    number = crowded.destination(crowded.service(), 1, Method.DR)
    established = []
    for i in range(1000):
        out = crowded.client(from_client(i, "S"))
        if out.reason == "fwd_dr":
            assert crowded.client(from_client(i, "A")).reason == "fwd_dr"
            established.append(i)
        else:
            assert (out.verdict, out.reason) == ("drop", "drop_table_full")
    assert 0.9 * places(crowded) < len(established) <= places(crowded)
    table = crowded.table()
    assert (table.used, table.full) == (len(established), 1000 - len(established))
    assert (table.evicted, table.half_open) == (0, 0)
    assert crowded.load(number) == (len(established), 0)
    for i in established:
        assert crowded.client(from_client(i, "PA")).reason == "fwd_dr"
    crowded.path.start_sweep()
    crowded.age(1000)
    deadline = time.monotonic() + 5
    while crowded.table().used and time.monotonic() < deadline:
        time.sleep(0.02)
    assert crowded.left_behind() == []
    assert crowded.load(number) == (0, 0)


def test_clients_that_never_answer_make_room_for_others(crowded: World) -> None:
    number = crowded.destination(crowded.service(), 1, Method.DR)
    for flags in "SA":
        crowded.client(tcp(flags))
    for i in range(1000):
        assert crowded.client(from_client(i, "S")).reason == "fwd_dr"
    assert crowded.client(tcp("PA")).reason == "fwd_dr", "established ones are never evicted"
    table = crowded.table()
    assert table.used <= places(crowded)
    assert (table.evicted, table.full) == (1001 - table.used, 0)
    assert table.half_open == table.used - 1
    assert crowded.load(number) == (table.used, 0)


def test_a_flood_of_half_open_connections_leaves_room(crowded: World) -> None:
    """Far from full: above their maximum half-open ones take each other's places."""
    crowded.destination(crowded.service(), 1, Method.DR)
    crowded.path.start_sweep()
    limit = crowded.table().half_open_max
    for i in range(limit):
        crowded.client(from_client(i, "S"))
    seen = crowded.path.map("table")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        record = crowded.layout.unpack(r.Table, seen.lookup(0) or b"")
        if record.half_open >= limit:
            break
        time.sleep(0.01)
    for i in range(limit, limit + 500):
        if i % 16 == 0:
            crowded.age(1)  # young ones would stay while there is room
        assert crowded.client(from_client(i, "S")).reason == "fwd_dr"
    table = crowded.table()
    assert table.full == 0
    assert table.evicted > 400
    assert table.half_open < places(crowded) * 0.9


@pytest.mark.parametrize("lower", [0, 2])
def test_thresholds(director: World, lower: int) -> None:
    full, other = nat(director, 2)
    director.change(full, upper_threshold=4, lower_threshold=lower)
    director.change(other, weight=0)
    for sport in range(4):
        assert chosen(director.client(tcp("S", 40000 + sport))) == 1
    assert director.client(tcp("S", 41000)).reason == "reply_no_destination"
    director.change(full, upper_threshold=8, lower_threshold=lower, overload_epoch=1)
    assert chosen(director.client(tcp("S", 42000))) == 1


def test_local_ports_serve_many_servers_and_run_out_honestly(director: World) -> None:
    service = director.service(port=53, protocol=w.UDP, local=(w.LIP,))
    director.destination(service, 1, Method.FULLNAT, port=53, port_block=0)
    second = director.destination(service, 2, Method.FULLNAT, port=53, port_block=1)
    blocks = director.path.map("local_ports")
    for block in (0, 1):  # both begin at the same port
        blocks.update(block, director.layout.pack(r.LocalPorts(cursor=1)))
    seen = []
    for sport in range(4000, 4004):
        out = director.client(IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=sport, dport=53))
        seen.append((chosen(out), out.packet[UDP].sport))
    assert len(set(seen)) == 4
    assert len({port for _, port in seen}) == 2, "one local port, two servers"
    # all ports but one of block 0 are taken by somebody else
    taken = r.LocalPorts(
        used=64511,
        full=tuple([2**64 - 1] * 15 + [2**48 - 1 & ~(1 << 40)]),
        taken=tuple([2**64 - 1] * 1000 + [2**64 - 1 & ~(1 << 7)] + [2**64 - 1] * 7),
    )
    blocks.update(0, director.layout.pack(taken))
    director.change(second, weight=0)
    out = director.client(IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=5000, dport=53))
    assert out.packet[UDP].sport == 1024 + 1000 * 64 + 7
    out = director.client(IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=5001, dport=53))
    assert (out.verdict, out.reason) == ("drop", "drop_local_ports")
    assert director.layout.unpack(r.LocalPorts, blocks.lookup(0) or b"").exhausted == 1
    assert director.table().used == 5


def test_every_local_port_is_found_once(director: World) -> None:
    """A whole block, one by one: no port twice, none forgotten, none out of range."""
    service = director.service(port=53, protocol=w.UDP, local=(w.LIP,))
    director.destination(service, 1, Method.FULLNAT, port=53, port_block=0)
    rest = 2000
    gaps = {(i * 31) % (1008 * 64) for i in range(rest)}
    words = [0] * 1008
    for port in range(1008 * 64):
        if port not in gaps:
            words[port // 64] |= 1 << port % 64
    full = [0] * 16
    for i, word in enumerate(words):
        if word == 2**64 - 1:
            full[i // 64] |= 1 << i % 64
    record = r.LocalPorts(used=1008 * 64 - rest, full=tuple(full), taken=tuple(words))
    director.path.map("local_ports").update(0, director.layout.pack(record))
    got = set()
    for i in range(rest):
        packet = IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=1024 + i, dport=53)
        out = director.client(packet)
        assert out.reason == "fwd_fullnat", i
        got.add(out.packet[UDP].sport - 1024)
    assert got == gaps
    out = director.client(IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=60000, dport=53))
    assert out.reason == "drop_local_ports"


@pytest.mark.parametrize("method", list(Method))
def test_one_packet_scheduling_remembers_nothing(director: World, method: Method) -> None:
    service = director.service(port=53, protocol=w.UDP, local=(w.LIP,))
    record = director.layout.unpack(r.Service, director.path.map("services").lookup(service) or b"")
    flags = r.ServiceFlag.USED | r.ServiceFlag.ONE_PACKET
    director.path.map("services").update(
        service, director.layout.pack(record._replace(flags=flags))
    )
    numbers = [director.destination(service, n, method, port=53, port_block=n) for n in (1, 2)]
    packet = IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=4000, dport=53)
    assert [chosen(director.client(packet)) for _ in range(4)] == [2, 1, 2, 1]
    assert director.connections() == []
    assert [director.load(number) for number in numbers] == [(0, 0), (0, 0)]
    assert director.stats("service", service).connections == 4
    assert director.table().used == 0
    assert director.left_behind() == []
