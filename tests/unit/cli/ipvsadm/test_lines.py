# SPDX-License-Identifier: Apache-2.0
"""The lines of -R."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from xlvs.cli.ipvsadm.lines import lines, without_comments, words_of


def words_of_lines(text: str) -> list[list[str]]:
    return [words for words in map(words_of, lines(text)) if words]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("\n\r\n  \n", []),
        ("ipvsadm\n", []),
        ("ipvsadm ipvsadm -L", [["-L"]]),
        (" -A\t-f 1 \r\n-L", [["-A", "-f", "1"], ["-L"]]),
        ("-s 'rr' # x", [["-s", "'rr'", "#", "x"]]),
        ("-A -f\0x 3", [["-A", "-f", "3"]]),
        ("-s\vr", [["-s\vr"]]),
    ],
)
def test_words(text, words) -> None:
    assert words_of_lines(text) == words


@hypothesis.given(st.text())
def test_any_text_is_lines(text) -> None:
    assert len(lines(text)) == 1 + text.count("\n")
    words_of_lines(text)


def test_comments_are_lines_that_begin_with_one() -> None:
    assert without_comments("# a\n-A\n # b\n#") == "-A\n # b"
