# SPDX-License-Identifier: Apache-2.0
"""A line of a configuration file and its words.

keepalived splits a line twice, differently: most keywords see words between blanks in
which only ``"`` quotes; a keyword that takes a command has its line split again, with both
kinds of quotes and C's escapes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from xlvs.config.keepalived.places import Place, Wrong

_WORD = re.compile(r'"([^"]*)"?|[^\s"]+')

_LETTERS = {"a": "\a", "b": "\b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LETTERS["v"] = "\v"

_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|c(.)|([0-7]{1,3})|(.))", re.DOTALL)
_PLAIN = re.compile(r"[^\s'\"\\]+")


class Line:
    """One line after comments, conditions and parameters, without its braces.

    ``raw`` is its text. ``columns``: the column in the file of each of its characters;
    None: it stands in the file as it is. ``via``: the line whose parameter put it there.
    """

    __slots__ = ("columns", "file", "number", "raw", "via", "words")

    def __init__(  # noqa: PLR0917  # there are hundreds of thousands: no keywords
        self,
        words: list[str],
        raw: str,
        file: str,
        number: int,
        columns: list[int] | None = None,
        via: Place | None = None,
    ) -> None:
        self.words = words
        self.raw = raw
        self.file = file
        self.number = number
        self.columns = columns
        self.via = via

    def place(self, index: int = 0) -> Place:
        """Where the word of that index stands; after the last word if there is none."""
        spans = [(found.start(), found.end()) for found in _WORD.finditer(self.raw)]
        after = spans[-1][1] if spans else 0
        at = spans[index][0] if index < len(spans) else after
        if self.columns is None:
            column = at + 1
        elif at < len(self.columns):
            column = self.columns[at]
        else:
            column = self.columns[-1] + 1 if self.columns else 1
        return Place(self.file, self.number, column, self.via)


def split(text: str) -> list[str]:
    """The words of a line as most keywords see them."""
    return [found[1] if found[1] is not None else found[0] for found in _WORD.finditer(text)]


class Quoted(NamedTuple):
    """A word of a command's line: without its quotes, and where it began."""

    text: str
    start: int


def split_quoted(text: str) -> list[Quoted]:  # noqa: C901, PLR0912  # one case for each sign
    """The words of a command's line: both kinds of quotes, C's escapes. Raises Wrong."""
    words: list[Quoted] = []
    at, end = 0, len(text)
    while True:
        while at < end and text[at].isspace():
            at += 1
        if at >= end:
            return words
        start = at
        parts: list[str] = []
        quote = ""
        while at < end:
            sign = text[at]
            if sign == "\\":
                found = _ESCAPE.match(text, at)
                if found is None:
                    raise Wrong("a backslash ends the line, with nothing to escape", len(words))
                parts.append(_escaped(found))
                at = found.end()
            elif quote:
                if sign == quote:
                    quote = ""
                else:
                    parts.append(sign)
                at += 1
            elif sign in "'\"":
                quote = sign
                at += 1
            elif sign.isspace():
                break
            else:
                plain = _PLAIN.match(text, at)
                piece = plain[0] if plain else sign
                parts.append(piece)
                at += len(piece)
        if quote:
            raise Wrong(f"the closing {quote} is missing", len(words))
        words.append(Quoted("".join(parts), start))


def _escaped(found: re.Match[str]) -> str:
    in_hex, control, octal, letter = found.groups()
    if in_hex is not None:
        return chr(int(in_hex, 16))
    if control is not None:
        return chr(ord(control) & 0x1F)
    if octal is not None:
        return chr(int(octal, 8) & 0xFF)
    return _LETTERS.get(letter, letter)
