# SPDX-License-Identifier: Apache-2.0
"""What ``xlvs plan`` and ``xlvs apply`` have in common: a file, and what it changes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from xlvs.cli.output import add_output, print_json, wants_json

if TYPE_CHECKING:
    from xlvs.client import Client
    from xlvs.model.configuration import Configuration

REFUSED = 1
NO_ANSWER = 255


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A file as xlvsd reads it."""
    parser.add_argument("file", help="a keepalived.conf")
    parser.add_argument("--config-id", metavar="ID", help="what @ID lines are compared with")
    add_output(parser)


def run(
    args: argparse.Namespace,
    name: str,
    work: Callable[[Client, Configuration], Sequence[str]],
) -> int:
    """Exit status: 0 and what has or would have changed, 1 refused, 255 no answer."""
    from xlvs.client import from_environment
    from xlvs.config.keepalived.places import ConfigurationError
    from xlvs.io.config_files import read_configuration
    from xlvs.model.problem import Code, Problem
    from xlvs.wire.planning import Plan

    try:
        wanted = read_configuration(args.file, args.config_id)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return REFUSED
    try:
        changes = work(from_environment(), wanted)
    except Problem as problem:
        print(f"{name}: {problem.message}", file=sys.stderr)
        return NO_ANSWER if problem.code is Code.INTERNAL else REFUSED
    if wants_json(args):
        print_json(Plan(changes=list(changes)))
    else:
        print("\n".join(changes) or "nothing changes")
    return 0
