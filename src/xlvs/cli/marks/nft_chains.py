# SPDX-License-Identifier: Apache-2.0
"""Tables and chains of nft's text, with their rules as words. Pure."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from xlvs.cli.marks.found import Foreign

_TOKEN = re.compile(
    r"""(?P<string>"[^"\n]*")|(?P<comment>\#[^\n]*)|(?P<continued>\\\n)|(?P<newline>\n)"""
    r"""|(?P<word>[!=<>]=|[{};,()<>=]|[^\s{};,()<>="\#]+|")|\s+"""
)
XT = "xt"
"""How a rule of iptables-nft shows what nft has no words for; older versions in a comment."""

_EXTENSION = re.compile(r"#\s*(xt_|match |target )")
_PRIORITIES = {
    "raw": -300,
    "mangle": -150,
    "dstnat": -100,
    "filter": 0,
    "security": 50,
    "srcnat": 100,
}
_END = ("\n", ";")


class Rule(NamedTuple):
    """One rule, or another statement: its first line and its words; strings are ``""``."""

    line: int
    words: list[str]


class Chain(NamedTuple):
    """A chain; ``hook`` and ``type`` are empty unless it is a base chain.

    ``sets``: the table's sets and maps by name, each with the words between its braces;
    those that packets may change are not among them.
    """

    family: str
    name: str
    type: str
    hook: str
    priority: int
    rules: list[Rule]
    sets: dict[str, list[str]]


class _Token(NamedTuple):
    line: int
    text: str


def chains(text: str) -> list[Chain]:
    """All chains of tables that are in force.

    Raises Foreign about ``line:word`` where the text is not nft's.
    """
    return _Parser(_tokens(text)).ruleset()


def _tokens(text: str) -> list[_Token]:
    found, line = [], 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind == "string":
            found.append(_Token(line, '""'))
        elif kind == "comment" and _EXTENSION.match(match[0]):
            found.append(_Token(line, XT))
        elif kind in ("word", "newline"):
            found.append(_Token(line, match[0]))
        line += match[0].count("\n")
    return found


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._rest = list(reversed(tokens))
        self._line = 1

    def ruleset(self) -> list[Chain]:
        found = []
        while self._rest:
            token = self._rest.pop()
            if token.text in _END:
                continue
            if token.text != "table":
                raise Foreign(f"{token.line}:{token.text}", "this is no text of nft list ruleset")
            found += self._table(token)
        return found

    def _table(self, token: _Token) -> list[Chain]:
        words = self._head(token)
        family = words[0] if len(words) > 1 else "ip"
        found, dormant = [], False
        sets: dict[str, list[str]] = {}
        while not self._closed(token):
            inner = self._rest.pop()
            if inner.text == "chain":
                found.append(self._chain(family, inner, sets))
            elif inner.text not in _END:
                statement = self._statement(inner)
                dormant |= statement.words[0] == "flags" and "dormant" in statement.words
                sets.update(_elements(statement.words))
        return [] if dormant else found

    def _chain(self, family: str, token: _Token, sets: dict[str, list[str]]) -> Chain:
        name = " ".join(self._head(token))
        base = Chain(family, name, "", "", 0, [], sets)
        while not self._closed(token):
            inner = self._rest.pop()
            if inner.text in _END:
                continue
            statement = self._statement(inner)
            words = statement.words
            if words[0] == "type" and "hook" in words:
                base = _based(base, words)
            elif words[0] not in ("policy", "comment"):
                base.rules.append(statement)
        return base

    def _head(self, token: _Token) -> list[str]:
        """The words up to the opening brace."""
        found = []
        while self._rest and self._rest[-1].text not in ("{", "}", *_END):
            found.append(self._rest.pop().text)
        if not found or not self._rest or self._rest.pop().text != "{":
            raise Foreign(f"{token.line}:{token.text}", "a name and { must follow")
        return found

    def _closed(self, token: _Token) -> bool:
        if not self._rest:
            raise Foreign(f"{token.line}:{token.text}", "its } is missing")
        if self._rest[-1].text != "}":
            return False
        self._rest.pop()
        return True

    def _statement(self, first: _Token) -> Rule:
        """Words to the end of the line; within braces lines do not end it."""
        words, depth = [], 0
        token = first
        while True:
            if token.text not in _END:
                words.append(token.text)
            depth += (token.text == "{") - (token.text == "}")
            following = self._rest[-1].text if self._rest else ""
            if not depth and following in ("", "}", *_END):
                return Rule(first.line, words)
            if not self._rest or depth < 0:
                raise Foreign(f"{first.line}:{first.text}", "its } is missing")
            token = self._rest.pop()


def _elements(words: list[str]) -> dict[str, list[str]]:
    """A set or map by its name, or nothing."""
    if words[0] not in ("set", "map") or {"dynamic", "timeout", "counter"} & set(words):
        return {}
    name, found = words[1], words[2:]
    if "elements" not in found:
        return {name: []}
    begin = found.index("elements") + 3  # = {
    return {name: found[begin : found.index("}", begin) if "}" in found[begin:] else begin]}


def _based(chain: Chain, words: list[str]) -> Chain:
    values = dict(pairwise(words))
    at = words.index("priority") + 1 if "priority" in words else len(words)
    return chain._replace(
        type=values.get("type", ""), hook=values.get("hook", ""), priority=_priority(words[at:])
    )


def _priority(words: list[str]) -> int:
    """``mangle``, ``-150`` or ``mangle + 5``."""
    text = "".join(words)
    name = re.match(r"[a-z]*", text)
    base = name[0] if name else ""
    try:
        return _PRIORITIES.get(base, 0) + int(text[len(base) :] or 0)
    except ValueError:
        return 0
