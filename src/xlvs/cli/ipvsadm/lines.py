# SPDX-License-Identifier: Apache-2.0
"""The lines that ``-R`` reads, as words: blanks separate, nothing quotes, nothing comments."""

from __future__ import annotations

PROGRAM = "ipvsadm"

_BLANKS = str.maketrans("\t\r", "  ")
"""What separates words besides the space. Form feeds and the like are parts of words."""


def lines(text: str) -> list[str]:
    """The lines, with spaces alone between words."""
    return text.translate(_BLANKS).split("\n")


def words_of(line: str) -> list[str]:
    """The words of a line without the program's name before them; it may have none."""
    found = list(filter(None, line.split(" ")))
    if "\0" in line:  # it ends a word for C, whatever follows up to the next blank
        found = [word.partition("\0")[0] for word in found]
    while found and found[0] == PROGRAM:
        del found[0]
    return found


def without_comments(text: str) -> str:
    """The text without lines that begin with ``#``: ipvsadm-restore passes over them."""
    return "\n".join(line for line in text.split("\n") if not line.startswith("#"))
