# SPDX-License-Identifier: Apache-2.0
"""Lines and braces to a tree: a line with a block has the lines of the block below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xlvs.config.keepalived.lines import Line
from xlvs.config.keepalived.places import Findings, Place
from xlvs.config.keepalived.reader import Brace

DEEPEST = 16
"""Blocks in blocks. keepalived's deepest is ``url`` in a checker: four."""


class Node:
    """A line, and the lines of its block; None: it has no block."""

    __slots__ = ("children", "line", "words")

    def __init__(self, line: Line) -> None:
        self.line = line
        self.words = line.words
        self.children: list[Node] | None = None

    def place(self, index: int = 0) -> Place:
        """Where the word of that index stands."""
        return self.line.place(index)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.children or ())


def tree(lines: Iterable[Line | Brace], findings: Findings) -> list[Node]:
    """The lines outside of all blocks. Braces that do not match are problems."""
    top: list[Node] = []
    stack: list[list[Node]] = [top]
    opened: list[Brace] = []
    current = top
    for item in lines:
        if type(item) is Line:
            current.append(Node(item))
        elif isinstance(item, Brace):
            place = Place(item.file, item.number, item.column, item.via)
            if not item.opening:
                if len(stack) == 1:
                    findings.problem(place, "this } closes nothing")
                    continue
                stack.pop()
                opened.pop()
            else:
                if len(stack) > DEEPEST:
                    findings.stop(place, f"blocks lie more than {DEEPEST} deep in each other")
                stack.append(_block(current, place, findings))
                opened.append(item)
            current = stack[-1]
    for brace in opened:
        place = Place(brace.file, brace.number, brace.column, brace.via)
        findings.problem(place, "this { is never closed")
    return top


def _block(current: list[Node], place: Place, findings: Findings) -> list[Node]:
    """The list for what is in a block that opens now."""
    if not current:
        findings.problem(place, "this { belongs to no keyword")
    elif current[-1].children is not None:
        findings.problem(place, "the keyword before this { has its block already")
    else:
        current[-1].children = []
        return current[-1].children
    return []
