# SPDX-License-Identifier: Apache-2.0
"""The table of all keywords for people, made from the tables that read them."""

from __future__ import annotations

from xlvs.config.keepalived import load
from xlvs.config.keepalived.table import Fate, Keyword, Table, tables

_HEAD = """\
<!-- SPDX-License-Identifier: Apache-2.0 -->
# Keywords of keepalived.conf

Made by `script/keepalived-keywords` from the tables that read the file; do not edit.

Every keyword of keepalived 2.2.7 (Debian 12), of its releases up to 2.4, of the forks with
FULLNAT, and our own. `xlvs check-config FILE` says what becomes of those in a file.

- **supported**: does what keepalived's manual says.
- **no effect**: accepted, with a remark; the reason why nothing is lost stands beside it.
- **refused**: the file is not used; what to do instead stands beside it.
"""

_FATES = {Fate.SUPPORTED: "supported", Fate.NO_EFFECT: "**no effect**", Fate.REFUSED: "**refused**"}

_READING = """\
## How the file is read

As keepalived does, with places (file:line:column) for everything that is said about it:

- comments `#` and `!`; `"…"` keeps blanks; commands and `regex` are split again, with `'…'`,
  `"…"` and C's escapes (`\\n`, `\\x41`, `\\101`, `\\cA` …); braces stand wherever they like;
- `include` and `includer`, `includem`, `includew`, `includeb`, `includea`, `include_check`, with
  wildcards and csh's braces, relative to the including file; not behind `@` and without `$`;
- `@ID` and `@^ID`; `$NAME=value`, also of several lines; `${_PWD}`, `${_INSTANCE}`,
  `${_RANDOM MIN MAX}`, `${_ENV NAME}`, `${_HASH}`, `${_BANG}`; `~SEQ`, `~SEQx`, `~LST`;
- ours: a line that ends in a backslash goes on in the next one.

`global_defs` and `garp_group` count for the whole file, wherever they stand.

What keepalived mends with a message in its log is mended the same way, with a remark: no
`protocol` (UDP), no `lvs_sched` (wlc), no `lvs_method` (NAT), a real server's port with DR or
TUN, a quorum above all weights, `nopreempt` with `state MASTER`, fractions of `advert_int` in
version 2, and so on. Where it drops what an operator relies on, the file is refused instead:
wrong values, unknown keywords, authentication with VRRP version 3, names that are nowhere, two
equal services, real servers, or router ids of one interface.

Lines of addresses: `ADDRESS[/LENGTH]` with `dev`, `scope`, `brd`, `label`, `peer`, `home`,
`-nodad`, `preferred_lft`, `use_vmac`, `no_track`, `noprefixroute`, `autojoin`, `mngtmpaddr`; in
`static_ipaddress` also `track_group`.
"""


def markdown() -> str:
    """The whole document."""
    every = [each for table in tables for each in table.keywords.values()]
    counts = [f"{sum(each.fate is fate for each in every)} {fate.value}" for fate in (*Fate,)]
    parts = [_HEAD, f"{len(every)} keywords: {', '.join(counts)}.\n"]
    parts.append(_READING)
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
