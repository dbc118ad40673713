# SPDX-License-Identifier: Apache-2.0
"""The guest's console lines as figures. Pure."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bench.ipvs.cases import PROTOCOLS, Case, expected_target

IPIP = "ipip"


class Figure(NamedTuple):
    """Instructions per packet of one case, over the run and its four slices."""

    total: float
    low: float
    high: float
    sent: int
    delivered: int
    last: str
    """Address and port of the last packet that a real server got."""


class Profile(NamedTuple):
    """Where a packet's instructions are, most first."""

    symbols: dict[str, float]
    """By the kernel's function, or BPF program or subprogram."""
    lines: dict[str, float]
    """By source line of the BPF programs, as far as they have such information."""


@dataclass
class Run:
    """All that one boot said."""

    guest: dict[str, Any] = field(default_factory=dict)
    figures: dict[Case, Figure] = field(default_factory=dict)
    profiles: dict[Case, Profile] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    """Sentences: what was not what it should be."""
    script: list[str] = field(default_factory=list)
    """The words of the director's script."""
    complete: bool = False


def read(lines: Iterable[str]) -> Run:
    """Understand a whole console."""
    run = Run()
    for line in lines:
        tag, _, rest = line.strip().partition(" ")
        if tag == "H":
            run.script.append(rest)
        elif tag == "F":
            run.wrong.append(f"{rest}: the director could not be set up")
        elif tag == "E":
            run.complete = rest == "ok"
        elif tag in _READERS:
            try:
                _READERS[tag](run, json.loads(rest))
            except (ValueError, KeyError) as error:
                run.wrong.append(f"unreadable ({error!r}): {rest[:200]}")
    if not run.complete:
        run.wrong.append("the guest did not come to its end")
    return run


def _guest(run: Run, said: dict[str, Any]) -> None:
    run.guest = said


def _case(said: dict[str, Any]) -> Case:
    return Case(said["director"], said["method"], said["flows"], said["protocol"])


def _measurement(run: Run, said: dict[str, Any]) -> None:
    case = _case(said)
    generator, before, after = said["generator"], said["before"], said["after"]
    sent = generator["sent"]
    seen = {name: after[name] - before[name] for name in (*PROTOCOLS, IPIP)}
    # A tunnel's packet is counted by its outer header.
    delivered = seen[IPIP if case.method == "tun" else case.protocol]
    figure = _figure(generator, delivered, after["last"])
    name = " ".join(word for word in case if word != "-")
    if delivered != sent:
        run.wrong.append(f"{name}: {delivered} of {sent} packets arrived ({seen})")
    target = expected_target(case)
    if target and figure.last not in target.split():
        run.wrong.append(f"{name}: the last packet went to {figure.last}, not to {target}")
    run.figures[case] = figure


def _figure(generator: dict[str, Any], delivered: int, last: str) -> Figure:
    slices = [ns / generator["slice"] for ns in generator["ns"]]
    total = statistics.mean(slices)
    return Figure(total, min(slices), max(slices), generator["sent"], delivered, last)


def _profile(run: Run, said: dict[str, Any]) -> None:
    """Of the figure's total: the sampled run is slower, but the shares are the same."""
    case = _case(said)
    total, samples = run.figures[case].total, said["samples"]

    def scaled(counts: dict[str, int]) -> dict[str, float]:
        return {name: round(total * count / samples, 1) for name, count in counts.items()}

    run.profiles[case] = Profile(scaled(said["symbols"]), scaled(said["lines"]))


_READERS = {"K": _guest, "M": _measurement, "P": _profile}
