# SPDX-License-Identifier: Apache-2.0
"""Figures as Markdown tables and as JSON. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bench.e2e.flood import HELD, Flood
from bench.e2e.rows import UNITS, Row, Test
from bench.e2e.traffic import Sample

_SMALL = 100
BY_RATE = {Test.HTTP_KEEP, Test.HTTP_NEW, Test.BULK}
"""Tests whose figure can be had for each CPU second as well."""


def figures(found: Mapping[Row, Sequence[Sample]]) -> list[dict[str, Any]]:
    """Medians over the rounds in plain values."""
    medians = {row: statistics.median(s.value for s in each) for row, each in found.items()}
    base = {(row.test, row.flows, row.name): value for row, value in medians.items()}
    work = {
        (row.test, row.flows, row.name): statistics.median(s.value / s.cpu_seconds for s in each)
        for row, each in found.items()
        if row.test in BY_RATE
    }
    result = []
    for row, median in medians.items():
        other = base.get((row.test, row.flows, row.base))
        ratio = median / other if other else None
        samples = found[row]
        effort, least = (work.get((row.test, row.flows, n)) for n in (row.name, row.base))
        result.append(
            {
                "test": row.test,
                "name": row.name,
                "flows": row.flows or None,
                "unit": UNITS[row.test],
                "median": median,
                "low": min(s.value for s in samples),
                "high": max(s.value for s in samples),
                "ratio": ratio,
                "ratio_by_cpu_time": effort / least if effort and least else None,
                "to": row.base or None,
                "target": row.target or None,
                "met": _met(row, ratio if row.base else median),
                "cpu_seconds": statistics.median(s.cpu_seconds for s in samples),
                "rounds": len(samples),
                "notes": [s.note for s in samples if s.note],
            }
        )
    return result


def _met(row: Row, value: float | None) -> bool | None:
    if not row.target or value is None:
        return None
    return value <= row.target if row.less_is_better else value >= row.target


def tables(lines: Sequence[Mapping[str, Any]], floods: Sequence[Mapping[str, Any]]) -> str:
    """All tables, each with a heading."""
    parts = []
    for test in Test:
        for flows in dict.fromkeys(line["flows"] for line in lines if line["test"] == test):
            part = [line for line in lines if line["test"] == test and line["flows"] == flows]
            title = f"### {test}" + (f", {flows} flows" if flows else "")
            parts.append(f"{title}: {UNITS[test]}\n\n{_table(part)}")
    if floods:
        parts.append(f"### {Test.FLOOD}\n\n{_floods(floods)}")
    return "\n\n".join(parts)


def _number(value: float) -> str:
    return f"{value:.2f}" if value < _SMALL else f"{value:.0f}"


def _table(lines: Sequence[Mapping[str, Any]]) -> str:
    text = [
        "| way | median | lowest .. highest | ratio | by CPU time | target | | CPU seconds"
        " | notes |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- | ---: | --- |",
    ]
    for line in lines:
        spread = f"{_number(line['low'])} .. {_number(line['high'])}"
        met = {None: "", True: "met", False: "**missed**"}[line["met"]]
        ratio = f"{line['ratio']:.2f}" if line["ratio"] else ""
        by_cpu = f"{line['ratio_by_cpu_time']:.2f}" if line["ratio_by_cpu_time"] else ""
        text.append(
            f"| {line['name']} | {_number(line['median'])} | {spread} | {ratio} | {by_cpu} "
            f"| {line['target'] or ''} | {met} | {line['cpu_seconds']:.1f} "
            f"| {line['notes'][-1] if line['notes'] else ''} |"
        )
    return "\n".join(text)


def flood_figures(floods: Mapping[Row, tuple[Flood, str]]) -> list[dict[str, Any]]:
    """What became of the floods in plain values."""
    return [
        {
            "name": row.name,
            "kept_keep_alive": flood.kept,
            "kept_new": flood.kept_new,
            "errors": flood.errors,
            "fresh": flood.fresh,
            "held": flood.held,
            "held_of": HELD,
            "sent_per_second": flood.sent,
            "arrived_per_second": flood.arrived,
            "opened": flood.opened,
            "refused": flood.table.get("full"),
            "table": flood.table,
            "left": left,
            "cpu_seconds": flood.cpu_seconds,
        }
        for row, (flood, left) in floods.items()
    ]


def _floods(lines: Sequence[Mapping[str, Any]]) -> str:
    text = [
        "| way | kept, keep-alive | kept, new connections | failed requests | new connections"
        " served | older ones that still work | packets/s sent | arrived | its connections"
        " | refused, table full | left in the end |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    text += [
        f"| {line['name']} | {line['kept_keep_alive']:.2f} | {line['kept_new']:.2f} "
        f"| {line['errors'] or 'none'} | {line['fresh']} of {line['held_of']} "
        f"| {line['held']} of {line['held_of']} "
        f"| {line['sent_per_second']:.0f} | {line['arrived_per_second']:.0f} "
        f"| {'' if line['opened'] is None else line['opened']} "
        f"| {'' if line['refused'] is None else line['refused']} | {line['left']} |"
        for line in lines
    ]
    return "\n".join(text)
