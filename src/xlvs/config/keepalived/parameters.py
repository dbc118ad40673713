# SPDX-License-Identifier: Apache-2.0
"""``$NAME=value``: what is defined, and putting values in the place of names."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.text import Text

DEFINITION = re.compile(r"\$([A-Za-z_]\w*)[ \t]*=[ \t]*(.*)", re.ASCII | re.DOTALL)

_USE = re.compile(
    r"\$(?:\{([A-Za-z_]\w*)(?:[ \t]+(\w+(?:[ \t]+\w+)*))?\}|([A-Za-z_]\w*)(?=[ \t,)]|\Z))", re.ASCII
)

MOST_REPLACEMENTS = 1000
"""Replacements in one line before it is taken for endless."""

LONGEST_LINE = 65536
"""Characters of a line after replacement."""

_RANDOM_MAX = 32767


class Random(Protocol):
    """``random.Random``, as far as it is needed."""

    def randint(self, a: int, b: int) -> int:
        """A number from ``a`` to ``b``, both included."""

    def seed(self, a: int) -> None:
        """Begin anew."""


class Piece(NamedTuple):
    """A line of a definition's value, and where it stands."""

    text: Text
    file: str
    number: int


class Parameters:
    """What is defined so far. ``instance`` is the configuration's id."""

    def __init__(self, instance: str, environment: Mapping[str, str], random: Random) -> None:
        self._values: dict[str, list[Piece]] = {}
        self._random = random
        self._builtin: dict[str, Callable[[str, list[str]], str]] = {
            "_PWD": lambda file, _: posixpath.dirname(file) or ".",
            "_INSTANCE": lambda *_: instance,
            "_RANDOM": self._chance,
            "_ENV": lambda _, words: environment.get(_exactly_one("_ENV", words), ""),
            "_HASH": lambda *_: "#",
            "_BANG": lambda *_: "!",
        }

    def define(self, name: str, value: list[Piece]) -> None:
        """Set a parameter; a predefined one is hidden by it."""
        self._values[name] = value
        self._builtin.pop(name, None)

    def replace(self, line: Text, file: str) -> tuple[Text, list[Piece]]:
        """The line with values for names, and the further lines of a value that has several.

        What is not defined stays as it is. Raises Wrong when it does not end.
        """
        rest: list[Piece] = []
        at = count = 0
        while found := _USE.search(line.text, at):
            name, words = found[1] or found[3], found[2] or ""
            at = found.start()
            value = self._value(name, words, file)
            several = len(value or ()) > 1
            # As in keepalived: a value of several lines is put in only at the end of a line.
            if value is None or (several and found.end() < len(line.text)):
                at += 1
                continue
            first = value[0].text.text if value else ""
            line = line.replaced(at, found.end(), first)
            rest = [*(value[1:] if several else ()), *rest]
            count += 1
            if count > MOST_REPLACEMENTS or len(line.text) > LONGEST_LINE:
                raise Wrong(f"the parameter {name} is replaced again and again without an end")
        return line, rest

    def _value(self, name: str, words: str, file: str) -> list[Piece] | None:
        if name in self._builtin:
            text = self._builtin[name](file, words.split() if words else [])
            return [Piece(Text(text, [1] * len(text)), "", 0)]
        if words:
            return None
        return self._values.get(name)

    def _chance(self, _: str, words: list[str]) -> str:
        if len(words) > len(("least", "most")) or not all(map(str.isdecimal, words)):
            raise Wrong("${_RANDOM} takes a least and a greatest number, both may be left out")
        least = int(words[0]) if words else 0
        most = int(words[1]) if words[1:] else _RANDOM_MAX
        if least > most:
            raise Wrong(f"${{_RANDOM}}: {least} is greater than {most}")
        return str(self._random.randint(least, most))

    def seed(self, number: int) -> None:
        """``random_seed``."""
        self._random.seed(number)


def _exactly_one(name: str, words: list[str]) -> str:
    if len(words) != 1:
        raise Wrong(f"${{{name}}} takes one name")
    return words[0]


def definition_lines(value: Text, file: str, number: int) -> tuple[list[Piece], bool]:
    """The first line of a definition's value, and whether more follow (it ends in a backslash)."""
    if not value.text.endswith("\\"):
        return [Piece(value, file, number)], False
    value = value.part(0, len(value.text) - 1).stripped()
    return ([Piece(value, file, number)] if value.text else []), True
