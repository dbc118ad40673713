# SPDX-License-Identifier: Apache-2.0
"""``xlvs plan``: what a reload with this file would change, in words."""

from __future__ import annotations

import argparse
import sys

FAILURE = 1
NO_ANSWER = 255


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A file as xlvsd reads it."""
    parser.add_argument("file", help="a keepalived.conf")
    parser.add_argument("--config-id", metavar="ID", help="what @ID lines are compared with")


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 and what would change, 1 the file is refused, 255 no answer."""
    from xlvs.client import from_environment
    from xlvs.config.keepalived.places import ConfigurationError
    from xlvs.io.config_files import read_configuration
    from xlvs.model.problem import Problem

    try:
        wanted = read_configuration(args.file, args.config_id)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return FAILURE
    try:
        changes = from_environment().plan(wanted)
    except Problem as problem:
        print(f"xlvs plan: {problem.message}", file=sys.stderr)
        return NO_ANSWER
    for each in changes:
        print(each)
    if not changes:
        print("nothing changes")
    return 0
