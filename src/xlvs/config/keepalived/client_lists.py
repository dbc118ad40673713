# SPDX-License-Identifier: Apache-2.0
"""``client_list``: prefixes of clients, which virtual servers allow or deny.

Ours; forks call them ``deny_address_group`` and ``allow_address_group``.
"""

from __future__ import annotations

import re

from xlvs.config.keepalived.places import Place, Wrong
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.table import Values
from xlvs.config.keepalived.trackers import name_of
from xlvs.config.keepalived.tree import Node
from xlvs.config.keepalived.values import word
from xlvs.model import client_list
from xlvs.model.problem import Problem
from xlvs.model.service import Limit, Limits

_AT = re.compile(r"/(\d+)$")


def read_client_list(reading: Reading, node: Node, _: Values) -> None:
    """``client_list NAME {…}``: a prefix in each line, or ``file PATH``, whose lines are."""
    name = name_of(node, "the name of a list")
    if not reading.once("client_list", node, name):
        return
    try:
        client_list.check_name(name)
    except Problem as problem:
        raise Wrong(problem.message, 1) from None
    prefixes: list[str] = []
    places: list[Place] = []
    for line in node:
        if line.words[0] == "file":
            _read_file(reading, line, prefixes, places)
        else:
            prefixes += line.words
            places += map(line.place, range(len(line.words)))
    reading.client_lists[name] = tuple(prefixes)
    try:
        client_list.client_list(reading.client_lists[name])
    except Problem as problem:
        found = _AT.search(problem.where)
        place = places[int(found[1])] if found else node.place(1)
        reading.findings.problem(place, problem.message)


def _read_file(reading: Reading, line: Node, prefixes: list[str], places: list[Place]) -> None:
    path = line.words[1] if line.words[1:] else ""
    if not path.startswith("/"):
        message = f"file wants the whole path of a list, not {path!r}"
        reading.findings.problem(line.place(len(line.words) - 1), message)
        return
    try:
        text = reading.read(path).decode(errors="replace")
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        reading.findings.problem(line.place(1), message)
        return
    for number, each in client_list.words(text):
        prefixes.append(each)
        places.append(Place(path, number))


class Names:
    """Reads ``allow NAME …`` and ``deny NAME …``: more names with each line."""

    def __init__(self, into: str) -> None:
        self._into = into

    def __call__(self, reading: Reading, node: Node, values: Values) -> None:
        """One line."""
        word(node.words, 1, "the name of a client_list")
        for at, name in enumerate(node.words[1:], 1):
            reading.refer("client_list", name, node.place(at), node.words[0])
        values[self._into] = (*values.get(self._into, ()), *node.words[1:])


def rate(words: list[str], index: int) -> tuple[int, int]:
    """``PER_SECOND`` or ``PER_SECOND:BURST``."""
    said = word(words, index, "connections per second, as N or N:BURST")
    numbers = said.split(":")
    if len(numbers) > 2 or not all(  # noqa: PLR2004  # rate, burst
        each.isascii() and each.isdecimal() for each in numbers
    ):
        raise Wrong(f"{words[0]} is N or N:BURST, not {said!r}", index)
    return int(numbers[0]), int(numbers[1]) if numbers[1:] else 0


def limits(values: Values) -> Limits:
    """Those that a virtual server says."""
    return Limits(
        client=_limit(values, "client"),
        service=_limit(values, "service"),
        client_prefix=values.get("client_prefix", 0),
    )


def _limit(values: Values, whose: str) -> Limit:
    per_second, burst = values.get(f"{whose}_rate", (0, 0))
    connections = values.get(f"{whose}_connections", 0)
    return Limit(connections=connections, rate=per_second, burst=burst)
