# SPDX-License-Identifier: Apache-2.0
"""Which rows are measured, and how their figures are shown."""

from __future__ import annotations

import itertools
import json
import xml.etree.ElementTree as ET  # of our own plots

import pytest
from bench.harness import Run
from bench.measure import Wrong, _check, key_of
from bench.memory import Use, connections, memlock
from bench.report import _step, document, figures, plots, tables, targets
from bench.rows import (
    FLOOR_SINGLY,
    FLOOR_WRAPPER,
    FLOWS,
    FLOWS6,
    HOOKS,
    STATELESS_METHODS,
    Group,
    Row,
    number,
    select,
)
from bench.world import TABLE_MIN, Key

from xlvs.model.service import Method

ALL = select(HOOKS, list(Method), FLOWS, list(Group))


def measured(each=100.0):
    """Figures for all rows: the wrapper takes 40 on XDP, 45 on TC, 90 in single calls."""
    values = {row: [each] for row in ALL}
    for row in ALL:
        if row.name == FLOOR_WRAPPER:
            values[row] = [39.0, 40.0, 41.0] if row.hook == "xdp" else [45.0]
        if row.name == FLOOR_SINGLY:
            values[row] = [90.0]
    return figures(values)


@pytest.mark.parametrize(
    ("group", "methods", "flows"),
    [
        (Group.ESTABLISHED, Method, FLOWS),
        (Group.NEW, Method, FLOWS),
        (Group.STATELESS, STATELESS_METHODS, FLOWS),
        (Group.ESTABLISHED6, Method, FLOWS6),
        (Group.NEW6, Method, FLOWS6),
    ],
)
def test_every_method_hook_and_number_of_flows_is_there(group, methods, flows):
    found = {(r.method, r.hook, r.flows) for r in ALL if r.group is group}
    assert found == {(m, hook, n) for m in methods for hook in HOOKS for n in flows}


def test_a_row_is_known_by_its_group_name_hook_and_flows():
    assert len({(r.group, r.name, r.hook, r.flows) for r in ALL}) == len(ALL)
    directors = [r for r in ALL if not r.floor]
    assert len({(r.label, r.hook, r.flows) for r in directors}) == len(directors)


def test_which_data_path_a_row_runs_on():
    found = {key_of(row) for row in ALL if row.method is Method.DR and not row.floor}
    with_connections = {Key(Method.DR, n) for n in FLOWS}
    over_ipv6 = {Key(Method.DR, n, v6=True) for n in FLOWS6}
    assert found == with_connections | over_ipv6 | {Key(Method.DR, 0, stateless=True)}


def test_floors_are_always_there():
    rows = select(["xdp"], [Method.DR], [1], [Group.NEW])
    assert {r.group for r in rows} == {Group.FLOOR, Group.NEW}
    assert [r.hook for r in rows] == ["xdp"] * len(rows)


def test_numbers_of_flows_in_words():
    assert [number(n) for n in (1, 512, 4096, 65536, 1 << 20)] == ["1", "512", "4 K", "64 K", "1 M"]


def test_net_and_multiple_are_of_the_floor_of_the_same_hook_and_way():
    result = measured()
    nets = {(row.hook, row.singly): f.net for row, f in result.items() if not row.floor}
    assert nets == {("xdp", False): 60, ("tc", False): 55, ("tc", True): 10}
    times = {(row.hook, row.singly): f.times for row, f in result.items() if not row.floor}
    assert times == {("xdp", False): 2.5, ("tc", False): 100 / 45, ("tc", True): 100 / 90}
    wrapper = next(f for r, f in result.items() if r.name == FLOOR_WRAPPER and r.hook == "xdp")
    assert wrapper == (40, 39.5, 40.5, 0, 1)
    text = tables(result)
    assert "100 (60)" in text
    assert "100 (10)*" in text
    json.dumps(document(result, [], {"kernel": "6.1"}))


def test_targets_are_told_for_what_was_measured():
    found = targets(measured())
    assert {t.met for t in found if t.what != "not ours"} == {True}
    assert [(t.measured, t.target, t.met) for t in found if t.what == "not ours"] == [
        (2.5, 2.2, False)
    ]
    assert {t.measured for t in found if t.what == "fullnat, established, to nat"} == {1}
    assert {t.flows for t in found if t.what == "dr, SYN, stateless mh"} == set(FLOWS)
    # 4 methods x 2 established, 4 x 2 new, 2 x 2 x 4 stateless, and what is not ours
    assert len(found) == 8 + 8 + 16 + 1
    assert not any(t.met for t in targets(measured(40 * 20)) if "to nat" not in t.what)
    rows = select(["tc"], list(Method), FLOWS, list(Group))
    assert targets(figures({row: [1.0] for row in rows})) == []


def test_memory_is_what_the_kernel_says():
    assert (
        memlock("pos:\t0\nflags:\t02\nmap_type:\t2\nmemlock:\t18927616\nmap_id:\t7\n") == 18927616
    )
    with pytest.raises(ValueError, match="does not say"):
        memlock("pos:\t0\n")
    assert connections(Method.FULLNAT) == connections(Method.NAT) // 2
    uses = [
        Use(m, TABLE_MIN, connections(m), 90 * connections(Method.NAT))
        for m in (Method.NAT, Method.FULLNAT)
    ]
    assert [(round(use.each), use.target, use.met) for use in uses] == [
        (90, 96, True),
        (180, 160, False),
    ]
    assert "| 90.0 |" in " ".join(tables({}, uses).split())
    json.dumps(document({}, uses, {}))


@pytest.mark.parametrize("wanted", [ALL, [r for r in ALL if r.flows == 1]], ids=["all", "one flow"])
def test_plots_are_whole_and_within_their_frame(wanted):
    result = {row: figure for row, figure in measured().items() if row in wanted}
    found = plots(result)
    assert set(found) == {"program-established.svg", "program-new.svg"}
    for text in found.values():
        assert "SPDX-License-Identifier: Apache-2.0" in text.splitlines()[0]
        root = ET.fromstring(text)  # noqa: S314
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        places = [
            (float(e.attrib[x]), float(e.attrib[y]))
            for e in root.iter()
            for x, y in (("x", "y"), ("cx", "cy"))
            if x in e.attrib
        ]
        assert len(places) > 10
        assert all(0 <= x <= width and 0 <= y <= height for x, y in places)
        labels = [
            float(e.attrib["y"])
            for e in root.iter("{http://www.w3.org/2000/svg}text")
            if "fill" in e.attrib
        ]
        assert all(b - a >= 16 for a, b in itertools.pairwise(labels))
    assert "dr, stateless mh" in found["program-established.svg"]


def test_nothing_is_plotted_of_rows_that_were_not_measured():
    rows = select(["tc"], list(Method), FLOWS, list(Group))
    assert plots(figures({row: [1.0] for row in rows})) == {}


@pytest.mark.parametrize(("most", "step"), [(0.7, 0.1), (1.5, 0.2), (7.5, 1), (13, 2), (27, 5)])
def test_marks_of_an_axis_are_round_numbers(most, step):
    assert _step(most) == step


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
