# SPDX-License-Identifier: Apache-2.0
"""How words become options."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from xlvs.cli.ipvsadm.options import OPTIONS, OptionError, Words


def read(*words: str) -> tuple[list[tuple[str, str | None]], list[str]]:
    reader = Words(words)
    found = []
    while (option := reader.option()) is not None:
        found.append((option.name, reader.value))
    return found, reader.rest


@pytest.mark.parametrize(
    ("words", "options", "rest"),
    [
        (["-Ln"], [("list", None), ("numeric", None)], []),
        (["--list", "--numeric"], [("list", None), ("numeric", None)], []),
        (["-At", "a:1"], [("add-service", None), ("tcp-service", "a:1")], []),
        (["-ta:1"], [("tcp-service", "a:1")], []),
        (["-t=a:1"], [("tcp-service", "a:1")], []),
        (["--tcp-service=a:1"], [("tcp-service", "a:1")], []),
        (["--tcp-service="], [("tcp-service", "")], []),
        (["-s", "--"], [("scheduler", "--")], []),
        (["-s", "-x"], [("scheduler", "-x")], []),
        (["-p"], [("persistent", None)], []),
        (["-p", "-n"], [("persistent", None), ("numeric", None)], []),
        (["-p", "90"], [("persistent", "90")], []),
        (["-p90"], [("persistent", "90")], []),
        (["-p", ""], [("persistent", "")], []),
        (["-sp", "rr"], [("scheduler", "p")], ["rr"]),
        (["a", "-n", "-", "b"], [("numeric", None)], ["a", "-", "b"]),
        (["-n", "--", "-n", "--list"], [("numeric", None)], ["-n", "--list"]),
    ],
)
def test_words_are_taken_apart_as_popt_does(words, options, rest) -> None:
    assert read(*words) == (options, rest)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--num"], "--num: unknown option"),
        (["-Lnz"], "-Lnz: unknown option"),
        (["-L-n"], "-L-n: unknown option"),
        (["-n=3"], "-n=3: option does not take an argument"),
        (["--numeric="], "--numeric=: option does not take an argument"),
        (["-mw"], "-mw: missing argument"),
        (["--weight"], "--weight: missing argument"),
    ],
)
def test_wrong_words(words, text) -> None:
    with pytest.raises(OptionError) as caught:
        read(*words)
    assert caught.value.text == text


def test_letters_are_one_options_each() -> None:
    letters = [option.letter for option in OPTIONS if option.letter]
    assert len(set(letters)) == len(letters)


@hypothesis.given(st.lists(st.text("-=ALntswpm6 :abc", max_size=6), max_size=6))
def test_every_line_comes_to_an_end(words) -> None:
    reader = Words(words)
    text = ""
    try:
        while reader.option() is not None:
            pass
    except OptionError as error:
        text = error.text
    assert not text or text.startswith(f"{reader.word}: ")
