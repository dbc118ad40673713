# SPDX-License-Identifier: Apache-2.0
"""``xlvs connection close``: end one connection."""

from __future__ import annotations

import argparse
import sys

from xlvs.cli import completing
from xlvs.cli.commands.connections import NO_ANSWER, REFUSED, add_forget, in_words
from xlvs.cli.completing import completed
from xlvs.cli.output import add_output, print_json, wants_json
from xlvs.client import from_environment
from xlvs.model.problem import Code, Problem
from xlvs.model.words import host_port
from xlvs.wire.connections import CloseRequest, ConnectionFilterText
from xlvs.wire.endpoint import endpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``close``."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="close")
    close = verbs.add_parser(
        "close",
        help="end it",
        description="End one connection. Several: xlvs connections --close.",
    )
    close.add_argument("client", metavar="CLIENT:PORT", help="where it comes from")
    completed(
        close.add_argument(
            "virtual", metavar="VIP:PORT", help="where its client thinks that it goes"
        ),
        completing.virtual_ends,
    )
    close.add_argument(
        "--protocol", choices=("tcp", "udp", "sctp"), default="tcp", help="(default: tcp)"
    )
    add_forget(close)
    add_output(close)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 closed, 1 refused or not there, 255 no answer."""
    try:
        wanted = ConnectionFilterText(
            client=host_port(*endpoint(args.client)),
            virtual=host_port(*endpoint(args.virtual)),
            protocol=args.protocol,
            templates="without",
        )
        request = CloseRequest(filter=wanted, limit=1, reset=not args.forget)
        found = from_environment().close_connections(request)
    except Problem as problem:
        print(f"xlvs connection close: {problem.message}", file=sys.stderr)
        return NO_ANSWER if problem.code is Code.INTERNAL else REFUSED
    if wants_json(args):
        print_json(found)
    else:
        print(in_words(found))
    return 0 if found.reset or found.ended else REFUSED
