# SPDX-License-Identifier: Apache-2.0
"""Text that remembers in which column of its file each character stands."""

from __future__ import annotations

import re

_REMARKABLE = re.compile(r'[!#"\\]')


class Text:
    """Characters and their columns. ``columns`` is as long as ``text``."""

    __slots__ = ("columns", "text")

    def __init__(self, text: str, columns: list[int]) -> None:
        self.text = text
        self.columns = columns

    @classmethod
    def of(cls, line: str) -> Text:
        """A line as it stands in the file."""
        return cls(line, list(range(1, len(line) + 1)))

    def part(self, start: int, end: int | None = None) -> Text:
        """A piece of it."""
        return Text(self.text[start:end], self.columns[start:end])

    def stripped(self) -> Text:
        """Without blanks at both ends."""
        start = len(self.text) - len(self.text.lstrip())
        return self.part(start, max(start, len(self.text.rstrip())))

    def replaced(self, start: int, end: int, new: str) -> Text:
        """With ``new`` for a piece: it stands where that piece began."""
        column = self.columns[start] if start < len(self.columns) else 1
        return Text(
            self.text[:start] + new + self.text[end:],
            self.columns[:start] + [column] * len(new) + self.columns[end:],
        )

    def joined(self, other: Text) -> Text:
        """This and the other."""
        return Text(self.text + other.text, self.columns + other.columns)


def decomment(line: Text) -> Text:
    r"""Without comments and outer blanks. ``\#`` and ``\!`` are plain ``#`` and ``!``.

    In double quotes nothing begins a comment; single quotes do not count, as in keepalived.
    """
    text, quoted, at, end = line.text, False, 0, len(line.text)
    dropped: set[int] = set()
    while found := _REMARKABLE.search(text, at):
        at = found.start()
        sign = text[at]
        if sign == '"':
            quoted = not quoted
        elif sign == "\\":
            if not quoted and text[at + 1 : at + 2] in ("#", "!"):
                dropped.add(at)
            at += 1
        elif not quoted:
            end = at
            break
        at += 1
    if not dropped:
        return line.part(0, end).stripped()
    kept = [index for index in range(end) if index not in dropped]
    columns = [line.columns[index] for index in kept]
    return Text("".join(text[index] for index in kept), columns).stripped()
