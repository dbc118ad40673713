# SPDX-License-Identifier: Apache-2.0
"""Figures as Markdown tables and as JSON. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bench.rows import (
    FLOOR_FIND40,
    FLOOR_SINGLY,
    FLOOR_TURN,
    FLOOR_WRAPPER,
    Group,
    Row,
    number,
)

TWO = 2


class Figure(NamedTuple):
    """ns per packet over the rounds; ``net``: less the wrapper's floor in the same run."""

    median: float
    low: float  # first quartile
    high: float  # third quartile
    net: float


def figures(found: Mapping[Row, Sequence[float]]) -> dict[Row, Figure]:
    """Medians and quartiles; rows without figures are left out."""
    medians = {row: statistics.median(values) for row, values in found.items() if values}
    base = {(row.hook, row.name): value for row, value in medians.items() if row.flows == 1}
    result = {}
    for row, median in medians.items():
        values = found[row]
        low, _, high = (
            statistics.quantiles(values, method="inclusive")
            if len(values) >= TWO
            else (median,) * 3
        )
        floor = base.get((row.hook, FLOOR_SINGLY if row.singly else FLOOR_WRAPPER), 0.0)
        result[row] = Figure(median, low, high, median - floor)
    return result


def tables(of: Mapping[Row, Figure]) -> str:
    """All tables, each with a heading."""
    parts = [
        _table("Floors", Group.FLOOR, of),
        _table("Established connections", Group.ESTABLISHED, of),
        _table("New connections (SYN)", Group.NEW, of),
        _table("Others", Group.OTHER, of),
        _ratios(of),
        _spread(of),
    ]
    return "\n\n".join(part for part in parts if part)


def _grid(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[i]) for line in (header, *lines)) for i in range(len(header))]

    def show(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "| " + " | ".join((first, *rest)) + " |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join((show(header), show(rule), *map(show, lines)))


def _pivot(of: Mapping[Row, str], corner: str) -> str:
    columns = list(dict.fromkeys((row.hook, row.flows) for row in of))
    columns.sort(key=lambda column: (column[0] != "xdp", column[1]))
    names = list(dict.fromkeys(row.name for row in of))
    cells = {(row.name, row.hook, row.flows): text for row, text in of.items()}
    header = [corner, *(f"{hook.upper()}, {number(flows)}" for hook, flows in columns)]
    lines = [[name, *(cells.get((name, *column), "") for column in columns)] for name in names]
    return _grid(header, lines)


def _cell(row: Row, figure: Figure) -> str:
    if not row.wrapped:
        return f"{figure.median:.0f}"
    return f"{figure.median:.0f} ({figure.net:.0f}){'*' if row.singly else ''}"


def _table(title: str, group: Group, of: Mapping[Row, Figure]) -> str:
    rows = {row: _cell(row, figure) for row, figure in of.items() if row.group is group}
    if not rows:
        return ""
    return f"### {title}: ns per packet, total (net)\n\n{_pivot(rows, title.lower())}"


def _ratios(of: Mapping[Row, Figure]) -> str:
    """Totals over the floors' totals: MAC swap + TX, and one look-up among as many flows."""
    floors = {(r.name, r.hook, r.flows): f.median for r, f in of.items() if r.group is Group.FLOOR}
    cells = {}
    for row, figure in of.items():
        turn = floors.get((FLOOR_TURN, row.hook, 1))
        find = floors.get((FLOOR_FIND40, row.hook, row.flows))
        if row.group is Group.FLOOR or row.singly or not turn or not find:
            continue
        name = row.name if row.group is Group.OTHER else f"{row.name}, {row.group}"
        cells[row._replace(name=name)] = f"{figure.median / turn:.1f} / {figure.median / find:.1f}"
    if not cells:
        return ""
    title = "### Ratios of totals: to MAC swap + TX / to one look-up among as many flows"
    return f"{title}\n\n{_pivot(cells, 'ratio')}"


def _spread(of: Mapping[Row, Figure]) -> str:
    if not of:
        return ""
    spread = {row: (f.high - f.low) / f.median for row, f in of.items()}
    worst = max(spread, key=lambda row: spread[row])
    return (
        f"Interquartile range: {statistics.median(spread.values()):.1%} of the median in the "
        f"middle row, {spread[worst]:.1%} in the worst ({worst.title})."
    )


def document(of: Mapping[Row, Figure], about: Mapping[str, Any]) -> dict[str, Any]:
    """Everything in plain values, for JSON; times in ns."""
    rows = [
        {
            "group": row.group,
            "name": row.name,
            "hook": row.hook,
            "flows": row.flows,
            "median": round(figure.median, 2),
            "first_quartile": round(figure.low, 2),
            "third_quartile": round(figure.high, 2),
            "net": round(figure.net, 2),
            "single_calls": row.singly,
        }
        for row, figure in of.items()
    ]
    return {**about, "rows": rows}
