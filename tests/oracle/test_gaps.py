# SPDX-License-Identifier: Apache-2.0
"""The table of known gaps judges as it says, and the documentation shows it."""

from __future__ import annotations

from pathlib import Path

from .facts import Difference
from .gaps import KNOWN_GAPS, judge

COMPATIBILITY = Path(__file__).parents[2] / "docs" / "compatibility.md"


def test_a_gap_excuses_what_lies_below_it() -> None:
    differences = [Difference("packets/dr/dr-mtu/3/dests", "this", "that")]
    assert judge(["packets/dr/dr-mtu"], differences) == ([], [])


def test_a_difference_without_a_gap_is_told() -> None:
    difference = Difference("packets/nat/nat-tcp/3", "this", "that")
    assert judge(["packets/nat/nat-tcp"], [difference]) == ([difference], [])


def test_a_gap_that_is_met_is_told() -> None:
    assert judge(["packets/dr/dr-mtu"], []) == ([], ["packets/dr/dr-mtu/3"])
    assert judge(["packets/dr/dr-tcp"], []) == ([], [])


def test_the_documentation_names_every_gap() -> None:
    rows = {}
    for line in COMPATIBILITY.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 2 and cells[0].strip("`").startswith(("packets/", "conn/", "more/")):
            rows[cells[0].strip("`")] = cells[1]
    assert rows == KNOWN_GAPS
