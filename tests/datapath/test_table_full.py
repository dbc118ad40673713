# SPDX-License-Identifier: Apache-2.0
"""A chain without room, half-open connections and their limit, and who counts as proved."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from xlvs.datapath import records as r
from xlvs.datapath.records import Method

from . import table_player as tp
from . import world as w
from .table_invariants import check, check_empty
from .world import Connection, World

ONE_CHAIN = replace(w.SMALL, connections=1, connections6=1)
PLACES = {False: r.CHAIN * r.WAYS4, True: r.CHAIN * r.WAYS6}

families = pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])


@pytest.fixture(scope="module")
def objects() -> Iterator[Path]:
    with tp.compiled() as folder:
        yield folder


@pytest.fixture(scope="module")
def _chain(objects: Path) -> Iterator[tuple[World, tp.Sweep]]:
    with w.world("tc", ONE_CHAIN) as world, tp.sweep(world, objects) as sweep:
        yield world, sweep


@pytest.fixture
def chain(_chain: tuple[World, tp.Sweep]) -> tuple[World, tp.Sweep]:
    """A table of one chain and no more, and its sweep."""
    _chain[0].reset()
    return _chain


def tcp(v6: bool, sport: int, flags: str) -> IP | IPv6:
    ip = IPv6(src=w.CLIENT6, dst=w.VIP6) if v6 else IP(src=w.CLIENT, dst=w.VIP)
    return ip / TCP(sport=sport, dport=80, flags=flags)


def serve(world: World, v6: bool, method: Method = Method.DR) -> None:
    vip, local = (w.VIP6, w.LIP6) if v6 else (w.VIP, w.LIP)
    world.destination(world.service(vip=vip, local=(local,)), 1, method, v6=v6, port_block=0)


def by_port(world: World) -> dict[int, Connection]:
    return {c.client_port: c for c in world.connections()}


def establish(world: World, v6: bool, sport: int) -> None:
    for flags in "SA":
        assert world.client(tcp(v6, sport, flags)).verdict == "send"


@families
def test_established_ones_everywhere_and_a_newcomer(
    chain: tuple[World, tp.Sweep], v6: bool
) -> None:
    world, _ = chain
    serve(world, v6)
    for i in range(PLACES[v6]):
        establish(world, v6, 1000 + i)
    before = world.connections()
    assert len(before) == PLACES[v6]
    for i in range(3):
        out = world.client(tcp(v6, 5000 + i, "S"))
        assert (out.verdict, out.reason) == ("drop", "drop_table_full")
        assert world.table().full == i + 1
    assert world.connections() == before
    assert (world.table().evicted, world.table().used) == (0, PLACES[v6])
    assert world.stats("service", 0).connections == PLACES[v6]
    check(world)


@families
def test_a_half_open_one_among_them_goes(chain: tuple[World, tp.Sweep], v6: bool) -> None:
    world, sweep = chain
    serve(world, v6)
    for i in range(PLACES[v6]):
        establish(world, v6, 1000 + i)
    gone = by_port(world)[1000 + PLACES[v6] // 2]
    world.age(10_000, [gone])
    sweep()
    assert world.client(tcp(v6, 3000, "S")).reason == "fwd_dr"
    half_open = by_port(world)[3000]
    assert half_open.half_open
    assert half_open.at == gone.at, "the only free place"
    established = set(by_port(world)) - {3000}
    for newcomer in (4000, 4001):
        assert world.client(tcp(v6, newcomer, "S")).reason == "fwd_dr"
        assert set(by_port(world)) == established | {newcomer}
        check(world)
    table = world.table()
    assert (table.evicted, table.full, table.half_open) == (2, 0, 1)
    assert world.client(tcp(v6, 3000, "A")).reason == "pass_not_syn", "it has no connection"
    assert world.client(tcp(v6, 4001, "A")).reason == "fwd_dr"
    assert world.client(tcp(v6, 4002, "S")).reason == "drop_table_full"
    world.age(10_000)
    sweep()
    check_empty(world)


@families
def test_the_half_open_one_nearest_to_its_end_goes(chain: tuple[World, tp.Sweep], v6: bool) -> None:
    world, _ = chain
    serve(world, v6)
    for i in range(PLACES[v6]):
        assert world.client(tcp(v6, 1000 + i, "S")).reason == "fwd_dr"
    oldest = 1000 + PLACES[v6] // 3
    world.age(30, [by_port(world)[oldest]])
    assert world.client(tcp(v6, 5000, "S")).reason == "fwd_dr"
    assert oldest not in by_port(world)
    assert len(by_port(world)) == PLACES[v6]
    check(world)


@families
def test_no_room_for_the_answers_of_fullnat(chain: tuple[World, tp.Sweep], v6: bool) -> None:
    """The last place goes to nobody: a connection without its ANSWER would be deaf."""
    world, sweep = chain
    serve(world, v6, Method.FULLNAT)
    room = PLACES[v6] // 2
    for i in range(room):
        establish(world, v6, 1000 + i)
    out = world.client(tcp(v6, 5000, "S"))
    assert (out.verdict, out.reason) == ("drop", "drop_table_full")
    assert len(check(world).answers) == room
    last = by_port(world)[1000]
    world.age(10_000, [last])
    sweep()
    assert world.client(tcp(v6, 5000, "S")).reason == "fwd_fullnat"
    assert len(check(world).answers) == room
    world.age(10_000)
    sweep()
    check_empty(world)


@families
def test_half_open_ones_are_bounded_while_the_sweep_runs(v6: bool) -> None:
    """Many more clients than the limit, in every tick some: far from full, and no more."""
    sizes = replace(w.SMALL, connections=1024, connections6=1024)
    limit, burst = 256, 32
    with w.world("tc", sizes) as world:
        serve(world, v6)
        assert world.table().half_open_max == limit
        world.path.start_sweep()
        most = 0
        for i in range(40):
            for k in range(burst):
                assert world.client(tcp(v6, 1024 + i * burst + k, "S")).reason == "fwd_dr"
            most = max(most, world.table().half_open)
            seen = world.table().sweeps
            deadline = time.monotonic() + 5
            while world.table().sweeps < seen + 2 and time.monotonic() < deadline:
                time.sleep(0.01)
        table = world.table()
        assert table.evicted > 0
        assert table.full == 0
        # Up to a burst more before the sweep counts. Below three times the limit none has to
        # go that is young.
        assert limit <= most < 3 * limit + 2 * burst
        assert table.created == 40 * burst


@families
def test_young_half_open_ones_stay_as_long_as_there_is_room(
    chain: tuple[World, tp.Sweep], v6: bool
) -> None:
    """Between SYN and ACK an honest client's connection is half-open too."""
    world, sweep = chain
    serve(world, v6)
    limit = world.table().half_open_max

    def crowd(half_open: int) -> None:
        """What the sweep would have counted."""
        table = world.layout.unpack(r.Table, world.path.map("table").lookup(0) or b"")
        raw = world.layout.pack(table._replace(half_open=half_open))
        world.path.map("table").update(0, raw)

    def opened(sport: int) -> set[int]:
        assert world.client(tcp(v6, sport, "S")).reason == "fwd_dr"
        return set(by_port(world))

    opened(1000)
    world.age(-1)  # however slow this machine is: young
    crowd(limit)
    assert opened(1001) == {1000, 1001}
    world.age(3, [by_port(world)[1000]])
    world.age(-1, [by_port(world)[1001]])
    assert opened(1002) == {1001, 1002}, "the old one made room"
    world.age(-1)
    crowd(3 * limit)
    assert len(opened(1003)) == 2, "so many: any makes room"
    assert world.table().evicted == 2
    crowd(0)
    check(world)
    world.age(10_000)
    sweep()
    check_empty(world)


