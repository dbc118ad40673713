# SPDX-License-Identifier: Apache-2.0
"""``xlvs lab up|down|status|shell``: a small LVS world to play with."""

from __future__ import annotations

import argparse
import sys

_NAME = "lab"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Verbs, and the lab's name for those who want several."""
    parser.add_argument(
        "--name", default=_NAME, metavar="NAME", help="which lab, if there are several"
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="up|down|status|shell")
    up = verbs.add_parser("up", help="build it: clients, a director, real servers with nginx")
    up.add_argument(
        "topology",
        nargs="?",
        default="full",
        metavar="TOPOLOGY",
        help="near (for NAT and DR), far (for TUN and FULLNAT), full (default: both)",
    )
    up.add_argument(
        "--hook",
        choices=("tc", "xdp", "xdp-generic"),
        default="tc",
        help="where the director takes packets (default tc)",
    )
    up.add_argument("--no-xlvsd", action="store_true", help="do not start the director's daemon")
    verbs.add_parser("down", help="remove it, also what a crashed one left")
    verbs.add_parser("status", help="who is there, what runs")
    shell = verbs.add_parser("shell", help="a shell on one of its hosts")
    shell.add_argument("host", nargs="?", default="director", metavar="HOST")
    shell.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND ...")


def run(args: argparse.Namespace) -> int:
    """Exit code: 0 done, 1 refused, 2 wrong usage."""
    from xlvs.lab import play
    from xlvs.lab.problem import LabError

    prefix = f"xlvs-{args.name}"
    try:
        if args.verb == "up":
            play.up(prefix, args.topology, None if args.no_xlvsd else args.hook)
        elif args.verb == "down":
            play.down(prefix)
        elif args.verb == "status":
            return play.status(prefix)
        else:
            return play.shell(prefix, args.host, args.command)
    except LabError as problem:
        print(f"xlvs lab {args.verb}: {problem}", file=sys.stderr)
        return 1
    return 0
