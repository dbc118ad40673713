# SPDX-License-Identifier: Apache-2.0
"""``xlvs demo``: the main job in a lab of its own, from beginning to end."""

from __future__ import annotations

import argparse
import sys

ACTS = ("nat", "dr", "tun", "fullnat", "flood", "kill")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to show, and how."""
    parser.add_argument(
        "acts",
        nargs="*",
        metavar="ACT",
        default=ACTS,
        help=f"show only these: {', '.join(ACTS)} (default: all)",
    )
    parser.add_argument("--fast", action="store_true", help="no pauses")
    parser.add_argument(
        "--hook",
        choices=("tc", "xdp", "xdp-generic"),
        default="tc",
        help="where the director takes packets (default tc)",
    )


def run(args: argparse.Namespace) -> int:
    """Exit code: 0 if everything was as promised."""
    from xlvs.lab.demo.play import play
    from xlvs.lab.demo.show import Show
    from xlvs.lab.lab import Interrupted
    from xlvs.lab.problem import LabError

    unknown = [act for act in args.acts if act not in ACTS]
    if unknown:
        print(f"xlvs demo: no act {unknown[0]}: there are {', '.join(ACTS)}", file=sys.stderr)
        return 2
    try:
        return play(Show(fast=args.fast), args.hook, args.acts)
    except LabError as problem:
        print(f"xlvs demo: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print("\nxlvs demo: interrupted; everything is removed", file=sys.stderr)
        return stop.status if isinstance(stop, Interrupted) else 130