@families
@pytest.mark.parametrize("method", [Method.NAT, Method.DR, Method.FULLNAT])
def test_a_clients_first_packet_that_is_no_syn_proves_it(
    chain: tuple[World, tp.Sweep], v6: bool, method: Method
) -> None:
    world, _ = chain
    serve(world, v6, method)

    def half_open() -> tuple[bool, int]:
        (connection,) = world.connections()
        return connection.half_open, world.table().half_open

    for flags in ("S", "S"):
        world.client(tcp(v6, 1000, flags))
        assert half_open() == (True, 1)
    if method is Method.NAT:
        source, client = (w.server6(1), w.CLIENT6) if v6 else (w.server(1), w.CLIENT)
        ip = IPv6(src=source, dst=client) if v6 else IP(src=source, dst=client)
        out = world.server(ip / TCP(sport=80, dport=1000, flags="SA"))
        assert out.reason == "fwd_reply"
        assert half_open() == (True, 1), "the server's word is not the client's"
    world.client(tcp(v6, 1000, "A"))
    assert half_open() == (False, 0)
    world.client(tcp(v6, 1000, "PA"))
    assert half_open() == (False, 0)
    check(world)


@families
def test_the_second_datagram_proves_a_client(chain: tuple[World, tp.Sweep], v6: bool) -> None:
    world, _ = chain
    service = world.service(vip=w.VIP6 if v6 else w.VIP, port=53, protocol=w.UDP)
    world.destination(service, 1, Method.NAT, port=53, v6=v6)
    ip = IPv6(src=w.CLIENT6, dst=w.VIP6) if v6 else IP(src=w.CLIENT, dst=w.VIP)
    for expected in (1, 0, 0):
        world.client(ip / UDP(sport=4000, dport=53))
        (connection,) = world.connections()
        assert (connection.half_open, world.table().half_open) == (bool(expected), expected)
    check(world)
