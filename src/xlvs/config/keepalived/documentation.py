# SPDX-License-Identifier: Apache-2.0
"""The table of all keywords for people, made from the tables that read them."""

from __future__ import annotations

from xlvs.config.keepalived import load
from xlvs.config.keepalived.table import Fate, Keyword, Table, tables

_HEAD = """\
# Keywords of keepalived.conf

Made by `script/keepalived-keywords` from the tables that read the file; do not edit.

Every keyword of keepalived 2.2.7 (Debian 12), of its releases up to 2.4, of the forks with
FULLNAT, and our own. `xlvs check-config FILE` says what becomes of those in a file.

- **supported**: does what keepalived's manual says.
- **no effect**: accepted, with a remark; the reason why nothing is lost stands beside it.
- **refused**: the file is not used; what to do instead stands beside it.
"""

_FATES = {Fate.SUPPORTED: "supported", Fate.NO_EFFECT: "**no effect**", Fate.REFUSED: "**refused**"}


def markdown() -> str:
    """The whole document."""
    every = [each for table in tables for each in table.keywords.values()]
    counts = [f"{sum(each.fate is fate for each in every)} {fate.value}" for fate in (*Fate,)]
    parts = [_HEAD, f"{len(every)} keywords: {', '.join(counts)}.\n"]
    parts += [_section(table) for table in sorted(tables, key=_order)]
    return "\n".join(parts)


def _order(table: Table) -> tuple[bool, str]:
    """The file itself first, then by name."""
    return table is not load.TOP, table.title.lower()


def _section(table: Table) -> str:
    lines = [f"## {table.title}", ""]
    if table.note:
        lines += [table.note, ""]
    lines += ["| keyword | arguments | | |", "|---|---|---|---|"]
    lines += [_row(each) for each in sorted(table.keywords.values(), key=lambda each: each.name)]
    return "\n".join(lines) + "\n"


def _row(keyword: Keyword) -> str:
    arguments = keyword.arguments.replace("|", "\\|")
    if keyword.block:
        arguments = f"{arguments} {{…}}".strip()
    code = f"`{arguments}`" if arguments and "`" not in arguments else arguments
    note = keyword.note.replace("|", "\\|")
    return f"| `{keyword.name}` | {code} | {_FATES[keyword.fate]} | {note} |"
