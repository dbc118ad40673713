# SPDX-License-Identifier: Apache-2.0
"""``xlvs pool``: pools of local addresses for FULLNAT."""

from __future__ import annotations

import argparse

from xlvs.cli.attempt import attempt
from xlvs.cli.output import add_output, print_json, wants_json
from xlvs.client import from_environment
from xlvs.model import local_pool
from xlvs.model.edit import AnyEdit, ChangePool, DeletePool, SetPool

_WHICH = "10.2.0.1, 10.2.0.1-10.2.0.9 or 10.2.1.0/28"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Five verbs."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listed = verbs.add_parser("list", help="all pools")
    add_output(listed)
    for verb, words in (
        ("set", "make a pool, or let it have these addresses and no others"),
        ("add", "these addresses as well"),
        ("remove", "these addresses no longer; connections that have them keep them"),
    ):
        below = verbs.add_parser(verb, help=words)
        below.add_argument(
            "name", help=f"'{local_pool.DEFAULT}': of services that name none and have none"
        )
        below.add_argument("addresses", nargs="+", metavar="ADDRESS", help=_WHICH)
    delete = verbs.add_parser("delete", help="a pool that no service names")
    delete.add_argument("name")


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 refused or no answer, 2 wrong words."""
    return attempt("pool", args, _list if args.verb == "list" else _change, word=True)


def _change(args: argparse.Namespace) -> int:
    from_environment().edit([_edit(args)])
    return 0


def _edit(args: argparse.Namespace) -> AnyEdit:
    if args.verb == "delete":
        return DeletePool(name=args.name)
    addresses = local_pool.spelled(word for each in args.addresses for word in each.split(","))
    if args.verb == "set":
        return SetPool(name=args.name, addresses=addresses)
    return ChangePool(**{"name": args.name, args.verb: addresses})


def _list(args: argparse.Namespace) -> int:
    found = from_environment().pools()
    if wants_json(args):
        print_json(found)
    elif found.pools:
        for name, addresses in sorted(found.pools.items()):
            print(f"{name}: {', '.join(map(str, addresses)) or 'empty'}")
    else:
        print("no pools: xlvs pool set default 10.2.0.101-10.2.0.104 makes one")
    return 0
