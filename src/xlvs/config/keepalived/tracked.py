# SPDX-License-Identifier: Apache-2.0
"""``track_script`` and its like inside of instances and groups: names with weights."""

from __future__ import annotations

from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.reading import Reading
from xlvs.config.keepalived.table import Keyword, Values
from xlvs.config.keepalived.trackers import OTHER_WEIGHT, SCRIPT_WEIGHT
from xlvs.config.keepalived.tree import Node
from xlvs.config.keepalived.values import interface_name, number
from xlvs.model.tracking import Tracked

_KINDS = {
    "track_interface": ("", SCRIPT_WEIGHT, "track_interfaces"),
    "track_script": ("vrrp_script", SCRIPT_WEIGHT, "track_scripts"),
    "track_file": ("track_file", OTHER_WEIGHT, "track_files"),
    "track_process": ("vrrp_track_process", OTHER_WEIGHT, "track_processes"),
    "track_bfd": ("bfd_instance", SCRIPT_WEIGHT, "track_bfd"),
}
"""Keyword: the kind of thing that is named, the greatest weight, the field."""


def _reader(keyword: str) -> Keyword:
    kind, most, field = _KINDS[keyword]
    weigh = number(-most, most)

    def one(reading: Reading, line: Node, whose: str) -> Tracked:
        words = line.words
        weight: int | None = None
        reverse = False
        if not kind:
            interface_name(words, 0)
        rest = iter(range(1, len(words)))
        for index in rest:
            if words[index] == "weight":
                weight = weigh(["weight", *words[1:]], index + 1)
                next(rest, None)
            elif words[index] in ("reverse", "noreverse", "no_reverse"):
                reverse = words[index] == "reverse"
            else:
                raise Wrong(
                    f"after a name comes weight N [reverse|noreverse], not {words[index]!r}", index
                )
        if kind:
            reading.refer(kind, words[0], line.place(), whose)
        return Tracked(words[0], weight, reverse)

    def read(reading: Reading, node: Node, values: Values) -> None:
        whose = f"{keyword} of {values['name']}"
        found: list[Tracked] = list(values.get(field, ()))
        for line in node:
            try:
                found.append(one(reading, line, whose))
            except Wrong as wrong:
                reading.findings.problem(line.place(wrong.index), wrong.message)
        values[field] = tuple({each.name: each for each in found}.values())

    return Keyword(keyword, read, "NAME [weight N [reverse]] …", block=True)


TRACKING = tuple(map(_reader, _KINDS))
"""The five blocks."""
