# SPDX-License-Identifier: Apache-2.0
"""From files to lines: comments, includes, conditions, parameters, repetitions, braces.

The order of these is keepalived's: a comment ends first; then a condition, a definition, a
repetition, and the parameters of what is left, of whose values all this holds again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from xlvs.config.keepalived.including import NOTHING, Check, checks_of, include_line, included
from xlvs.config.keepalived.lines import split
from xlvs.config.keepalived.parameters import (
    DEFINITION,
    LONGEST_LINE,
    Parameters,
    Piece,
    Random,
    definition_lines,
)
from xlvs.config.keepalived.places import Findings, Place, Wrong
from xlvs.config.keepalived.repetition import is_repetition, repetition
from xlvs.config.keepalived.text import Text, decomment
from xlvs.config.keepalived.tree import Node, Tree

MOST_LINES = 2_000_000
"""Lines in all, after repetitions."""

DEEPEST = 64
"""Includes in includes, and parameters in parameters."""

_SPECIAL = re.compile(r'["\\#!$@~{}]|include|_check|random_seed')
_DEFINES = re.compile(r"(?:@\S+[ \t]+)*\$\w+[ \t]*=", re.ASCII)
_BRACE_OR_QUOTE = re.compile(r'[{}"]')


class Files(NamedTuple):
    """How files are reached. ``glob`` knows ``* ? []``, no braces.

    ``read`` and ``read_secret`` raise OSError; the second also of a file that others may read.
    """

    read: Callable[[str], bytes]
    glob: Callable[[str], list[str]]
    read_secret: Callable[[str], bytes]


class Surroundings(NamedTuple):
    """What a file's meaning depends on. ``config_id`` is keepalived's ``-i``."""

    files: Files
    config_id: str
    environment: Mapping[str, str]
    random: Random


class _Raw(NamedTuple):
    """A line that is still to be looked at."""

    text: Text
    file: str
    number: int
    via: Place | None


_Frame = Iterator[_Raw]


class Reader:
    """Reads a file and all that it includes. ``findings`` gets what is wrong."""

    def __init__(self, surroundings: Surroundings, findings: Findings) -> None:
        self._tree = Tree(findings)
        self._files = surroundings.files
        self._config_id = surroundings.config_id
        self._findings = findings
        self._parameters = Parameters(
            surroundings.config_id, surroundings.environment, surroundings.random
        )
        self._checks = NOTHING
        self._open: list[str] = []
        self._count = 0
        self._definition: tuple[str, list[Piece]] | None = None
        self._begun: _Raw | None = None

    def read(self, file: str) -> list[Node]:
        """The tree of all lines. Raises ConfigurationError when reading cannot go on."""
        text = self._text(file, Place(file, 1), must=True)
        if text is not None:
            self._file(file, text)
        return self._tree.end()

    def _text(self, file: str, place: Place, *, must: bool) -> str | None:
        try:
            data = self._files.read(file)
        except OSError as error:
            message = f"{file} cannot be read: {error.strerror or error}"
            if must:
                self._findings.problem(place, message)
            else:
                self._findings.remark(place, message)
            return None
        if b"\0" in data:
            line = data[: data.index(b"\0")].count(b"\n") + 1
            self._findings.problem(Place(file, line), "there is a NUL character: this is no text")
            return None
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            self._findings.remark(Place(file, line), "not UTF-8: read as Latin-1")
            return data.decode("latin-1")

    def _file(self, file: str, content: str) -> None:  # noqa: C901  # no calls for most lines
        self._open.append(file)
        checks = self._checks
        special, tree = _SPECIAL.search, self._tree
        for number, text in enumerate(content.split("\n"), 1):
            # Most lines of a big file are words, words and a brace, or a comment.
            if self._definition is None and self._begun is None:
                found = special(text)
                if found is None:
                    words = text.split()
                    if words:
                        tree.line(Node(words, text, file, number))
                    continue
                sign = found[0]
                at = found.start()
                if sign in "{}" and not text[at + 1 :].strip():
                    words = text[:at].split()
                    if words:
                        tree.line(Node(words, text[:at], file, number))
                    (tree.open if sign == "{" else tree.close)(file, number, at + 1)
                    continue
                if sign in "#!" and not text[:at].strip():
                    continue
            self._count += 1
            if self._count > MOST_LINES or len(text) > LONGEST_LINE:
                self._too_much(Place(file, number))
            self._special(_Raw(decomment(Text.of(text)), file, number, None), text)
        if self._definition is not None:
            self._end_definition()
        if self._begun is not None:
            begun, self._begun = self._begun, None
            self._expand(begun)
        self._open.pop()
        self._checks = checks

    def _too_much(self, place: Place) -> None:
        self._findings.stop(
            place, f"there are more than {MOST_LINES} lines, or one of over {LONGEST_LINE} signs"
        )

    def _special(self, raw: _Raw, physical: str) -> None:
        """A line of a file that is more than words."""
        if self._definition is not None:
            self._go_on_defining(raw, blank=not physical.strip())
            return
        if self._begun is not None:
            blank = Text(" ", [self._begun.text.columns[-1] + 1])
            raw = self._begun._replace(text=self._begun.text.joined(blank).joined(raw.text))
            self._begun = None
            if len(raw.text.text) > LONGEST_LINE:
                self._too_much(Place(raw.file, raw.number))
        if not raw.text.text:
            return
        # Ours: a line that is no definition may go on, too, after a backslash.
        if raw.text.text.endswith("\\") and not _DEFINES.match(raw.text.text):
            self._begun = raw._replace(text=raw.text.part(0, len(raw.text.text) - 1).stripped())
            if not self._begun.text.text:
                self._begun = None
            return
        self._expand(raw)

    # ---- definitions

    def _go_on_defining(self, raw: _Raw, *, blank: bool) -> None:
        assert self._definition is not None  # noqa: S101  # for the type checker
        lines, more = definition_lines(raw.text, raw.file, raw.number)
        self._definition[1].extend(each for each in lines if each.text.text)
        if blank or not more:
            self._end_definition()

    def _end_definition(self) -> None:
        assert self._definition is not None  # noqa: S101  # for the type checker
        self._parameters.define(*self._definition)
        self._definition = None

    def _define(self, raw: _Raw, found: re.Match[str]) -> None:
        value = raw.text.part(found.start(2))
        lines, more = definition_lines(value, raw.file, raw.number)
        if more:
            self._definition = (found[1], lines)
        else:
            self._parameters.define(found[1], lines)

    # ---- what a line becomes

    def _expand(self, first: _Raw) -> None:
        """The lines that a line stands for, its parameters and repetitions followed."""
        stack: list[_Frame] = [iter((first,))]
        while stack:
            raw = next(stack[-1], None)
            if raw is None:
                stack.pop()
                if stack and self._definition is not None:
                    self._end_definition()
                continue
            self._count += 1
            if self._count > MOST_LINES:
                self._too_much(Place(raw.file, raw.number))
            if self._definition is not None and len(stack) > 1:
                self._go_on_defining(raw, blank=not raw.text.text)
                continue
            if len(stack) > DEEPEST:
                self._findings.stop(
                    Place(raw.file, raw.number, 1, raw.via),
                    f"parameters and repetitions lie more than {DEEPEST} deep in each other",
                )
            try:
                frame, result = self._step(raw)
            except Wrong as wrong:
                column = raw.text.columns[0] if raw.text.columns else 1
                self._findings.problem(Place(raw.file, raw.number, column, raw.via), wrong.message)
                continue
            if frame is not None:
                stack.append(frame)
            if result is not None:
                self._finish(result)

    def _step(  # noqa: C901, PLR0911  # keepalived's order of looking, one after the other
        self, raw: _Raw
    ) -> tuple[_Frame | None, _Raw | None]:
        """One look at a line: lines to go on with, and one that is ready."""
        text = raw.text
        while text.text.startswith("@"):
            after = self._condition(text)
            if after is None:
                return None, None
            if include_line(after.text):
                raise Wrong("include does not work behind a condition: it is looked for first")
            text = after
            raw = raw._replace(text=text)
        found = DEFINITION.match(text.text)
        if found:
            self._define(raw, found)
            return None, None
        if is_repetition(text.text):
            return self._repeat(raw), None
        if "$" not in text.text:
            return None, raw
        if include_line(text.text):
            after, _ = self._parameters.replace(text, raw.file)
            if after.text != text.text:
                raise Wrong("parameters are not replaced in an include line")
            return None, raw
        after, rest = self._parameters.replace(text, raw.file)
        if after.text == text.text and not rest:
            return None, raw
        place = Place(raw.file, raw.number, text.columns[0], raw.via)
        lines = [raw._replace(text=decomment(after))]
        lines += [_Raw(each.text, each.file, each.number, place) for each in rest]
        # What was put in may be a condition, a definition or a repetition itself; of names
        # that stay undefined there is no second look.
        begins = lines[0].text.text[:1]
        if begins in ("@", "$", "~") and lines[0].text.text != text.text:
            return iter(lines), None
        return iter(lines[1:]), lines[0]

    def _condition(self, text: Text) -> Text | None:
        """What follows ``@ID`` or ``@^ID`` if it holds."""
        word, _, rest = text.text.replace("\t", " ").partition(" ")
        negated = word.startswith("@^")
        wanted = word[2 if negated else 1 :]
        if not rest.strip() or (wanted == self._config_id) is negated:
            return None
        return text.part(len(word)).stripped()

    def _repeat(self, raw: _Raw) -> _Frame:
        head = raw.text.part(0, raw.text.text.find(")") + 1)
        replaced, rest = self._parameters.replace(head, raw.file)
        if rest:
            raise Wrong("a value of several lines cannot be in ~SEQ(…)")
        found = repetition(raw.text, replaced.text)
        return self._times(found.values, raw._replace(text=found.rest))

    def _times(self, values: Iterator[dict[str, str]], raw: _Raw) -> _Frame:
        for each in values:
            for name, value in each.items():
                text = Text(value, [raw.text.columns[0] if raw.text.columns else 1] * len(value))
                self._parameters.define(name, [Piece(text, raw.file, raw.number)])
            yield raw

    # ---- ready lines

    def _finish(self, raw: _Raw) -> None:
        """A ready line: an include, or its words and braces."""
        asked = include_line(raw.text.text)
        if asked is not None:
            self._include(raw, *asked)
            return
        text = raw.text
        if text.text.count('"') % 2:
            at = text.columns[text.text.rindex('"')]
            # A command's line is split again, and may have an escaped quote.
            if '\\"' not in text.text:
                self._findings.problem(
                    Place(raw.file, raw.number, at, raw.via), 'the closing " is missing'
                )
                return
        for piece in _pieces(text):
            if piece.text in ("{", "}"):
                brace = self._tree.open if piece.text == "{" else self._tree.close
                brace(raw.file, raw.number, piece.columns[0], raw.via)
                continue
            words = split(piece.text)
            line = Node(words, piece.text, raw.file, raw.number, piece.columns, raw.via)
            if words[0] in ("include_check", "random_seed"):
                self._set(line)
            self._tree.line(line)

    def _set(self, line: Node) -> None:
        """The two keywords that change how the lines after them are read."""
        if line.words[0] == "random_seed":
            if line.words[1:] and line.words[1].isdecimal():
                self._parameters.seed(int(line.words[1]))
            return
        try:
            self._checks = checks_of(line.words[1:], self._checks)
        except Wrong as wrong:
            self._findings.problem(line.place(wrong.index), wrong.message)

    def _include(self, raw: _Raw, pattern: str, checks: Check) -> None:
        place = Place(raw.file, raw.number, raw.text.columns[0], raw.via)
        checks |= self._checks
        try:
            names = included(pattern, raw.file, checks, self._files.glob)
        except Wrong as wrong:
            self._findings.problem(place, wrong.message)
            return
        if not names:
            self._findings.remark(place, f"no file is {pattern}: nothing is included")
        for name in names:
            if name in self._open:
                self._findings.problem(place, f"{name} includes itself")
            elif len(self._open) >= DEEPEST:
                self._findings.stop(place, f"includes lie more than {DEEPEST} deep in each other")
            else:
                text = self._text(name, place, must=Check.READABLE in checks)
                if text is not None:
                    self._file(name, text)


def _pieces(text: Text) -> Iterator[Text]:
    """Words and braces of a line, each brace alone. Double quotes hide braces."""
    start = at = 0
    while found := _BRACE_OR_QUOTE.search(text.text, at):
        at = found.end()
        if found[0] == '"':
            closing = text.text.find('"', at)
            if closing < 0:
                break
            at = closing + 1
            continue
        before = text.part(start, found.start()).stripped()
        if before.text:
            yield before
        yield text.part(found.start(), found.end())
        start = at
    rest = text.part(start).stripped()
    if rest.text:
        yield rest
