# SPDX-License-Identifier: Apache-2.0
"""The table of all metrics for people, made from the catalogue."""

from __future__ import annotations

from xlvs.api.metrics.catalogue import FAMILIES
from xlvs.api.metrics.family import Family
from xlvs.model.detail import Detail

BEGIN = "<!-- script/metrics-table writes what is between here -->\n"
END = "<!-- and here -->\n"


def table() -> str:
    """In Markdown. A star marks what ``--metrics-detail services`` leaves out."""
    head = "| metric | kind | labels | |\n|---|---|---|---|\n"
    return head + "".join(map(_row, FAMILIES))


def renewed(document: str) -> str:
    """A document with the table as it is now. Raises ValueError if it has no place for it."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"there is no {BEGIN!r} with {END!r} behind it")
    return before + BEGIN + table() + END + after


def _row(family: Family) -> str:
    labels = ", ".join(f"`{each}`" for each in family.labels)
    star = " *" if family.detail is Detail.DESTINATIONS else ""
    return f"| `{family.name}`{star} | {family.kind} | {labels} | {family.help} |\n"
