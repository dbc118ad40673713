# SPDX-License-Identifier: Apache-2.0
"""Schedulers in the data path: order, weights, ties, changes in mid-sequence, many servers."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from scapy.layers.inet import IP, TCP

from xlvs.datapath import records as r
from xlvs.datapath.records import Method, Scheduler
from xlvs.datapath.testrun import test_run as run_program

from . import world as w
from .world import World


def picks(director: World, count: int, first: int = 30000) -> str:
    """One character per new connection: its server's number, or - for nobody."""
    found = ""
    for i in range(count):
        out = director.client(
            IP(src=w.CLIENT, dst=w.VIP) / TCP(sport=first + i, dport=80, flags="S")
        )
        found += out.packet.dst[-1] if out.reason == "fwd_dr" else "-"
    return found


def set_up(director: World, scheduler: Scheduler, weights: list[int]) -> list[int]:
    service = director.service(scheduler=scheduler)
    return [
        director.destination(service, n, Method.DR, weight=weight)
        for n, weight in enumerate(weights, 1)
    ]


@pytest.mark.parametrize(
    ("scheduler", "weights", "expected"),
    [
        (Scheduler.RR, [1, 1, 1], "321321321"),
        (Scheduler.RR, [1, 0, 1], "31313131"),
        (Scheduler.RR, [0, 0, 0], "---"),
        (Scheduler.RR, [], "--"),
        (Scheduler.WRR, [5, 3, 2], "32111213213"),
        (Scheduler.WRR, [4, 2], "2112112112"),
        (Scheduler.WRR, [0, 3], "2222"),
        (Scheduler.WRR, [0, 0], "--"),
        (Scheduler.LC, [1, 1, 1], "321321"),
        (Scheduler.LC, [9, 0, 1], "313131"),
        (Scheduler.WLC, [2, 1], "2112112"),
        (Scheduler.WLC, [0, 1], "2222"),
    ],
)
def test_decisions(
    director: World, scheduler: Scheduler, weights: list[int], expected: str
) -> None:
    set_up(director, scheduler, weights)
    assert picks(director, len(expected)) == expected


def test_a_scheduler_that_the_data_path_lacks_refuses(director: World) -> None:
    set_up(director, Scheduler.NONE, [1, 1])
    assert picks(director, 2) == "--"


def test_rr_goes_on_where_it_was_when_a_server_is_added(director: World) -> None:
    set_up(director, Scheduler.RR, [1, 1, 1])
    assert picks(director, 2) == "32"
    director.destination(0, 4, Method.DR)
    assert picks(director, 5, 31000) == "14321"


@pytest.mark.parametrize("scheduler", [Scheduler.RR, Scheduler.WRR, Scheduler.WLC])
def test_a_thousand_servers(director: World, scheduler: Scheduler) -> None:
    """Only the cost may grow: the list is walked in the kernel, in bounded steps."""
    service = director.service(scheduler=scheduler)
    number = director.destination(service, 1, Method.DR)
    for i in range(1000):
        director.path.map("service_destinations").update(i, number.to_bytes(4, "little"))
    director.path.commit(
        r.Commit(
            service=service,
            scheduler=scheduler,
            reset=1,
            list=r.ServerList(base=0, count=1000, gcd=1, max_weight=1),
        )
    )
    assert picks(director, 5) == "11111"


@pytest.mark.parametrize("scheduler", [Scheduler.RR, Scheduler.WRR])
def test_two_cpus_share_one_cursor(director: World, scheduler: Scheduler) -> None:
    """However packets interleave, each decision takes the cursor that the last one left."""
    weights = [1, 1, 1, 1] if scheduler is Scheduler.RR else [4, 3, 2, 1]
    numbers = set_up(director, scheduler, weights)
    name = "xlvs_xdp" if director.hook == "xdp" else "xlvs_tc_ingress"
    program = director.path.programs[name]
    each = 500

    def flood(thread: int) -> None:
        for i in range(each):
            packet = IP(src=f"198.51.100.{thread}", dst=w.VIP) / TCP(
                sport=1024 + i, dport=80, flags="S"
            )
            run_program(program, bytes(w.Ether(src=w.CLIENT_MAC, dst="00:00:00:00:00:00") / packet))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(flood, (1, 2)))
    got = Counter({n: sum(director.load(n)) for n in numbers})
    total = sum(got.values())
    assert total == director.table().used
    expected = [total * weight // sum(weights) for weight in weights]
    assert [got[n] for n in numbers] == expected
    assert total == 2 * each
