# SPDX-License-Identifier: Apache-2.0
"""Schedulers in the data path: order, weights, ties, changes in mid-sequence, many servers."""

from __future__ import annotations

from array import array
from collections import Counter
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, TCP

from xlvs.datapath import records as r
from xlvs.datapath.records import Method, Scheduler
from xlvs.datapath.tables import Region
from xlvs.datapath.writes import WriteSlots
from xlvs.io.slot_maps import SlotMaps
from xlvs.schedulers import buckets, maglev

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
        (Scheduler.WRR, [1, 65535], "21" + 10 * "2"),
        (Scheduler.LC, [1, 1, 1], "321321"),
        (Scheduler.LC, [9, 0, 1], "313131"),
        (Scheduler.WLC, [2, 1], "2112112"),
        (Scheduler.WLC, [0, 1], "2222"),
        (Scheduler.SED, [5, 3, 2], "1213121321"),
        (Scheduler.SED, [1, 0, 1], "313131"),
        (Scheduler.NQ, [5, 1, 1], "3211111"),
        (Scheduler.NQ, [0, 0], "--"),
        (Scheduler.FO, [1, 7, 7], "3333"),
        (Scheduler.FO, [1, 0], "1111"),
        (Scheduler.OVF, [1, 2], "22211-"),
        (Scheduler.OVF, [0, 0], "--"),
        (Scheduler.DH, [1, 1, 1], "3333"),
        (Scheduler.DH, [1, 1, 0], "----"),
        (Scheduler.DH, [], "--"),
        (Scheduler.TWOS, [0, 1, 0], "2222"),
        (Scheduler.TWOS, [0, 0], "--"),
        (Scheduler.TWOS, [], "--"),
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


THOUSAND = 1000


def commit(director: World, scheduler: Scheduler, ids: list[int], **more: int) -> None:
    """Give service 0 a list of any length."""
    director.path.map("service_destinations").update_many(
        (i, number.to_bytes(4, "little")) for i, number in enumerate(ids)
    )
    listed = r.ServerList(base=0, count=len(ids), **more)
    director.path.commit(r.Commit(service=0, scheduler=scheduler, reset=1, list=listed))


def set_load(director: World, destination: int, active: int) -> None:
    value = director.layout.pack(r.DestinationLoad(active=active))
    director.path.map("destination_load").update(destination, value)


@pytest.mark.parametrize("place", [0, 500, THOUSAND - 1])
@pytest.mark.parametrize(
    ("scheduler", "weight", "active"),
    [
        (Scheduler.RR, 0, 0),
        (Scheduler.WRR, 1, 0),
        (Scheduler.LC, 9, 1),
        (Scheduler.WLC, 1, 1),
        (Scheduler.SED, 1, 1),
        (Scheduler.NQ, 9, 1),
        (Scheduler.FO, 1, 0),
        (Scheduler.OVF, 9, 10),
        (Scheduler.LBLC, 1, 1),
        (Scheduler.LBLCR, 1, 1),
        (Scheduler.TWOS, 0, 0),
    ],
)
def test_the_best_of_a_thousand(
    director: World, scheduler: Scheduler, weight: int, active: int, place: int
) -> None:
    """Server 1 has all places of the list but one: it has the weight and the load."""
    director.service(scheduler=scheduler)
    many = director.destination(0, 1, Method.DR, weight=weight)
    best = director.destination(0, 2, Method.DR, weight=2)
    set_load(director, many, active)
    ids = [many] * THOUSAND
    ids[place] = best
    commit(director, scheduler, ids, gcd=1, max_weight=2)
    assert picks(director, 1) == "2"


