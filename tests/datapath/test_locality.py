# SPDX-License-Identifier: Apache-2.0
"""lblc and lblcr: what is remembered of a virtual address, until when, and on two CPUs."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count

import pytest
from scapy.layers.inet import IP, TCP

from xlvs.datapath import records as r
from xlvs.datapath.records import Method, Scheduler

from . import world as w
from .world import World

FULL_ROUND = 30
ENTRIES_MAX = 16384
UNUSED = 6 * 60  # seconds
MINUTE = 60
DAY = 86400
PATIENCE = 10.0
_ports = count(20000)


def picks(director: World, number: int) -> str:
    found = ""
    for _ in range(number):
        packet = IP(src=w.CLIENT, dst=w.VIP) / TCP(sport=next(_ports), dport=80, flags="S")
        out = director.client(packet)
        found += out.packet.dst[-1] if out.reason == "fwd_dr" else "-"
    return found


def set_up(director: World, scheduler: Scheduler, weights: list[int]) -> list[int]:
    director.service(scheduler=scheduler)
    director.set(lblc_expiration=DAY * director.hz, lblcr_expiration=DAY * director.hz)
    return [
        director.destination(0, n, Method.DR, weight=weight) for n, weight in enumerate(weights, 1)
    ]


def remembered(director: World) -> dict[bytes, r.Locality]:
    codec = director.layout.codec(r.Locality)
    return {key: codec.unpack(raw) for key, raw in director.path.map("localities").items()}


def entry(director: World) -> r.Locality:
    (found,) = remembered(director).values()
    return found


def put(director: World, changed: Callable[[r.Locality], r.Locality]) -> None:
    for key, each in remembered(director).items():
        director.path.map("localities").update(key, director.layout.pack(changed(each)))


def more(director: World) -> list[tuple[bytes, bytes]]:
    return list(director.path.map("locality_more").items())


def table(director: World) -> r.LocalityTable:
    raw = director.path.map("locality_tables").lookup(0) or b""
    return director.layout.unpack(r.LocalityTable, raw)


def round_now(director: World, number: int) -> None:
    """Let the sweep's next round be this one, and at once."""
    rounds = r.LocalityRounds(used=1, due=director.path.ticks() | 1, number=number - 1)
    director.path.map("locality_rounds").update(0, director.layout.pack(rounds))
    director.path.start_sweep()
    codec = director.layout.codec(r.LocalityRounds)
    deadline = time.monotonic() + PATIENCE
    while codec.unpack(director.path.map("locality_rounds").lookup(0) or b"").number != number:
        assert time.monotonic() < deadline, "no round"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("scheduler", "weights", "expected"),
    [
        (Scheduler.LBLC, [9, 9, 9], "3333"),
        (Scheduler.LBLC, [2, 2, 2], "333222111111"),
        (Scheduler.LBLC, [0, 1], "2222"),
        (Scheduler.LBLC, [0, 0], "--"),
        (Scheduler.LBLC, [], "--"),
        (Scheduler.LBLCR, [9, 9, 9], "3333"),
        (Scheduler.LBLCR, [2, 2, 2], "333222111123123"),
        (Scheduler.LBLCR, [0, 0], "--"),
    ],
)
def test_decisions(
    director: World, scheduler: Scheduler, weights: list[int], expected: str
) -> None:
    set_up(director, scheduler, weights)
    assert picks(director, len(expected)) == expected


def test_nothing_is_remembered_of_a_refusal(director: World) -> None:
    set_up(director, Scheduler.LBLC, [0])
    assert picks(director, 1) == "-"
    assert not remembered(director)


@pytest.mark.parametrize("scheduler", [Scheduler.LBLC, Scheduler.LBLCR])
def test_a_server_that_is_away_for_a_while(director: World, scheduler: Scheduler) -> None:
    """Removed or without weight another one gets them; lblcr has it back after that."""
    numbers = set_up(director, scheduler, [9, 9, 9])
    flags = director.destinations[numbers[2]].flags
    assert picks(director, 2) == "33"
    director.change(numbers[2], flags=flags & ~r.DestinationFlag.AVAILABLE, weight=0)
    assert picks(director, 2) == "22"
    director.change(numbers[2], flags=flags, weight=90)
    # lblc has forgotten it; of lblcr's set it has the least connections per weight.
    assert picks(director, 2) == ("22" if scheduler is Scheduler.LBLC else "33")


def test_an_id_that_is_another_servers_by_now(director: World) -> None:
    numbers = set_up(director, Scheduler.LBLC, [9, 9])
    assert picks(director, 1) == "2"
    # The remembered id's new owner is as busy as the old one: wlc takes the other.
    director.change(numbers[1], address=w.packed(w.server(7)), gateway=w.packed(w.server(7)))
    assert picks(director, 1) == "1"


def test_lblc_does_not_ask_for_the_upper_threshold_of_whom_it_remembers(director: World) -> None:
    numbers = set_up(director, Scheduler.LBLC, [9, 9])
    director.change(numbers[1], upper_threshold=1)
    assert picks(director, 3) == "222"


def test_lblcr_does(director: World) -> None:
    numbers = set_up(director, Scheduler.LBLCR, [9, 9])
    director.change(numbers[1], upper_threshold=1)
    assert picks(director, 3) == "211"


