# SPDX-License-Identifier: Apache-2.0
"""Where something stands in a configuration file, and what is wrong there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from xlvs.model.problem import Code, Problem

T = TypeVar("T")

MOST_PROBLEMS = 100
"""More are not collected: the first few say what is wrong."""


class Place(NamedTuple):
    """``file:line:column``; lines and columns count from 1. ``via``: what brought it there."""

    file: str
    line: int
    column: int = 1
    via: Place | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Wrong(Exception):  # noqa: N818  # as Problem: what it says, not what it is
    """A line cannot be read. ``index``: which of its words is at fault."""

    def __init__(self, message: str, index: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.index = index


class ConfigurationError(Problem):
    """The file is refused, with all that was found. ``problems`` is never empty.

    ``where`` and ``message`` are those of the first one.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        super().__init__(first.code, first.message, first.where)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(f"{each.where}: {each.message}" for each in self.problems)


class Findings:
    """What was found while reading: problems, and remarks about what has no effect."""

    def __init__(self) -> None:
        self.problems: list[tuple[Place, Problem]] = []
        self.remarks: dict[str, Place] = {}
        """A remark that is made again, for a line that is repeated, is one."""

    def problem(self, place: Place, message: str, code: Code = Code.INVALID) -> None:
        """Note a problem. Raises ConfigurationError when there are enough of them."""
        if place.via is not None:
            message = f"{message} (put here by {place.via})"
        self.problems.append((place, Problem(code, message, str(place))))
        if len(self.problems) >= MOST_PROBLEMS:
            self.stop(place, "there is more, which is not looked at: mend this first")

    def stop(self, place: Place, message: str, code: Code = Code.INVALID) -> None:
        """Note a problem after which nothing more can be read. Raises ConfigurationError."""
        self.problems = _sorted(self.problems)
        self.problems.append((place, Problem(code, message, str(place))))
        raise ConfigurationError([problem for _, problem in self.problems])

    def remark(self, place: Place, message: str) -> None:
        """Note what the file's author should know, though the file is accepted."""
        text = f"{place}: {message}"
        if place.via is not None:
            text += f" (put here by {place.via})"
        self.remarks.setdefault(text, place)

    def in_order(self) -> tuple[str, ...]:
        """The remarks in the order of the file."""
        found = [(place, text) for text, place in self.remarks.items()]
        return tuple(text for _, text in _sorted(found))

    def raise_problems(self) -> None:
        """Raises ConfigurationError if there were problems."""
        if self.problems:
            raise ConfigurationError([problem for _, problem in _sorted(self.problems)])


def _sorted(found: list[tuple[Place, T]]) -> list[tuple[Place, T]]:
    """In the order of the file; of several files, in that of their first finding."""
    files = {
        file: index for index, file in enumerate(dict.fromkeys(place.file for place, _ in found))
    }
    return sorted(found, key=lambda each: (files[each[0].file], each[0].line, each[0].column))
