# SPDX-License-Identifier: Apache-2.0
"""``include`` and its variants: which files a pattern means, and what has to be there."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from enum import Flag, auto

from xlvs.config.keepalived.places import Wrong

MOST_ALTERNATIVES = 1000
"""File names that the braces of one pattern may stand for."""

LONGEST = 4096
"""Characters of a pattern (PATH_MAX)."""

_LINE = re.compile(r"include([rmwba]?)[ \t]+(.*)", re.DOTALL)
_WILD = re.compile(r"[*?\[]")


class Check(Flag):
    """What of an include line is an error; by default nothing is."""

    READABLE = auto()
    MATCH = auto()
    WILDCARD = auto()
    BRACE = auto()


ALL = Check.READABLE | Check.MATCH | Check.WILDCARD | Check.BRACE
NOTHING = Check(0)

_VARIANTS = {
    "": NOTHING,
    "r": Check.READABLE,
    "m": Check.READABLE | Check.MATCH,
    "w": Check.READABLE | Check.MATCH | Check.WILDCARD,
    "b": Check.READABLE | Check.BRACE,
    "a": ALL,
}

_OPTIONS = {
    "readable": Check.READABLE,
    "match": Check.READABLE | Check.MATCH,
    "wildcard_match": Check.READABLE | Check.WILDCARD,
    "brace_match": Check.READABLE | Check.BRACE,
}


def include_line(text: str) -> tuple[str, Check] | None:
    """The pattern and the variant's checks, None: it is no include line."""
    if not text.startswith("include"):
        return None
    found = _LINE.fullmatch(text)
    return (found[2].strip(), _VARIANTS[found[1]]) if found else None


def checks_of(words: list[str], before: Check) -> Check:
    """``include_check``: its options; +option and -option change what was set. Raises Wrong."""
    if not words:
        return ALL
    signed = [word[0] in "+-" if word else False for word in words]
    now = before if all(signed) else NOTHING
    for index, word in enumerate(words, 1):
        name = word.lstrip("+-")
        if name not in _OPTIONS:
            raise Wrong(f"include_check knows {', '.join(_OPTIONS)}, not {name!r}", index)
        if not word.startswith("-"):
            now |= _OPTIONS[name]
        elif _OPTIONS[name] is Check.READABLE:
            now &= ~Check.READABLE
        else:
            now &= ~(_OPTIONS[name] & ~Check.READABLE)
    return now


def alternatives(pattern: str) -> list[str]:
    """The patterns that braces stand for, as csh has it. Raises Wrong when there are too many."""
    if len(pattern) > LONGEST:
        raise Wrong(f"the name is longer than {LONGEST} signs", 1)
    done: list[str] = []
    todo = [pattern]
    while todo:
        text = todo.pop()
        inner = _first_braces(text)
        if inner is None:
            done.append(text)
        else:
            start, end, parts = inner
            todo.extend(text[:start] + part + text[end:] for part in reversed(parts))
        if len(todo) + len(done) > MOST_ALTERNATIVES:
            raise Wrong(f"the braces stand for more than {MOST_ALTERNATIVES} names", 1)
    return done


def _first_braces(text: str) -> tuple[int, int, list[str]] | None:
    start = text.find("{")
    while start >= 0:
        depth, parts, begin = 0, [], start + 1
        for at in range(start, len(text)):
            sign = text[at]
            if sign == "{":
                depth += 1
            elif sign == "}":
                depth -= 1
                if not depth:
                    parts.append(text[begin:at])
                    return start, at + 1, parts
            elif sign == "," and depth == 1:
                parts.append(text[begin:at])
                begin = at + 1
        start = text.find("{", start + 1)
    return None


def included(
    pattern: str, including: str, checks: Check, glob: Callable[[str], list[str]]
) -> list[str]:
    """The files that a pattern means, relative to the including file's directory.

    Raises Wrong for what the checks ask for and is not there.
    """
    if not pattern:
        raise Wrong("include wants the name of a file")
    folder = posixpath.dirname(including)
    braced = "{" in pattern
    files: list[str] = []
    for each in alternatives(pattern):
        found = sorted(glob(posixpath.join(folder, each)))
        if not found and braced and Check.BRACE in checks:
            raise Wrong(f"no file is {each}, which the braces stand for", 1)
        files += found
    if not files:
        wild = bool(_WILD.search(pattern))
        if (Check.WILDCARD if wild else Check.MATCH) in checks:
            raise Wrong(f"no file is {pattern}", 1)
    return files
