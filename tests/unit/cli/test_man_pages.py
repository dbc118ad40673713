# SPDX-License-Identifier: Apache-2.0
"""The man pages tell every option and command that there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from xlvs.cli.ipvsadm.options import OPTIONS
from xlvs.cli.main import COMMANDS
from xlvs.cli.xlvsd import parser

PAGES = Path(__file__).parents[3] / "packaging" / "man"


def told(page: str) -> set[str]:
    """The options that a page lists, without the first hyphen."""
    lines = (PAGES / page).read_text().splitlines()
    listed = [line.removeprefix(".It ") for line in lines if line.startswith(".It Fl ")]
    assert listed
    # What follows the last flag are arguments: "Fl s , Fl -scheduler Ar name".
    heads = [re.split(r" (?:Ar|Cm|Op|Ns)\b", line)[0] for line in listed]
    return {word for head in heads for word in head.split()} - {"Fl", ","}


def test_ipvsadm() -> None:
    names = {f"-{option.name}" for option in OPTIONS}
    letters = {option.letter for option in OPTIONS if option.letter}
    assert told("ipvsadm.8") == names | letters


def test_xlvsd() -> None:
    known = {word[1:] for action in parser()._actions for word in action.option_strings}
    assert told("xlvsd.8") == known


def test_xlvs() -> None:
    text = (PAGES / "xlvs.8").read_text()
    assert set(re.findall(r"^\.It Cm ([\w-]+)$", text, re.MULTILINE)) == set(COMMANDS)
