# SPDX-License-Identifier: Apache-2.0
"""Slots and picks of ``mh`` against the kernel's recorded decisions, and what holds of any."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from math import gcd

import hypothesis
import pytest
from hypothesis import strategies as st
from tests.oracle import facts

from xlvs.cli.ipvsadm import arguments
from xlvs.cli.ipvsadm.names import SystemNames
from xlvs.cli.ipvsadm.options import Verb
from xlvs.schedulers import maglev
from xlvs.schedulers.maglev import SIZE, Server

FACTS = facts.load("sched/mh")
NOBODY = "-"


@dataclass
class Entry:
    server: Server
    digit: str
    weight: int
    upper: int = 0
    connections: int = 0
    overloaded: bool = False


class Reference:
    """A service of ``mh`` as command lines leave it. No connection of it ever ends."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.flags = 0
        self.slots: list[int] = []

    def command(self, line: str) -> None:
        request = arguments.parse(line.split(), SystemNames())
        if request.verb in (Verb.ADD_SERVICE, Verb.EDIT_SERVICE):
            self.flags = request.flags
            return
        assert request.server is not None
        digit = str(request.server)[-1]
        if request.verb is Verb.ADD_SERVER:
            server = Server(request.server.packed, request.server_port, request.weight)
            self.entries.insert(0, Entry(server, digit, request.weight))
        at = next(i for i, each in enumerate(self.entries) if each.digit == digit)
        if request.verb is Verb.DELETE_SERVER:
            del self.entries[at]
        else:
            self.edit(self.entries[at], request.weight, request.upper)
        self.slots = maglev.slots([each.server for each in self.entries])

    def edit(self, entry: Entry, weight: int, upper: int) -> None:
        entry.server = entry.server._replace(weight=weight or entry.server.weight)
        entry.weight = weight
        if not upper or upper > entry.upper:
            entry.overloaded = False
        entry.upper = upper

    def usable(self, index: int) -> bool:
        return self.entries[index].weight > 0 and not self.entries[index].overloaded

    def connect(self, client: str, port: int) -> str:
        address = ip_address(client).packed
        found = maglev.pick(self.slots, self.usable, address, port, self.flags)
        if found is None:
            return NOBODY
        entry = self.entries[found]
        entry.connections += 1
        entry.overloaded = 0 < entry.upper <= entry.connections
        return entry.digit


def scenarios(key: str) -> list[dict]:
    return [each for each in FACTS["scenarios"] if key in each]


@pytest.mark.parametrize("scenario", scenarios("picks"), ids=lambda each: each["name"])
def test_recorded_picks(scenario) -> None:
    service = Reference()
    for line in scenario["setup"]:
        service.command(line)
    clients = FACTS[scenario["clients"]][: len(scenario["picks"])]
    assert "".join(service.connect(*client) for client in clients) == scenario["picks"]


@pytest.mark.parametrize("scenario", scenarios("sequence"), ids=lambda each: each["name"])
def test_recorded_picks_between_changes(scenario) -> None:
    service = Reference()
    for place, step in enumerate(scenario["sequence"]):
        if "ipvsadm" in step:
            service.command(step["ipvsadm"])
        else:
            picks = "".join(service.connect(*client) for client in clients_of(step))
            assert picks == step["picks"], place


def clients_of(step: dict) -> Iterator[tuple[str, int]]:
    name, count = re.fullmatch(r"(\w+)\[:(\d+)\]", step["clients"]).groups()
    shift = int(re.fullmatch(r"\(port \+ (\d+)\) % 60000 \+ 2000", step["port_rule"])[1])
    for address, port in FACTS[name][: int(count)]:
        yield address, (port + shift) % 60000 + 2000


@pytest.mark.parametrize("scenario", scenarios("events"), ids=lambda each: each["name"])
def test_recorded_scripts_ask_the_slots_owner(scenario) -> None:
    """Thresholds there depend on connections that end, so a refusal is only a possible one."""
    service = Reference()
    for line in scenario["setup"]:
        service.command(line)
    limited = set()
    for event in scenario["events"]:
        if event.startswith("ipvsadm "):
            service.command(event.removeprefix("ipvsadm "))
            limited |= {each.digit for each in service.entries if each.upper}
        found = re.fullmatch(r"new \d+ (\S+):(\d+) \S+ -> (.)", event)
        if found is None:
            continue
        value = maglev.fold(ip_address(found[1]).packed)
        owner = service.entries[service.slots[maglev.slot(value)]]
        if found[3] == NOBODY:
            assert not owner.weight or owner.digit in limited, event
        else:
            assert owner.digit == found[3], event
            assert owner.weight, event


def test_without_a_weight_there_are_no_slots() -> None:
    assert maglev.slots([]) == []
    assert maglev.slots([Server(bytes(4), 80, 0)]) == []


def test_a_fallback_that_finds_nobody_ends() -> None:
    slots = maglev.slots([Server(bytes(4), 80, 1)])
    assert maglev.pick(slots, lambda _: False, bytes(4), 1, maglev.FALLBACK) is None


@pytest.mark.parametrize(("count", "most"), [(100, 0.1), (1000, 0.5), (4093, 2)])
def test_is_quick(count, most) -> None:
    servers = [Server((3 << 24 | index).to_bytes(4, "big"), 80, 1) for index in range(count)]
    seconds = []
    for _ in range(3):  # the best of three: others may be using the machine
        maglev._permutation.cache_clear()
        begin = time.perf_counter()
        maglev.slots(servers)
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < most


def servers(weights, least=1, most=40):
    server = st.builds(
        Server,
        st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16),
        st.integers(0, 65535),
        weights,
    )
    return st.lists(server, min_size=least, max_size=most, unique_by=lambda each: each[:2])


@hypothesis.given(servers(st.integers(0, 200)))
def test_every_slot_has_an_owner_with_a_weight(listed) -> None:
    slots = maglev.slots(listed)
    if not any(server.weight for server in listed):
        assert slots == []
        return
    assert len(slots) == SIZE
    assert all(listed[owner].weight for owner in slots)


@hypothesis.given(servers(st.integers(1, 63)))
def test_shares_are_as_the_weights(listed) -> None:
    """Whoever takes turns has at most one turn more than whoever comes later."""
    slots = Counter(maglev.slots(listed))
    unit = gcd(*(server.weight for server in listed))
    turns = sum(server.weight // unit for server in listed)
    for index, server in enumerate(listed):
        least = SIZE // turns * (server.weight // unit)
        assert least <= slots[index] <= least + server.weight // unit


@hypothesis.given(servers(st.integers(1, 2**31 - 1)), st.integers(1, 8))
def test_a_common_factor_does_not_count(listed, factor) -> None:
    times = [server._replace(weight=server.weight * factor) for server in listed]
    assert maglev.slots(times) == maglev.slots(listed)


@hypothesis.given(servers(st.just(1), least=2, most=30), st.data())
def test_a_server_that_goes_moves_little_else(listed, data) -> None:
    gone = data.draw(st.integers(0, len(listed) - 1))
    before = [listed[owner] for owner in maglev.slots(listed)]
    rest = listed[:gone] + listed[gone + 1 :]
    after = [rest[owner] for owner in maglev.slots(rest)]
    hashes = {maglev.fold(server.address) + server.port & 0xFFFFFFFF for server in listed}
    hypothesis.assume(len(hashes) == len(listed))  # equal hashes, equal permutations
    moved = sum(old != new for old, new in zip(before, after, strict=True) if old != listed[gone])
    assert moved <= SIZE * 0.3
