# SPDX-License-Identifier: Apache-2.0
"""Figures as Markdown tables, as JSON and as plots. Pure."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from bench.memory import FILL, Use
from bench.rows import (
    FLOOR_FIND40,
    FLOOR_SINGLY,
    FLOOR_TURN,
    FLOOR_WRAPPER,
    FLOWS,
    NOT_OURS,
    Group,
    Row,
    number,
)
from xlvs.model.service import Method

TWO = 2
ONE_FLOW, MANY_FLOWS = min(FLOWS), max(FLOWS)

ESTABLISHED_TARGETS = {
    Method.TUN: (3.7, 11.0),
    Method.DR: (3.0, 10.4),
    Method.NAT: (3.7, 11.0),
}
"""Multiples of the harness's own cost, with one flow and with the most."""
FULLNAT_TARGET = 1.1  # multiple of NAT
NEW_TARGET, STATELESS_TARGET, NOT_OURS_TARGET = 13.0, 3.3, 2.2


class Figure(NamedTuple):
    """ns per packet over the rounds.

    ``net``: less the wrapper's floor in the same run; ``times``: the multiple of it.
    """

    median: float
    low: float  # first quartile
    high: float  # third quartile
    net: float
    times: float


class Target(NamedTuple):
    """What a row should not exceed: a multiple of the harness's own cost, or as ``what`` says."""

    what: str
    flows: int
    measured: float
    target: float

    @property
    def met(self) -> bool:
        """Whether it does not."""
        return self.measured <= self.target


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
        floor = base[row.hook, FLOOR_SINGLY if row.singly else FLOOR_WRAPPER]
        result[row] = Figure(median, low, high, median - floor, median / floor)
    return result


def targets(of: Mapping[Row, Figure]) -> list[Target]:
    """Of the rows that were measured on XDP: what they should be, and are."""
    found = {(r.group, r.name, r.flows): f for r, f in of.items() if r.hook == "xdp"}
    result = []
    for method, limits in ESTABLISHED_TARGETS.items():
        for flows, limit in zip((ONE_FLOW, MANY_FLOWS), limits, strict=True):
            figure = found.get((Group.ESTABLISHED, method, flows))
            if figure:
                result.append(Target(f"{method}, established", flows, figure.times, limit))
    for flows in (ONE_FLOW, MANY_FLOWS):
        nat, fullnat = (
            found.get((Group.ESTABLISHED, m, flows)) for m in (Method.NAT, Method.FULLNAT)
        )
        if nat and fullnat:
            what = "fullnat, established, to nat"
            result.append(Target(what, flows, fullnat.median / nat.median, FULLNAT_TARGET))
    result += [
        Target(f"{name}, new, rr", flows, figure.times, NEW_TARGET)
        for (group, name, flows), figure in found.items()
        if group is Group.NEW and flows in {ONE_FLOW, MANY_FLOWS}
    ]
    result += [
        Target(f"{name}, stateless mh", flows, figure.times, STATELESS_TARGET)
        for (group, name, flows), figure in found.items()
        if group is Group.STATELESS
    ]
    figure = found.get((Group.OTHER, NOT_OURS, 1))
    if figure:
        result.append(Target(NOT_OURS, 1, figure.times, NOT_OURS_TARGET))
    return result


def tables(of: Mapping[Row, Figure], memory: Sequence[Use] = ()) -> str:
    """All tables, each with a heading."""
    parts = [
        _targets(targets(of)),
        _memory(memory),
        _table("Floors", Group.FLOOR, of),
        _table("Established connections", Group.ESTABLISHED, of),
        _table("New connections (SYN)", Group.NEW, of),
        _table("Stateless mh", Group.STATELESS, of),
        _table("IPv6, established connections", Group.ESTABLISHED6, of),
        _table("IPv6, new connections (SYN)", Group.NEW6, of),
        _table("Others", Group.OTHER, of),
        _multiples(of),
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


def _targets(found: Sequence[Target]) -> str:
    """Told, not judged: no run fails by them."""
    if not found:
        return ""
    lines = [
        [t.what, number(t.flows), f"{t.measured:.2f}", f"{t.target:g}", "yes" if t.met else "no"]
        for t in found
    ]
    grid = _grid(["XDP, IPv4, TCP", "flows", "measured", "target", "met"], lines)
    return f"### Targets: multiples of the harness's own cost (wrapper + drop)\n\n{grid}"


def _memory(found: Sequence[Use]) -> str:
    if not found:
        return ""
    lines = [
        [
            use.method,
            f"{use.connections}",
            f"{use.size}",
            f"{use.each:.1f}",
            f"{use.target}",
            "yes" if use.met else "no",
        ]
        for use in found
    ]
    header = ["IPv4", "connections", "bytes of the maps", "per connection", "target", "met"]
    title = f"### Memory: a table for {found[0].rated} connections, filled to {FILL:.0%}"
    return f"{title}\n\n{_grid(header, lines)}"


def _multiples(of: Mapping[Row, Figure]) -> str:
    cells = {
        row._replace(name=row.label): f"{figure.times:.2f}{'*' if row.singly else ''}"
        for row, figure in of.items()
        if row.group is not Group.FLOOR
    }
    if not cells:
        return ""
    title = "### Multiples of the harness's own cost (wrapper + drop at the same hook)"
    return f"{title}\n\n{_pivot(cells, 'multiple')}"


def _ratios(of: Mapping[Row, Figure]) -> str:
    """Totals over the floors' totals: MAC swap + TX, and one look-up among as many flows."""
    floors = {(r.name, r.hook, r.flows): f.median for r, f in of.items() if r.group is Group.FLOOR}
    cells = {}
    for row, figure in of.items():
        turn = floors.get((FLOOR_TURN, row.hook, 1))
        find = floors.get((FLOOR_FIND40, row.hook, row.flows))
        if row.group is Group.FLOOR or row.singly or not turn or not find:
            continue
        text = f"{figure.median / turn:.1f} / {figure.median / find:.1f}"
        cells[row._replace(name=row.label)] = text
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


def document(
    of: Mapping[Row, Figure], memory: Sequence[Use], about: Mapping[str, Any]
) -> dict[str, Any]:
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
            "multiple": round(figure.times, 3),
            "single_calls": row.singly,
        }
        for row, figure in of.items()
    ]
    return {
        **about,
        "targets": [
            target._asdict() | {"measured": round(target.measured, 3), "met": target.met}
            for target in targets(of)
        ],
        "memory": [use.document() for use in memory],
        "rows": rows,
    }


