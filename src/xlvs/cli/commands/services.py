# SPDX-License-Identifier: Apache-2.0
"""``xlvs services``: services and their real servers, with what they carry now."""

from __future__ import annotations

import argparse
import sys

from xlvs.cli.output import add_output, print_json, wants_json
from xlvs.client import from_environment
from xlvs.model.problem import Problem

NO_ANSWER = 255


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """For people or for programs."""
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 listed, 255 no answer."""
    from xlvs.cli.commands.status import console, services_table

    try:
        found = from_environment().services()
    except Problem as problem:
        print(f"xlvs services: {problem.message}", file=sys.stderr)
        return NO_ANSWER
    if wants_json(args):
        print_json(found)
    else:
        console().print(services_table(found.services))
    return 0
