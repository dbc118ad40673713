# SPDX-License-Identifier: Apache-2.0
"""A command's work, and what is said and returned where it is refused."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from xlvs.model.problem import Code, Problem

FAILURE = 1
USAGE_ERROR = 2


def attempt(
    command: str,
    args: argparse.Namespace,
    work: Callable[[argparse.Namespace], int],
    *,
    word: bool = False,
) -> int:
    """The work's exit status; 1: refused or no answer, 2: wrong words, said on standard error.

    ``word``: a refusal names the word of the command line that it is about.
    """
    from xlvs.io.paths import paths  # noqa: PLC0415 - a shell that completes words has no use for it

    try:
        paths(args.instance)  # a bad name is told as such
        return work(args)
    except Problem as problem:
        # A pointer into the request is the API's word, not the command line's.
        about = f"{problem.where}: " if word and problem.where[:1] not in ("", "/") else ""
        print(f"xlvs {command}: {about}{problem.message}", file=sys.stderr)
        return USAGE_ERROR if problem.code is Code.INVALID else FAILURE
