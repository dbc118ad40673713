# SPDX-License-Identifier: Apache-2.0
"""``xlvs mark``: rules that give packets a firewall mark."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from xlvs.cli import given
from xlvs.cli.attempt import FAILURE, attempt
from xlvs.cli.marks import spelling
from xlvs.cli.output import add_output, print_json, wants_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlvs.model.edit import AnyEdit, DeleteMark
    from xlvs.model.mark import MarkRule

_DIGITS = 9
_HEAD = ("No.", "Mark", "To", "From", "Protocol", "Ports")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Four verbs."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add = verbs.add_parser("add", help="a rule more; the last one that matches decides")
    add.add_argument("mark", help="1, or 0x100/0xff00 for some of the bits")
    spelling.add_words(add)
    add.add_argument(
        "--at", type=int, default=0, metavar="NUMBER", help="its place in the list (default: last)"
    )
    listed = verbs.add_parser("list", help="all rules, in their order")
    add_output(listed)
    delete = verbs.add_parser("delete", help="a rule less, by its number or by its words")
    delete.add_argument(
        "named", nargs="?", help="its number in the list; with other words its mark"
    )
    spelling.add_words(delete)
    delete.add_argument("--all", action="store_true", help="all rules")
    read = verbs.add_parser("import", help="MARK rules of iptables-save or nft list ruleset")
    read.add_argument("file", metavar="FILE", help="the text, - for standard input")
    read.add_argument("--skip", action="store_true", help="take the rest if some are refused")
    read.add_argument("--replace", action="store_true", help="in the place of those there are")
    read.add_argument("--dry-run", action="store_true", help="show what would be added")
    read.add_argument(
        "--ipv6", action="store_true", help="rules of ip6tables, if the text does not say so"
    )


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 refused or no answer, 2 wrong words."""
    verbs = {"add": _add, "list": _list, "delete": _delete, "import": _import}
    return attempt("mark", args, verbs[args.verb], word=True)


def _edit(edits: Sequence[AnyEdit]) -> None:
    from xlvs.client import from_environment

    from_environment().edit(edits)


def _add(args: argparse.Namespace) -> int:
    from xlvs.model.edit import AddMark
    from xlvs.model.problem import Code, Problem

    if not spelling.has_words(args):
        message = "which packets? --to, --from, --protocol, --ipv4 or --ipv6 (--to any: all)"
        raise Problem(Code.INVALID, message, args.mark)
    _edit([AddMark(rule=spelling.rule_of(args.mark, args), number=args.at)])
    return 0


def _delete(args: argparse.Namespace) -> int:
    from xlvs.model.edit import ClearMarks
    from xlvs.model.problem import Code, Problem

    if args.all:
        if args.named or spelling.has_words(args):
            raise Problem(Code.INVALID, "all of them or one of them", "--all")
        _edit([ClearMarks()])
        return 0
    if args.named is None:
        raise Problem(Code.INVALID, "which rule? its number (xlvs mark list) or its words")
    _edit([_named(args)])
    return 0


def _named(args: argparse.Namespace) -> DeleteMark:
    from xlvs.model.edit import DeleteMark
    from xlvs.model.problem import Code, Problem

    if spelling.has_words(args):
        return DeleteMark(rule=spelling.rule_of(args.named, args))
    if not (args.named.isascii() and args.named.isdigit() and len(args.named) <= _DIGITS):
        message = "a rule is named by its number (xlvs mark list) or by the words that added it"
        raise Problem(Code.INVALID, message, args.named)
    return DeleteMark(number=int(args.named))


def _list(args: argparse.Namespace) -> int:
    from xlvs.client import from_environment

    found = from_environment().marks()
    if wants_json(args):
        print_json(found)
    elif found.rules:
        print("\n".join(table(found.rules)))
    else:
        print("no rules: xlvs mark add 1 --to 10.9.0.0/16 adds one")
    return 0


def table(rules: Sequence[MarkRule]) -> list[str]:
    """Lines with a column for each thing that a rule says."""
    rows = [_HEAD]
    for number, rule in enumerate(rules, 1):
        source = spelling.ANY if rule.source is None else str(rule.source)
        rows.append(
            (
                str(number),
                spelling.mark_text(rule),
                spelling.to_text(rule),
                source,
                spelling.protocol_text(rule),
                spelling.ports_text(rule),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _import(args: argparse.Namespace) -> int:
    from xlvs.cli.marks.reading import read
    from xlvs.model.edit import AddMark, ClearMarks

    name = given.title(args.file)
    found = read(given.text(args.file), inet6=args.ipv6)
    for refused in found.refused:
        print(f"{name}:{refused.line}: {refused.word}: {refused.why}", file=sys.stderr)
    if found.refused and not args.skip:
        count = len(found.refused)
        print(
            f"xlvs mark: {count} refused, nothing was changed (--skip takes the rest)",
            file=sys.stderr,
        )
        return FAILURE
    if not found.rules:
        print(f"xlvs mark: no mark rules in {name}, nothing was changed", file=sys.stderr)
        return FAILURE
    if args.dry_run:
        for rule in found.rules:
            print(f"xlvs mark add {spelling.words(rule)}")
        return 0
    edits: list[AnyEdit] = [ClearMarks()] if args.replace else []
    edits += [AddMark(rule=rule) for rule in found.rules]
    _edit(edits)
    print(f"{len(found.rules)} rules added, {len(found.refused)} skipped")
    return 0
