# SPDX-License-Identifier: Apache-2.0
"""Two CPUs in one small table: nobody gets lost, nobody counts twice, nothing is left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from xlvs.datapath import records as r
from xlvs.datapath.records import Method

from . import table_player as tp
from . import world as w
from .table_invariants import check, check_empty
from .table_player import Play, Played, Stage, Sweep
from .world import World

TINY = replace(w.SMALL, connections=16, connections6=16)
"""All chains share most of their lines: 82 places of IPv4, 39 of IPv6."""
SERVERS = 3
PACKETS = 50_000  # of each CPU
SAFE = 8
COMMON = 8000
MIXED = (64, 80, 16, 16)
SYNS = (200, 20, 10, 10)
FLOOD = (256, 0, 0, 0)

methods = pytest.mark.parametrize("method", [Method.NAT, Method.DR, Method.FULLNAT])
families = pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])


@pytest.fixture(scope="module")
def objects() -> Iterator[Path]:
    with tp.compiled() as folder:
        yield folder


@pytest.fixture(scope="module")
def tiny(objects: Path) -> Iterator[tuple[Stage, Sweep]]:
    with (
        w.world("xdp", TINY) as world,
        tp.stage(world, objects) as stage,
        tp.sweep(world, objects) as sweep,
    ):
        yield stage, sweep


def serve(world: World, method: Method, *, v6: bool) -> None:
    """One service in a world that is empty else."""
    world.reset()
    vip, local = (w.VIP6, w.LIP6) if v6 else (w.VIP, w.LIP)
    service = world.service(vip=vip, local=(local,))
    for n in range(SERVERS):
        world.destination(service, n + 1, method, v6=v6, port_block=n)


def plays(method: Method, v6: bool, together: bool, **more: object) -> list[Play]:
    """One for each CPU: of the same clients, or of clients of its own."""
    local = method is Method.FULLNAT
    play = Play(v6=v6, local=local, strict=not together)
    return [
        play._replace(seed=1 + cpu, first=10000 if together else 10000 + 1000 * cpu)._replace(
            **more
        )
        for cpu in (0, 1)
    ]


def nobody_strayed(played: list[Played]) -> None:
    for each in played:
        assert (each.strayed, each.strayed_replies, each.lost) == (0, 0, 0)


def end_all(world: World, sweep: Sweep) -> None:
    world.age(10_000)
    sweep()
    check_empty(world)


@families
@methods
@pytest.mark.parametrize("acts", [MIXED, SYNS], ids=["mixed", "syns"])
@pytest.mark.parametrize("together", [False, True], ids=["apart", "together"])
def test_lives_in_one_chain(
    tiny: tuple[Stage, Sweep], method: Method, v6: bool, acts: tuple[int, ...], together: bool
) -> None:
    """Opened, answered, reset, begun anew, evicted, all at the same time."""
    stage, sweep = tiny
    world = stage.world
    serve(world, method, v6=v6)
    wanted = plays(method, v6, together, acts=acts, clients=64)
    for turn in range(3):
        played = stage.run(wanted, PACKETS, on=bool(turn))
        nobody_strayed(played)
        check(world)
    table = world.table()
    assert table.created > 1000
    assert min(p.opened for p in played) > 1000
    assert sum(world.stats("destination", n).connections for n in range(SERVERS)) == table.created
    end_all(world, sweep)


@families
@methods
def test_no_flood_ends_an_established_connection(
    tiny: tuple[Stage, Sweep], method: Method, v6: bool
) -> None:
    stage, sweep = tiny
    world = stage.world
    serve(world, method, v6=v6)
    safe = 2 if v6 else SAFE
    first = plays(method, v6, False, clients=safe, acts=(100, 156, 0, 0))
    stage.run(first, 2000)
    established = {c.client_port: c for c in world.connections()}
    assert len(established) == 2 * safe
    flood = [p._replace(clients=128, safe=safe, acts=FLOOD) for p in first]
    played = stage.run(flood, PACKETS, on=True)
    nobody_strayed(played)
    assert all(p.sent > 300 for p in played), "established ones were heard all the time"
    assert world.table().evicted > 1000
    table = check(world)
    still = {c.client_port: c for c in world.connections()}
    for port, was in established.items():
        assert still[port]._replace(expires=0) == was._replace(expires=0)
    assert len(table.connections) > len(established)
    end_all(world, sweep)


def test_one_key_opened_by_both_at_once_is_one_connection(objects: Path) -> None:
    """The same clients in the same order: who is behind catches up, and both go on together."""
    with (
        w.world("xdp", replace(w.SMALL, connections6=65536)) as world,
        tp.stage(world, objects) as stage,
    ):
        for method, v6 in product((Method.NAT, Method.DR, Method.FULLNAT), (False, True)):
            serve(world, method, v6=v6)
            played = stage.run(plays(method, v6, True, in_turn=True), COMMON)
            assert sum(p.opened for p in played) == 2 * (COMMON - 1), "each but the last one"
            assert len(check(world).connections) == COMMON
            use = world.table()
            assert (use.created, use.half_open, use.evicted, use.full) == (COMMON, COMMON, 0, 0)
            stats = [world.stats("destination", n) for n in range(SERVERS)]
            assert sum(each.connections for each in stats) == COMMON
            assert sum(each.in_packets for each in stats) == 2 * COMMON
            assert world.stats("service", 0).connections == COMMON


def test_the_sweep_among_packets(objects: Path) -> None:
    """Connections of some ticks: they end by the sweep while both CPUs use them."""
    with w.world("xdp", TINY) as world, tp.stage(world, objects) as stage:
        for method, v6, together in product(
            (Method.NAT, Method.FULLNAT), (False, True), (False, True)
        ):
            serve(world, method, v6=v6)
            for state in r.State:
                world.set_timeout(state, 0.03)
            world.path.start_sweep()
            acts = (30, 60, 8, 8)
            nobody_strayed(stage.run(plays(method, v6, together, acts=acts, clients=32), PACKETS))
            deadline = time.monotonic() + 5
            while world.table().used and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(2 * w.SWEEP_TICK)
            check_empty(world)
            assert world.table().ended > 0
