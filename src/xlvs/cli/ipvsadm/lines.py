# SPDX-License-Identifier: Apache-2.0
"""The lines that ``-R`` reads, as words: blanks separate, nothing quotes, nothing comments."""

from __future__ import annotations

from collections.abc import Iterator

PROGRAM = "ipvsadm"

_BLANKS = str.maketrans("\t\r", "  ")
"""What separates words besides the space. Form feeds and the like are parts of words."""


def words_of_lines(text: str) -> Iterator[list[str]]:
    """The words of each line that has any, without the program's name before them."""
    plain = text.translate(_BLANKS)
    for line in plain.split("\n"):
        words = list(filter(None, line.split(" ")))
        if "\0" in line:  # it ends a word for C, whatever follows up to the next blank
            words = [word.partition("\0")[0] for word in words]
        while words and words[0] == PROGRAM:
            del words[0]
        if words:
            yield words


def without_comments(text: str) -> str:
    """The text without lines that begin with ``#``: ipvsadm-restore passes over them."""
    return "\n".join(line for line in text.split("\n") if not line.startswith("#"))