@pytest.mark.parametrize("scheduler", [Scheduler.MH, Scheduler.SH])
def test_a_slot_of_thousands(director: World, scheduler: Scheduler) -> None:
    """What the client hashes to decides, however many slots and servers there are."""
    director.service(scheduler=scheduler)
    one = director.destination(0, 1, Method.DR)
    other = director.destination(0, 2, Method.DR)
    size = maglev.SIZE if scheduler is Scheduler.MH else buckets.SIZE
    folded = maglev.fold(ip_address(w.CLIENT).packed)
    mine = maglev.slot(folded) if scheduler is Scheduler.MH else buckets.bucket(folded)
    base = r.SLOT_PAGE + 77
    owners = array("I", (other if i == mine else one for i in range(size)))
    slots = SlotMaps(director.path)
    slots.put([base // r.SLOT_PAGE])
    slots.write(WriteSlots(Region(base, size), owners, {}))
    commit(director, scheduler, [one, other] * 500, hash_base=base, hash_size=size)
    assert picks(director, 3) == "222"
    director.change(other, weight=0)
    assert picks(director, 3, 31000) == "---"


def test_dh_of_a_thousand(director: World) -> None:
    director.service(scheduler=Scheduler.DH)
    one = director.destination(0, 1, Method.DR)
    other = director.destination(0, 2, Method.DR)
    ids = [one] * THOUSAND
    ids[buckets.bucket(maglev.fold(ip_address(w.VIP).packed)) % THOUSAND] = other
    commit(director, Scheduler.DH, ids)
    assert picks(director, 3) == "222"


def without_load(director: World, count: int) -> Counter[str]:
    """Decisions with no connection counted."""
    found: Counter[str] = Counter()
    for i in range(count):
        director.path.map("destination_load").clear()
        found[picks(director, 1, 20000 + i)] += 1
    return found


TWOS_DRAWS = 400


def test_twos_draws_by_weight(director: World) -> None:
    """Of weights 3 and 1 the head of the list has 4 tickets of 5. (Eight deviations wide.)"""
    set_up(director, Scheduler.TWOS, [1, 3])
    found = without_load(director, TWOS_DRAWS)
    assert set(found) == {"1", "2"}
    assert abs(found["2"] - TWOS_DRAWS * 4 // 5) < 64


def test_twos_prefers_the_less_busy_of_two(director: World) -> None:
    """The busy head of two equal servers gets only those that drew it twice: 4 of 9."""
    set_up(director, Scheduler.TWOS, [1, 1])
    busy = director.lists[0][0]
    found: Counter[str] = Counter()
    for i in range(TWOS_DRAWS):
        director.path.map("destination_load").clear()
        set_load(director, busy, 5)
        found[picks(director, 1, 20000 + i)] += 1
    assert abs(found["2"] - TWOS_DRAWS * 4 // 9) < 80
    assert found["1"]


def overload(director: World, destination: int) -> None:
    """Over its threshold, as the table says it to packets."""
    director.change(destination, upper_threshold=1)
    value = director.layout.pack(r.DestinationLoad(active=1, overloaded=1))
    director.path.map("destination_load").update(destination, value)


def word(director: World) -> tuple[int, int]:
    """Cursor and current weight of service 0."""
    raw = director.path.map("schedules").lookup(0) or b""
    found = director.layout.unpack(r.Schedule, raw).word
    return found >> 32 & 0xFFFF, found & 0xFFFFFFFF


def test_wrr_passes_over_weights_that_nobody_has(director: World) -> None:
    """Step by step it would be 65534 passes over the list."""
    numbers = set_up(director, Scheduler.WRR, [1, 65535])
    overload(director, numbers[1])
    assert picks(director, 1) == "1"
    assert word(director) == (1, 1)


@pytest.mark.parametrize(
    ("reset", "first", "before", "after"),
    [
        # Having asked all at any weight it stands before the head, at the top.
        (1, "1", (2, 5), (r.CURSOR_HEAD, 5)),
        # At the lowest weight it goes round to where it was.
        (0, "3", (0, 1), (0, 1)),
    ],
)
def test_wrr_when_nobody_is_fit(
    director: World, reset: int, first: str, before: tuple[int, int], after: tuple[int, int]
) -> None:
    """Where it stands after that decides who is next, as in IPVS."""
    numbers = set_up(director, Scheduler.WRR, [5, 3, 2])
    director.commit(0, Scheduler.WRR, reset=reset)
    assert picks(director, 1, 29000) == first
    assert word(director) == before
    for number in numbers:
        overload(director, number)
    assert picks(director, 2) == "--"
    assert word(director) == after


def test_twos_does_not_draw_who_is_not_fit(director: World) -> None:
    set_up(director, Scheduler.TWOS, [1, 5, 0])
    overload(director, director.lists[0][1])
    assert picks(director, 20) == "1" * 20


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
    each = 500
    director.flood(each)
    got = Counter({n: sum(director.load(n)) for n in numbers})
    total = sum(got.values())
    assert total == director.table().used
    expected = [total * weight // sum(weights) for weight in weights]
    assert [got[n] for n in numbers] == expected
    assert total == 2 * each
