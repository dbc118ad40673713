# SPDX-License-Identifier: Apache-2.0
"""``xlvs apply``: make what a file says so, now."""

from __future__ import annotations

import argparse

from xlvs.cli.commands import files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A file, and how much of it."""
    files.add_arguments(parser)
    parser.add_argument(
        "--services-only",
        action="store_true",
        help="virtual services, real servers and time-outs; no checks, VRRP, sync or programs",
    )


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 and what has changed, 1 refused and nothing has changed, 255 no answer."""
    return files.run(
        args,
        "xlvs apply",
        lambda client, wanted: client.apply(wanted, services_only=args.services_only),
    )