# ---- plots

_WIDTH, _HEIGHT = 760, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 220, 56, 52
_LINE = 17  # between the baselines of labels
_MARKS = 8
# Told apart by those who see colours in another way too (Okabe and Ito).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_FLOOR_COLOUR = "#777777"


class Series(NamedTuple):
    """A line of a plot: values by number of flows; ``floor``: dashed and grey."""

    name: str
    values: Mapping[int, float]
    floor: bool = False


def plots(of: Mapping[Row, Figure]) -> dict[str, str]:
    """File name -> SVG; those that have something to show."""
    found = {
        "program-established.svg": (
            "Established connections, and services without any",
            (Group.ESTABLISHED, Group.STATELESS),
        ),
        "program-new.svg": ("New connections (SYN)", (Group.NEW,)),
    }
    result = {}
    for name, (title, groups) in found.items():
        series = [s for group in groups for s in _series(of, group)]
        if series:
            series += _series(of, Group.FLOOR)
            result[name] = plot(f"{title}: XDP, IPv4, TCP", series)
    return result


def _series(of: Mapping[Row, Figure], group: Group) -> list[Series]:
    lines: dict[str, dict[int, float]] = {}
    for row, figure in of.items():
        if row.hook == "xdp" and row.group is group and _is_plotted(row):
            lines.setdefault(row.label.removeprefix("wrapper + "), {})[row.flows] = figure.times
    return [Series(name, values, group is Group.FLOOR) for name, values in lines.items()]


def _is_plotted(row: Row) -> bool:
    if row.floor:
        return row.name in {FLOOR_TURN, FLOOR_FIND40}
    return row.opens or not row.syn  # a stateless service's SYN takes as long as the rest


def plot(title: str, series: Sequence[Series]) -> str:
    """A line chart as SVG: multiples of the harness's own cost over the number of flows."""
    flows = sorted({n for s in series for n in s.values})
    most = max(value for s in series for value in s.values.values())
    step = _step(most)
    top = step * (int(most / step) + 1)

    def x(n: int) -> float:
        room = _WIDTH - _LEFT - _RIGHT
        at = flows.index(n) / (len(flows) - 1) if len(flows) > 1 else 0.5
        return round(_LEFT + room * (0.06 + 0.88 * at), 1)

    def y(value: float) -> float:
        return round(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / top, 1)

    right = _WIDTH - _RIGHT
    parts = [
        _text(_LEFT - 40, 22, title, 'font-size="15" font-weight="600"'),
        _text(_LEFT - 40, 42, "times the cost of the harness itself (wrapper + drop)"),
        _text((_LEFT + right) / 2, _HEIGHT - 12, "flows", 'text-anchor="middle"'),
    ]
    for mark in range(round(top / step) + 1):
        at = y(mark * step)
        parts.append(f'<path d="M{_LEFT} {at}H{right}" stroke="#dddddd"/>')
        parts.append(_text(_LEFT - 8, at + 4, f"{mark * step:g}", 'text-anchor="end"'))
    parts += [_text(x(n), _HEIGHT - _BOTTOM + 20, number(n), 'text-anchor="middle"') for n in flows]
    colours = iter(_COLOURS * len(series))
    labels = []
    for each in series:
        colour = _FLOOR_COLOUR if each.floor else next(colours)
        values = each.values
        if each.floor and len(values) == 1:  # it does not look at flows
            values = dict.fromkeys(flows, *values.values())
        points = [(x(n), y(value)) for n, value in sorted(values.items())]
        parts += _line(points, colour, dashed=each.floor)
        labels.append((points[-1], each.name, colour))
    parts += _labels(labels, right)
    return (
        "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _step(most: float) -> float:
    """Between the marks of an axis: 1, 2 or 5 times a power of ten."""
    step = 0.1
    for factor in itertools.cycle((2, 2.5, 2)):
        if most / step <= _MARKS:
            break
        step = round(step * factor, 1)
    return step


def _line(points: Sequence[tuple[float, float]], colour: str, *, dashed: bool) -> list[str]:
    way = "L".join(f"{x} {y}" for x, y in points)
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return [
        f'<path d="M{way}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>',
        *(f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in points),
    ]


def _labels(labels: Sequence[tuple[tuple[float, float], str, str]], right: int) -> list[str]:
    """Beside the lines' ends, as high as they are, but apart."""
    highest = _HEIGHT - _BOTTOM - _LINE * (len(labels) - 1)
    result: list[str] = []
    before = -float(_LINE)
    for i, ((x, y), name, colour) in enumerate(sorted(labels, key=lambda label: label[0][1])):
        before = max(before + _LINE, min(y, highest + i * _LINE))
        result.append(
            f'<path d="M{x + 5} {y}L{right + 14} {before}" stroke="{colour}" opacity=".4"/>'
        )
        result.append(_text(right + 18, before + 4, name, f'fill="{colour}"'))
    return result


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x}" y="{y}" {style}>{escape(text)}</text>'
