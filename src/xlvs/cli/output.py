# SPDX-License-Identifier: Apache-2.0
"""What commands list: words for people, or the API's own JSON for programs."""

from __future__ import annotations

import argparse

TABLE, JSON = "table", "json"


def add_output(parser: argparse.ArgumentParser, json: str = "as the API gives it") -> None:
    """``-o table``, also of lines and words, and ``-o json``; ``json`` says what that is."""
    parser.add_argument(
        "-o",
        "--output",
        choices=(TABLE, JSON),
        default=TABLE,
        help=f"{TABLE} (default): for people; {JSON}: {json}",
    )
    parser.add_argument(
        "--json", dest="output", action="store_const", const=JSON, help=f"the same as -o {JSON}"
    )


def wants_json(args: argparse.Namespace) -> bool:
    """Whether a program reads it."""
    return bool(args.output == JSON)


def print_json(value: object) -> None:
    """One value of ``xlvs.wire``, on one line."""
    from xlvs.wire import codec  # noqa: PLC0415 - only where it is wanted

    print(codec.encode(value).decode())
