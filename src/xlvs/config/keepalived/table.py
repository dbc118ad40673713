# SPDX-License-Identifier: Apache-2.0
"""Tables of keywords: what a block may say, and what becomes of it.

Every keyword of keepalived's is in one of them: supported, accepted without effect, or
refused. The documentation's table is made from them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.tree import Node
from xlvs.model.problem import Code

if TYPE_CHECKING:
    from xlvs.config.keepalived.reading import Reading

Values = dict[str, Any]
"""What a block has said so far, by field."""

Parser = Callable[[list[str], int], Any]
"""Words of a line and an index to a value. Raises Wrong."""


class Fate(StrEnum):
    """What becomes of a keyword."""

    SUPPORTED = "supported"
    NO_EFFECT = "no effect"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Keyword:
    """One keyword of a block. ``arguments`` and ``note`` are for people."""

    name: str
    read: Callable[[Reading, Node, Values], None]
    arguments: str = ""
    fate: Fate = Fate.SUPPORTED
    note: str = ""
    block: bool | None = False
    """Whether it has a block; None: it may have one."""


@dataclass(frozen=True, slots=True)
class Table:
    """The keywords of one kind of block. ``title`` is for the documentation."""

    title: str
    keywords: Mapping[str, Keyword]
    note: str = ""


tables: list[Table] = []
"""All tables, in the order of their modules' loading."""


def table(title: str, *keywords: Keyword | Iterable[Keyword], note: str = "") -> Table:
    """Make a table and list it for the documentation."""
    by_name: dict[str, Keyword] = {}
    for each in keywords:
        for keyword in (each,) if isinstance(each, Keyword) else each:
            by_name[keyword.name] = keyword
    made = Table(title, by_name, note)
    tables.append(made)
    return made


@dataclass(frozen=True, slots=True)
class _Set:
    """Reads one value into a field, which the last line of a block decides.

    ``secret``: its words are told to nobody.
    """

    name: str
    parse: Parser
    most: int = 2
    secret: bool = False

    def __call__(self, reading: Reading, node: Node, values: Values) -> None:
        words = node.words
        if len(words) > self.most:
            rest = "what follows" if self.secret else repr(" ".join(words[self.most :]))
            reading.findings.remark(node.place(self.most), f"{rest} is not read")
        if self.name in values:
            reading.findings.remark(node.place(), f"{words[0]} is said again: this one counts")
        values[self.name] = self.parse(words, 1)


def value(name: str, parse: Parser, arguments: str, *, into: str = "", note: str = "") -> Keyword:
    """A keyword with one value, for the field of its name, or ``into``."""
    return Keyword(name, _Set(into or name, parse), arguments, note=note)


def secret_value(name: str, parse: Parser, arguments: str, *, into: str = "") -> Keyword:
    """A keyword with one value that no message shows."""
    return Keyword(name, _Set(into or name, parse, secret=True), arguments)


def flag(name: str, *, into: str = "", note: str = "", to: bool = True) -> Keyword:
    """A keyword that says all by being there."""
    return Keyword(name, _Set(into or name, lambda _words, _index: to, 1), note=note)


def words(name: str, parse: Parser, arguments: str, *, into: str = "", note: str = "") -> Keyword:
    """A keyword with several values, which ``parse`` reads all."""
    return Keyword(name, _Set(into or name, parse, most=1 << 30), arguments, note=note)


def no_effect(name: str, why: str, *, block: bool | None = False, silent: bool = False) -> Keyword:
    """A keyword that is accepted and does nothing; the remark says why that is harmless.

    ``silent``: the remark is worth no line, for what cannot matter to anybody.
    """

    def read(reading: Reading, node: Node, _: Values) -> None:
        if not silent:
            reading.findings.remark(node.place(), f"{name} has no effect: {why}")

    return Keyword(name, read, "", Fate.NO_EFFECT, why, block)


def refused(name: str, why: str, *, block: bool | None = None) -> Keyword:
    """A keyword that cannot be had; the message says why, and what to do."""

    def read(reading: Reading, node: Node, _: Values) -> None:
        reading.findings.problem(
            node.place(), f"keyword {name!r} is not supported: {why}", Code.NOT_SUPPORTED
        )

    return Keyword(name, read, "", Fate.REFUSED, why, block)


def also(keyword: Keyword, *names: str) -> list[Keyword]:
    """The keyword and its other spellings."""
    copies = [
        Keyword(
            name,
            keyword.read,
            keyword.arguments,
            keyword.fate,
            f"as `{keyword.name}`",
            keyword.block,
        )
        for name in names
    ]
    return [keyword, *copies]


def read_block(reading: Reading, node: Node, known: Table, values: Values) -> Values:
    """Read all lines of a block into ``values``. What is wrong is noted, and reading goes on."""
    keywords = known.keywords
    for line in node.children or ():
        keyword = keywords.get(line.words[0])
        if keyword is None:
            reading.findings.problem(line.place(), unknown(line.words[0], known))
            continue
        if keyword.block is not None and keyword.block is not (line.children is not None):
            reading.findings.problem(
                line.place(),
                f"{keyword.name} wants a block in braces"
                if keyword.block
                else f"{keyword.name} has no block",
            )
            continue
        try:
            keyword.read(reading, line, values)
        except Wrong as wrong:
            reading.findings.problem(line.place(wrong.index), wrong.message)
    return values


def unknown(word: str, known: Table) -> str:
    """The sentence about a keyword that a block does not have."""
    text = f"unknown keyword {word!r} in {known.title}"
    near = difflib.get_close_matches(word[:64], known.keywords, 1, 0.6)
    if near:
        return f"{text}: is {near[0]!r} meant?"
    elsewhere = [each.title for each in tables if word in each.keywords]
    if elsewhere:
        return f"{text}: it belongs to {elsewhere[0]}"
    return text


@dataclass(slots=True)
class Once:
    """Names that must be given only once, with where they were."""

    what: str
    seen: dict[str, str] = field(default_factory=dict)

    def add(self, reading: Reading, node: Node, name: str) -> bool:
        """Whether the name is new; if not, that is a problem."""
        if name in self.seen:
            reading.findings.problem(
                node.place(1), f"there is another {self.what} {name!r} at {self.seen[name]}"
            )
            return False
        self.seen[name] = str(node.place(1))
        return True
