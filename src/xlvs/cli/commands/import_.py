# SPDX-License-Identifier: Apache-2.0
"""``xlvs import``: an ldirectord.cf as a keepalived.conf, on standard output."""

from __future__ import annotations

import argparse
import sys

FAILURE = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file."""
    parser.add_argument("file", metavar="FILE", help="an ldirectord.cf")


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 written, 1 refused; remarks and problems go to standard error."""
    from xlvs.config.keepalived.places import ConfigurationError
    from xlvs.config.ldirectord import convert
    from xlvs.io.config_files import read_file

    try:
        text = read_file(args.file).decode(errors="replace")
    except OSError as error:
        print(f"{args.file} cannot be read: {error.strerror or error}", file=sys.stderr)
        return FAILURE
    try:
        found = convert(text, args.file)
    except ConfigurationError as error:
        for each in error.problems:
            print(f"{each.where}: {each.message}", file=sys.stderr)
        return FAILURE
    for remark in found.remarks:
        print(remark, file=sys.stderr)
    print(found.text, end="")
    return 0
