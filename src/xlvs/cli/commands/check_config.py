# SPDX-License-Identifier: Apache-2.0
"""``xlvs check-config``: whether a keepalived.conf can be used; needs no daemon, no privilege."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xlvs.cli.output import add_output, print_json, wants_json

if TYPE_CHECKING:
    from xlvs.model.configuration import Configuration
    from xlvs.model.problem import Problem

FAILURE = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file."""
    parser.add_argument("file", metavar="FILE", help="a keepalived.conf")
    parser.add_argument(
        "--config-id",
        default=None,
        metavar="ID",
        help="which @ID lines count (default: the first part of the host's name)",
    )
    add_output(parser, "what was found")


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 it can be used, 1 it cannot: standard error says why."""
    from xlvs.config.keepalived.places import ConfigurationError
    from xlvs.io.config_files import read_configuration

    try:
        found = read_configuration(args.file, args.config_id)
    except ConfigurationError as error:
        if wants_json(args):
            _print_json(args.file, error.problems, ())
            return FAILURE
        for each in error.problems:
            print(f"{each.where}: {each.message}", file=sys.stderr)
        count = len(error.problems)
        print(f"{args.file}: {_count(count, 'problem')}", file=sys.stderr)
        return FAILURE
    if wants_json(args):
        _print_json(args.file, (), found.remarks)
        return 0
    for remark in found.remarks:
        print(remark)
    print(f"{args.file} can be used: {summary(found)}")
    return 0


def _print_json(file: str, problems: Sequence[Problem], remarks: Sequence[str]) -> None:
    from xlvs.wire.messages import ErrorBody
    from xlvs.wire.planning import ConfigurationCheck

    told = [ErrorBody(code=p.code.value, message=p.message, where=p.where) for p in problems]
    print_json(
        ConfigurationCheck(file=file, usable=not problems, problems=told, remarks=list(remarks))
    )


def summary(found: Configuration) -> str:
    """What a configuration has, in a few words."""
    servers = sum(len(each.real_servers) for each in found.services)
    counts = {
        "virtual service": len(found.services),
        "real server": servers,
        "VRRP instance": len(found.instances),
        "sync group": len(found.groups),
        "script": len(found.scripts),
        "BFD session": len(found.bfds),
    }
    said = [_count(count, what) for what, count in counts.items() if count]
    if found.remarks:
        said.append(_count(len(found.remarks), "remark"))
    return ", ".join(said) or "nothing"


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
