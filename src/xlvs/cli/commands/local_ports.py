# SPDX-License-Identifier: Apache-2.0
"""``xlvs local-ports``: FULLNAT's local ports, used and free, the fullest first."""

from __future__ import annotations

import argparse
import sys

from xlvs.cli.output import add_output, print_json, wants_json
from xlvs.client import from_environment
from xlvs.io.paths import paths
from xlvs.model.problem import Problem

NO_ANSWER = 255


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """For people or for programs."""
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 listed, 255 no answer."""
    from xlvs.cli.commands.status import console, ports_table, server_ports_table

    try:
        paths(args.instance)  # a bad name is told as such
        found = from_environment().local_ports()
    except Problem as problem:
        print(f"xlvs local-ports: {problem.message}", file=sys.stderr)
        return NO_ANSWER
    if wants_json(args):
        print_json(found)
    elif found.ports:
        console().print(server_ports_table(found.servers))
        console().print(ports_table(found.ports))
    else:
        print("no local ports: they are for real servers with --fullnat")
    return 0
