# SPDX-License-Identifier: Apache-2.0
"""``~SEQ(var, start, step, end)`` and ``~LST(var, value, …)``: one line, many times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from xlvs.config.keepalived.places import Wrong
from xlvs.config.keepalived.text import Text

_SEQUENCE = re.compile(r"~SEQ(x?)[ \t]*\(([^)]*)\)[ \t]*")
_LIST = re.compile(r"~LST[ \t]*\(")
_NUMBER = re.compile(r"[+-]?(?:0[xX][0-9A-Fa-f]{1,16}|[0-9]{1,18})\Z", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_PARTS = re.compile(r"[ \t]*(?:\{([^{}]*)\}|([^,{})]*))[ \t]*([,)])")

_START_STEP_END = 3


class Repetition(NamedTuple):
    """What the line is repeated with: the values of its names, one dict for each time."""

    values: Iterator[dict[str, str]]
    rest: Text


def is_repetition(text: str) -> bool:
    """Whether the line begins with one of the two."""
    return text.startswith(("~SEQ", "~LST"))


def repetition(line: Text, replaced: str) -> Repetition:
    """Reads the line's beginning. ``replaced``: the same text with its parameters replaced.

    Raises Wrong. The rest of the line is as it was: its parameters are replaced each time.
    """
    found = _SEQUENCE.match(line.text)
    if found:
        inside = _SEQUENCE.match(replaced)
        words = (inside or found)[2].split(",")
        return Repetition(_sequence(words, hexadecimal=bool(found[1])), line.part(found.end()))
    found = _LIST.match(line.text)
    if found is None:
        raise Wrong(
            "wants ~SEQ(name, start, step, end) or ~LST(name, value, …), then what is repeated"
        )
    return _listed(line, found.end())


def _sequence(words: list[str], *, hexadecimal: bool) -> Iterator[dict[str, str]]:
    name, *numbers = [each.strip() for each in words]
    wanted = "wants ~SEQ(name, start, step, end): start and step may be left out"
    if not _NAME.match(name) or not 1 <= len(numbers) <= _START_STEP_END:
        raise Wrong(wanted)
    values = [_number(each) for each in numbers]
    if len(values) == 1:
        end = values[0]
        start, step = (-1 if end < 0 else 1), (-1 if end < 1 else 1)
    elif len(values) < _START_STEP_END:
        start, end = values
        step = 1 if start <= end else -1
    else:
        start, step, end = values
        if not step or (start < end and step < 0) or (start > end and step > 0):
            raise Wrong(f"~SEQ never comes from {start} to {end} by steps of {step}")
    if hexadecimal and min(start, end) < 0:
        raise Wrong("~SEQx counts in numbers of 0 and more")
    form = "x" if hexadecimal else "d"
    # The first value is used even when the end lies behind it, as in keepalived.
    count = max(1, (end - start) // step + 1)
    return ({name: format(start + step * index, form)} for index in range(count))


def _number(text: str) -> int:
    if not _NUMBER.match(text):
        raise Wrong(f"~SEQ wants whole numbers, not {text!r}")
    sign = -1 if text.startswith("-") else 1
    plain = text.lstrip("+-")
    if plain[:2] in ("0x", "0X"):
        return sign * int(plain, 16)
    try:
        return sign * int(plain, 8 if plain.startswith("0") and plain != "0" else 10)
    except ValueError:
        raise Wrong(f"{text} begins with 0 and is no octal number") from None


def _listed(line: Text, at: int) -> Repetition:
    parts: list[list[str]] = []
    while True:
        found = _PARTS.match(line.text, at)
        if found is None:
            raise Wrong("wants ~LST(name, value, …) or ~LST({name, name}, {value, value}, …)")
        inside = found[1] if found[1] is not None else found[2]
        braced = found[1] is not None
        parts.append([each.strip() for each in inside.split(",")] if braced else [inside.strip()])
        at = found.end()
        if found[3] == ")":
            break
    names, *values = parts
    if not all(map(_NAME.match, names)):
        raise Wrong("~LST begins with the names of what it sets: letters, digits and _")
    if not values:
        raise Wrong("~LST has no values")
    for each in values:
        if len(each) > len(names):
            raise Wrong(f"~LST sets {len(names)} at a time, but there are {', '.join(each)}")
    rest = line.part(at).stripped()
    padded = ([*each, *[""] * (len(names) - len(each))] for each in values)
    return Repetition((dict(zip(names, each, strict=True)) for each in padded), rest)
