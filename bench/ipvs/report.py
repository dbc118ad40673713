# SPDX-License-Identifier: Apache-2.0
"""Figures as tables and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.ipvs.cases import FLOORS, GENERATOR, NEW, NO_METHOD, PROTOCOLS, Case, counterpart
from bench.ipvs.console import Figure, Run

NOTHING = ""
TITLES = {
    "drop-xdp": "the director drops in XDP: generator alone",
    "drop-tc": "the director drops in TC: a packet (skb) is built",
    "redirect-xdp": "least XDP director: MACs, redirect",
    "redirect-tc": "least TC director: MACs, redirect",
    "route": "plain forwarding",
    "ipvs": "IPVS",
    "xlvs-xdp": "xlvs, XDP",
    "xlvs-tc": "xlvs, TC",
}
PROFILE_LINES = 25
TITLE, CELL = 49, 12  # columns


def net(figures: Mapping[Case, Figure], case: Case) -> float | None:
    """The case's total less the generator, in the same run and protocol."""
    floor = figures.get(Case(GENERATOR, NO_METHOD, "256", case.protocol))
    figure = figures.get(case)
    return figure.total - floor.total if figure and floor else None


def of_ipvs(figures: Mapping[Case, Figure], case: Case) -> float | None:
    """The ratio of the nets."""
    mine, its = net(figures, case), net(figures, counterpart(case))
    return mine / its if mine is not None and its else None


def text(run: Run) -> str:
    """The tables, what was wrong, profiles if samples were taken."""
    rows = list(dict.fromkeys(case[:3] for case in run.figures))
    lines = [
        f"Instructions per packet; Linux {run.guest.get('kernel', '?')}, one CPU. "
        "net: less the generator.",
        "",
        _line("", *(f"{p.upper()}, total" for p in PROTOCOLS), *_heads()),
        "| " + "-" * TITLE + " |" + f" {'-' * (CELL - 1)}: |" * 6,
    ]
    lines += [_row(run.figures, *row) for row in rows]
    lines += [f"WRONG: {sentence}" for sentence in run.wrong]
    lines += list(_profiles(run))
    return "\n".join(lines)


def _heads() -> Iterator[str]:
    yield from (f"{p.upper()}, net" for p in PROTOCOLS)
    yield from (f"{p.upper()}, of IPVS" for p in PROTOCOLS)


def _row(figures: Mapping[Case, Figure], director: str, method: str, flows: str) -> str:
    cases = [Case(director, method, flows, protocol) for protocol in PROTOCOLS]
    totals = [figures[c].total if c in figures else None for c in cases]
    nets = [net(figures, c) for c in cases]
    ratios = [None if director in FLOORS else of_ipvs(figures, c) for c in cases]
    return _line(
        _title(director, method, flows),
        *(_number(x) for x in (*totals, *nets)),
        *(NOTHING if x is None else f"{x:.2f}" for x in ratios),
    )


def _title(director: str, method: str, flows: str) -> str:
    title = TITLES.get(director, director)
    if method == NO_METHOD:
        return title
    count = "new connections" if flows == NEW else f"{flows} flows"
    return f"{title}: {method}, {count}"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f}"


def _line(title: str, *cells: str) -> str:
    return f"| {title:<{TITLE}} | " + " | ".join(f"{cell:>{CELL}}" for cell in cells) + " |"


def _profiles(run: Run) -> Iterator[str]:
    for case, profile in run.profiles.items():
        total = run.figures[case].total
        yield f"\n{_title(*case[:3])}, {case.protocol}: {total:.0f} instructions, of these"
        for part in profile:
            for name, value in list(part.items())[:PROFILE_LINES]:
                yield f"  {value:7.1f}  {name}"


def document(run: Run) -> dict[str, Any]:
    """Every figure, for other programs."""
    return {
        "guest": run.guest,
        "complete": run.complete,
        "wrong": run.wrong,
        "cases": [_entry(run, case, figure) for case, figure in run.figures.items()],
    }


def _entry(run: Run, case: Case, figure: Figure) -> dict[str, Any]:
    return {
        **case._asdict(),
        **figure._asdict(),
        **(run.profiles[case]._asdict() if case in run.profiles else {}),
        "net": net(run.figures, case),
        "of_ipvs": None if case.director in FLOORS else of_ipvs(run.figures, case),
    }
