# SPDX-License-Identifier: Apache-2.0
"""``xlvs watch``: what happens at a director, as it happens."""

from __future__ import annotations

import argparse
import sys
import time

from xlvs.cli.output import add_output, print_json, wants_json
from xlvs.wire.events import Event

FAILURE = 255


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """From where on, and for whom."""
    parser.add_argument(
        "--after",
        type=int,
        metavar="ID",
        help="begin after this event; 0: with all that are kept (default: with the next one)",
    )
    add_output(parser, "one object on each line")


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 the daemon has ended, 255 it does not answer."""
    from xlvs.client import from_environment
    from xlvs.model.problem import Problem

    try:
        for event in from_environment().events(args.after):
            if wants_json(args):
                print_json(event)
            else:
                print(line(event))
            sys.stdout.flush()
    except Problem as problem:
        print(f"xlvs watch: {problem.message}", file=sys.stderr)
        return FAILURE
    return 0


def line(event: Event) -> str:
    """An event for people: when, what, about what, by whom."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at))
    about = f"{event.about}: " if event.about and event.about not in event.text else ""
    by = f" (by {event.by})" if event.by else ""
    return f"{at} {event.kind.value:<11} {about}{event.text}{by}"
