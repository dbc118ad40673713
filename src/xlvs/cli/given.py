# SPDX-License-Identifier: Apache-2.0
"""A file that a command is given; ``-``: standard input."""

from __future__ import annotations

import sys

from xlvs.model.problem import Code, Problem

STANDARD_INPUT = "-"


def title(file: str) -> str:
    """How messages call it."""
    return "standard input" if file == STANDARD_INPUT else file


def text(file: str) -> str:
    """What it says; what is no UTF-8 in it is replaced. Raises Problem."""
    try:
        if file == STANDARD_INPUT:
            return sys.stdin.buffer.read().decode(errors="replace")
        with open(file, encoding="utf-8", errors="replace") as opened:
            return opened.read()
    except OSError as error:
        raise Problem(Code.INTERNAL, f"{file}: {error.strerror}") from error
