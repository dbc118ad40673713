# SPDX-License-Identifier: Apache-2.0
"""``xlvs list``: lists of clients, which services allow or deny."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING

from xlvs.cli import given
from xlvs.cli.attempt import attempt
from xlvs.cli.output import add_output, print_json, wants_json

if TYPE_CHECKING:
    from xlvs.model.problem import Problem

_PLACE = re.compile(r"/prefixes/(\d+)$")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Five verbs."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    show = verbs.add_parser("show", help="all lists, or the prefixes of one")
    show.add_argument("name", nargs="?", metavar="NAME")
    add_output(show)
    for verb, text in (
        ("add", "prefixes more; without a list of that name, it is made"),
        ("remove", "prefixes less"),
    ):
        each = verbs.add_parser(verb, help=text)
        each.add_argument("name", metavar="NAME")
        each.add_argument("prefixes", nargs="+", metavar="PREFIX", help="192.0.2.0/24, 2001:db8::1")
    load = verbs.add_parser("load", help="what a file says in the place of what there is")
    load.add_argument("name", metavar="NAME")
    load.add_argument(
        "file",
        metavar="FILE",
        help="a prefix in each line, # begins a comment; - for standard input",
    )
    delete = verbs.add_parser("delete", help="a list that no service names")
    delete.add_argument("name", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 refused or no answer, 2 wrong words."""
    verbs = {"show": _show, "add": _change, "remove": _change, "load": _load, "delete": _delete}
    return attempt("list", args, verbs[args.verb])


def _show(args: argparse.Namespace) -> int:
    from xlvs.client import from_environment

    client = from_environment()
    if args.name is not None:
        found = client.client_list(args.name).value
        if wants_json(args):
            print_json(found)
        else:
            sys.stdout.writelines(f"{each}\n" for each in found.prefixes)
        return 0
    lists = client.lists()
    if wants_json(args):
        print_json(lists)
    elif lists.lists:
        width = max(map(len, lists.lists))
        for name, count in sorted(lists.lists.items()):
            print(f"{name:<{width}}  {count}")
    else:
        print("no lists: xlvs list add NAME 192.0.2.0/24 makes one")
    return 0


def _change(args: argparse.Namespace) -> int:
    from xlvs.client import from_environment
    from xlvs.model.edit import ChangeList

    field = "add" if args.verb == "add" else "remove"
    edit = ChangeList(name=args.name, **{field: tuple(args.prefixes)})
    from_environment().edit([edit])
    return 0


def _load(args: argparse.Namespace) -> int:
    from xlvs.client import from_environment
    from xlvs.model.client_list import words
    from xlvs.model.problem import Problem

    lines = list(words(given.text(args.file)))
    try:
        written = from_environment().put_list(args.name, [text for _, text in lines])
    except Problem as problem:
        raise _placed(problem, given.title(args.file), lines) from problem
    print(f"{len(lines)} prefixes" + ("" if written.changed else ", as before"))
    return 0


def _placed(problem: Problem, file: str, lines: list[tuple[int, str]]) -> Problem:
    """With the line of the file that a refusal is about."""
    from xlvs.model.problem import Problem

    found = _PLACE.search(problem.where)
    if found is None:
        return problem
    line, _ = lines[int(found[1])]
    return Problem(problem.code, f"{file}:{line}: {problem.message}; nothing was changed")


def _delete(args: argparse.Namespace) -> int:
    from xlvs.client import from_environment

    from_environment().delete_list(args.name)
    return 0
