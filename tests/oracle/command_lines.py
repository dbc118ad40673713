# SPDX-License-Identifier: Apache-2.0
"""Recorded command lines of ipvsadm, ipvsadm-save and ipvsadm-restore, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from xlvs.cli.ipvsadm.program import Director

from . import facts
from .desired_director import Run

Record = Mapping[str, Any]

DIFFERENT: dict[tuple[str, int], str] = {
    ("09-sorting", 19): "services in the order of the kernel's hash table, which is seeded",
    ("10-usage-errors", 71): "the same",
    ("16-sort-order", 30): "the same",
    ("16-sort-order", 29): "sorted from that order, see test_sort_order_from_the_recorded_order",
    ("16-sort-order", 31): "sorted from that order",
}
"""Records whose text we cannot or do not give: name, place, why."""


def names() -> list[str]:
    """The recordings."""
    return [name.removeprefix("ipvsadm/") for name in facts.names("ipvsadm")]


@cache
def records(name: str) -> Sequence[Record]:
    """The steps of a recording; those without ``argv`` are no commands."""
    return tuple(facts.load(f"ipvsadm/{name}")["records"])


def interfaces(name: str) -> dict[str, int]:
    """What interfaces a recording had beyond the usual ones, with their MTUs."""
    found: dict[str, int] = facts.load(f"ipvsadm/{name}").get("interfaces", {})
    return found


def check(director: Director, name: str, place: int) -> None:
    """Run a recorded command line; asserts that all that comes of it is as recorded."""
    record = records(name)[place]
    words = record["argv"]
    run = Run(director, words, record["stdin"] or "", record.get("program", "ipvsadm"))
    got = (run.status, run.err, run.out)
    wanted = (record["rc"], record["stderr"], record["stdout"])
    if (name, place) in DIFFERENT:
        assert sorted(run.out) == sorted(record["stdout"]), (place, words)
        assert got != wanted, f"{name} {place} is met: take it out of DIFFERENT"
    else:
        assert got == wanted, (place, words)
