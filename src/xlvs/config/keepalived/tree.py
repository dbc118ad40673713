# SPDX-License-Identifier: Apache-2.0
"""Lines and braces to a tree: a line with a block has the lines of the block below it."""

from __future__ import annotations

from collections.abc import Iterator

from xlvs.config.keepalived.lines import Line
from xlvs.config.keepalived.places import Findings, Place

DEEPEST = 16
"""Blocks in blocks. keepalived's deepest is ``url`` in a checker: four."""


class Node(Line):
    """A line, and the lines of its block; None: it has no block."""

    __slots__ = ("children",)

    children: list[Node] | None

    def __iter__(self) -> Iterator[Node]:
        return iter(self.children or ())


class Tree:
    """Takes lines and braces in their order. Braces that do not match are problems."""

    def __init__(self, findings: Findings) -> None:
        self.top: list[Node] = []
        self._findings = findings
        self._current = self.top
        self._stack: list[list[Node]] = []
        self._opened: list[tuple[str, int]] = []

    def line(self, node: Node) -> None:
        """The next line."""
        node.children = None
        self._current.append(node)

    def open(self, file: str, number: int, column: int, via: Place | None = None) -> None:
        """A block begins, of the line before."""
        current = self._current
        below: list[Node] = []
        if current and current[-1].children is None:
            current[-1].children = below
        else:
            self._findings.problem(
                Place(file, number, column, via),
                "the keyword before this { has its block already"
                if current
                else "this { belongs to no keyword",
            )
        if len(self._stack) >= DEEPEST:
            self._findings.stop(
                Place(file, number, column, via),
                f"blocks lie more than {DEEPEST} deep in each other",
            )
        self._stack.append(current)
        self._opened.append((file, number))
        self._current = below

    def close(self, file: str, number: int, column: int, via: Place | None = None) -> None:
        """A block ends."""
        if not self._stack:
            self._findings.problem(Place(file, number, column, via), "this } closes nothing")
            return
        self._current = self._stack.pop()
        self._opened.pop()

    def end(self) -> list[Node]:
        """The lines outside of all blocks, when there are no more."""
        for file, number in self._opened:
            self._findings.problem(Place(file, number), "the { of this line is never closed")
        return self.top