@pytest.mark.parametrize("scheduler", [Scheduler.LBLC, Scheduler.LBLCR])
def test_a_new_scheduler_remembers_nothing(director: World, scheduler: Scheduler) -> None:
    set_up(director, scheduler, [2, 2])
    assert picks(director, 4) == "2221"
    director.path.map("destination_load").clear()
    director.commit(0, scheduler, reset=1)
    assert table(director).entries == 0
    assert picks(director, 1) == "2"
    assert table(director).entries == 1
    assert entry(director).count == 1
    assert not more(director)


def test_the_busiest_leaves_a_set_that_was_the_same_for_long(director: World) -> None:
    numbers = set_up(director, Scheduler.LBLCR, [2, 2, 2])
    director.set(lblcr_expiration=1000 * director.hz)
    assert picks(director, 9) == "333222111"
    assert entry(director).count == 3
    changed_at = entry(director).changed_at
    put(director, lambda e: e._replace(changed_at=changed_at - 1001 * director.hz & 0xFFFFFFFF))
    # All are equally busy, and the one that came last is named first.
    assert picks(director, 1) == "1"
    found = entry(director)
    assert (found.count, found.first.destination) == (2, numbers[2])
    assert len(more(director)) == 1
    # The set has just changed: it stays.
    assert picks(director, 4) == "2323"
    assert entry(director).count == 2


@pytest.mark.parametrize("scheduler", [Scheduler.LBLC, Scheduler.LBLCR])
def test_every_thirtieth_round_ends_what_was_not_used_for_long(
    director: World, scheduler: Scheduler
) -> None:
    set_up(director, scheduler, [2, 2])
    director.set(lblc_expiration=1000 * director.hz, lblcr_expiration=1000 * director.hz)
    assert picks(director, 4) == "2221"
    put(director, lambda e: e._replace(used_at=e.used_at - 990 * director.hz & 0xFFFFFFFF))
    round_now(director, FULL_ROUND)
    assert len(remembered(director)) == 1
    put(director, lambda e: e._replace(used_at=e.used_at - 11 * director.hz & 0xFFFFFFFF))
    round_now(director, FULL_ROUND + 1)
    assert len(remembered(director)) == 1
    round_now(director, 2 * FULL_ROUND)
    assert not remembered(director)
    assert not more(director)
    assert table(director).entries == 0


def test_what_was_forgotten_is_ended_in_any_round(director: World) -> None:
    set_up(director, Scheduler.LBLCR, [2, 2])
    assert picks(director, 4) == "2221"
    director.commit(0, Scheduler.LBLCR, reset=1)
    round_now(director, 1)
    assert not remembered(director)
    assert not more(director)
    assert table(director).entries == 0


@pytest.mark.parametrize(("surplus", "ended"), [(0, 0), (30, 40), (3000, 60), (10**6, 60)])
def test_too_many_entries_make_room_for_each_other(
    director: World, surplus: int, ended: int
) -> None:
    """As many as four thirds of what is too much, of those not used for six minutes."""
    set_up(director, Scheduler.LBLC, [9])
    assert picks(director, 1) == "1"
    (found,) = remembered(director).values()
    old = found.used_at - (UNUSED + 1) * director.hz & 0xFFFFFFFF
    localities = director.path.map("localities")
    for i in range(80):
        key = r.LocalityKey(address=w.packed(f"10.9.0.{i}"), service=0)
        value = found._replace(used_at=old if i < 60 else found.used_at)
        localities.update(director.layout.pack(key), director.layout.pack(value))
    full = table(director)._replace(entries=ENTRIES_MAX + surplus)
    director.path.map("locality_tables").update(0, director.layout.pack(full))
    round_now(director, 1)
    assert len(remembered(director)) == 81 - ended
    assert table(director).entries == ENTRIES_MAX + surplus - ended
    assert picks(director, 1) == "1"


def test_rounds_come_by_the_minute_and_only_while_there_is_something(director: World) -> None:
    set_up(director, Scheduler.LBLC, [9])
    codec = director.layout.codec(r.LocalityRounds)
    rounds = director.path.map("locality_rounds")
    director.path.start_sweep()
    assert codec.unpack(rounds.lookup(0) or b"").due == 0
    assert picks(director, 1) == "1"
    deadline = time.monotonic() + PATIENCE
    while not (due := codec.unpack(rounds.lookup(0) or b"").due):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    left = (due - director.path.ticks()) % 2**32 / director.hz
    assert MINUTE - 2 * PATIENCE < left < MINUTE + 1


@pytest.mark.parametrize("scheduler", [Scheduler.LBLC, Scheduler.LBLCR])
def test_two_cpus_remember_one_address_once(director: World, scheduler: Scheduler) -> None:
    """Weights so low that nearly every connection looks for another server."""
    numbers = set_up(director, scheduler, [1] * 6)
    each = 400
    director.flood(each)
    assert sum(sum(director.load(n)) for n in numbers) == 2 * each
    assert table(director)._replace(epoch=0) == r.LocalityTable(entries=1)
    found = entry(director)
    server = director.layout.codec(r.LocalityServer)
    others = [server.unpack(raw).destination for _, raw in more(director)]
    members = [found.first.destination, *others]
    assert len(members) == found.count
    assert len(set(members)) == len(members)
    assert len(members) == (1 if scheduler is Scheduler.LBLC else len(numbers))
