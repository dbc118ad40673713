# SPDX-License-Identifier: Apache-2.0
"""Buckets and picks of ``sh`` and ``dh`` against the kernel's recorded decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from tests.oracle import facts

from xlvs.cli.ipvsadm import arguments
from xlvs.cli.ipvsadm.names import SystemNames
from xlvs.schedulers import buckets
from xlvs.schedulers.buckets import SIZE

SH = facts.load("sched/sh")
DH = facts.load("sched/dh")
NOBODY = "-"


def servers(setup: list[str]) -> tuple[list[tuple[str, int]], int]:
    """Digits and weights of the servers, newest first, and the service's flags."""
    service, *added = [arguments.parse(line.split(), SystemNames()) for line in setup]
    return [(str(each.server)[-1], each.weight) for each in reversed(added)], service.flags


def picked(listed: list[tuple[str, int]], index: int | None) -> str:
    return NOBODY if index is None else listed[index][0]


def sh_scenarios() -> Iterator[Any]:
    for scenario in SH["scenarios"]:
        if "picks" in scenario:
            yield pytest.param(scenario, id=scenario["name"])


@pytest.mark.parametrize("scenario", list(sh_scenarios()))
def test_sources_recorded(scenario: dict[str, Any]) -> None:
    listed, flags = servers(scenario["setup"])
    owners = buckets.source([weight for _, weight in listed])
    got = ""
    for address, port in SH[scenario["clients"]][: len(scenario["picks"])]:
        packed = ip_address(address).packed
        got += picked(listed, buckets.pick(owners, lambda i: listed[i][1] > 0, packed, port, flags))
    assert got == scenario["picks"]


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(each, id=each["name"]) for each in DH["scenarios"] if "runs" in each],
)
def test_destinations_recorded(scenario: dict[str, Any]) -> None:
    listed, _ = servers(scenario["setup"])
    owners = buckets.destination(len(listed))
    run = scenario["runs"][0]
    got = ""
    for address in DH[run["to"]]:
        packed = ip_address(address).packed
        got += picked(listed, buckets.pick(owners, lambda i: listed[i][1] > 0, packed))
    assert got == run["picks"]


def test_without_servers_there_are_no_buckets() -> None:
    assert buckets.source([]) == []
    assert buckets.destination(0) == []
    assert buckets.pick([], lambda _: True, bytes(4)) is None


def test_weight_is_how_many_in_a_row() -> None:
    assert buckets.source([3, 0, 1])[:11] == [0, 0, 0, 1, 2, 0, 0, 0, 1, 2, 0]


def test_above_256_in_sum_some_get_nothing() -> None:
    assert set(buckets.source([200, 56, 9])) == {0, 1}
    assert set(buckets.source([2**31 - 1, 1])) == {0}


@hypothesis.given(st.lists(st.integers(0, 300), min_size=1, max_size=400))
def test_shares(weights: list[int]) -> None:
    owners = buckets.source(weights)
    assert len(owners) == SIZE
    rest = SIZE
    # Whole rounds, then the beginning of one more.
    whole, over = divmod(SIZE, sum(max(weight, 1) for weight in weights))
    expected: Counter[int] = Counter()
    for index, weight in enumerate(weights):
        turns = max(weight, 1)
        expected[index] = whole * turns + min(turns, over)
        over -= min(turns, over)
        rest -= expected[index]
    assert rest == 0
    assert Counter(owners) == +expected


@hypothesis.given(st.binary(min_size=4, max_size=4), st.integers(0, 65535), st.integers(1, 40))
def test_a_fallback_finds_a_usable_server(client: bytes, port: int, number: int) -> None:
    owners = buckets.source([1] * number)
    flags = buckets.FALLBACK | buckets.PORT
    for only in {0, number // 2, number - 1}:
        found = buckets.pick(owners, only.__eq__, client, port, flags)
        assert found == only
    assert buckets.pick(owners, lambda _: False, client, port, flags) is None
