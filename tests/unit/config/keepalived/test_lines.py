# SPDX-License-Identifier: Apache-2.0
"""Words of commands; places of words."""

from __future__ import annotations

import pytest

from xlvs.config.keepalived.lines import Line, split, split_quoted
from xlvs.config.keepalived.places import Place, Wrong


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'a "b  c" d', ["a", "b  c", "d"]),
        (r"""a'b c'"d e" """, ["ab cd e"]),
        (r"a\ b \x41\102\cA\n\E\q\\", ["a b", "AB\x01\n\x1bq\\"]),
        (r'"a\"b" \'', ['a"b', "'"]),
        ("''", [""]),
        ("", []),
    ],
)
def test_a_command_s_words(text, expected):
    assert [each.text for each in split_quoted(text)] == expected


@pytest.mark.parametrize("text", ['a "b', "a 'b", "a\\"])
def test_a_command_that_does_not_end(text):
    with pytest.raises(Wrong):
        split_quoted(text)


def test_the_place_of_a_word():
    line = Line(split('  a "b c" d'), '  a "b c" d', "f", 7)
    assert [line.place(index).column for index in range(4)] == [3, 5, 11, 12]
    assert str(line.place(1)) == "f:7:5"
    assert Line([], "", "f", 1).place(3) == Place("f", 1, 1)
