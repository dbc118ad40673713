# SPDX-License-Identifier: Apache-2.0
"""What was read of foreign rules, and what both readers need."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from xlvs.model.mark import MARK_MAX, MarkRule, Ports, settled_rule
from xlvs.model.problem import Problem
from xlvs.model.service import Family, Network


class Refused(NamedTuple):
    """Line, counted from 1, and word that cannot be taken over, and why."""

    line: int
    word: str
    why: str


class Found(NamedTuple):
    """Rules in their order, each settled; refused ones among them are left out."""

    rules: tuple[MarkRule, ...]
    refused: tuple[Refused, ...]


class Foreign(Exception):  # noqa: N818  # the readers' own word, never seen outside
    """A word that is not taken over."""

    def __init__(self, word: str, why: str) -> None:
        super().__init__(word, why)
        self.word = word
        self.why = why


class Match:
    """What a foreign rule asks for, as far as it is read; None: for anything."""

    def __init__(self) -> None:
        self.family: Family | None = None
        self.to: list[Network] | None = None
        self.source: list[Network] | None = None
        self.protocols: list[int] | None = None
        self.ports: Ports | None = None

    def rules(self, change: Change, word: str) -> list[MarkRule]:
        """Rules of ours that do the same. Raises Foreign about ``word``."""
        try:
            return [
                settled_rule(
                    MarkRule(
                        mark=change.value,
                        mask=MARK_MAX & ~change.keep,
                        to=to,
                        source=source,
                        family=self.family,
                        protocol=protocol,
                        ports=self.ports or (),
                    )
                )
                for to, source, protocol in product(
                    _or_any(self.to), _or_any(self.source), self.protocols or (0,)
                )
            ]
        except Problem as problem:
            raise Foreign(word, problem.message) from None


class Change(NamedTuple):
    """What becomes of a mark: ``(mark & keep) ^ value``."""

    keep: int
    value: int


def _or_any(networks: list[Network] | None) -> Iterable[Network | None]:
    return (None,) if networks is None else networks


def number(text: str) -> int:
    """A number of 32 bits as C's strtoul reads it with base 0. Raises Foreign."""
    base = 10
    if text[:2].lower() == "0x":
        base = 16
    elif text[:1] == "0":
        base = 8
    try:
        if not text.isascii() or not text[:1].isdigit() or "_" in text:
            raise ValueError(text)  # noqa: TRY301 - int() is more generous
        found = int(text, base)
    except ValueError:
        raise Foreign(text, "this is no number") from None
    if found > MARK_MAX:
        raise Foreign(text, "a mark has 32 bits")
    return found
