# SPDX-License-Identifier: Apache-2.0
"""Which rows are measured, and how their figures are shown."""

from __future__ import annotations

import json

import pytest
from bench.harness import Run
from bench.measure import Wrong, _check
from bench.report import document, figures, tables
from bench.rows import FLOOR_SINGLY, FLOOR_WRAPPER, FLOWS, HOOKS, Group, Row, number, select

from xlvs.model.service import Method

ALL = select(HOOKS, list(Method), FLOWS, list(Group))


def test_every_method_hook_and_number_of_flows_is_there():
    for group in (Group.ESTABLISHED, Group.NEW):
        found = {(r.name, r.hook, r.flows) for r in ALL if r.group is group}
        assert found == {(m, hook, n) for m in Method for hook in HOOKS for n in FLOWS}
    assert len(set(ALL)) == len(ALL)


def test_floors_are_always_there():
    rows = select(["xdp"], [Method.DR], [1], [Group.NEW])
    assert {r.group for r in rows} == {Group.FLOOR, Group.NEW}
    assert [r.hook for r in rows] == ["xdp"] * len(rows)


def test_numbers_of_flows_in_words():
    assert [number(n) for n in (1, 512, 65536, 1 << 20)] == ["1", "512", "64 K", "1 M"]


def test_net_is_less_the_floor_of_the_same_hook_and_way():
    values = {row: [100.0] for row in ALL}
    for row in ALL:
        if row.name == FLOOR_WRAPPER:
            values[row] = [39.0, 40.0, 41.0] if row.hook == "xdp" else [45.0]
        if row.name == FLOOR_SINGLY:
            values[row] = [90.0]
    result = figures(values)
    nets = {(row.hook, row.singly): f.net for row, f in result.items() if not row.floor}
    assert nets == {("xdp", False): 60, ("tc", False): 55, ("tc", True): 10}
    wrapper = next(f for r, f in result.items() if r.name == FLOOR_WRAPPER and r.hook == "xdp")
    assert wrapper == (40, 39.5, 40.5, 0)
    text = tables(result)
    assert "100 (60)" in text
    assert "100 (10)*" in text
    json.dumps(document(result, {"kernel": "6.1"}))


@pytest.mark.parametrize(
    ("reasons", "created", "words"),
    [
        ({"fwd_dr": 9, "drop_headroom": 1}, 0, "should be fwd_dr"),
        ({"fwd_dr": 9}, 0, "should be fwd_dr"),
        ({"fwd_dr": 10}, 10, "10 connections were opened, not 0"),
        ({"fwd_dr": 10}, 0, "checksum"),
    ],
)
def test_a_run_that_is_not_what_its_row_claims_is_an_error(reasons, created, words):
    row = Row(Group.ESTABLISHED, "dr", "xdp", 1, reason="fwd_dr")
    with pytest.raises(Wrong, match=words):
        _check(row, Run(1000, 4, bytes(80)), 10, reasons, created)
