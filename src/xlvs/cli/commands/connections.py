# SPDX-License-Identifier: Apache-2.0
"""``xlvs connections``: the connection table by a filter: listed, counted, closed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

from xlvs.cli import completing
from xlvs.cli.completing import Words, completed
from xlvs.cli.output import add_output, print_json, wants_json
from xlvs.client import Client, from_environment
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Method, Protocol
from xlvs.wire.connections import (
    CLOSE_MAX,
    PAGE_MAX,
    CloseRequest,
    CloseResult,
    ConnectionFilterText,
    CountQuery,
)
from xlvs.wire.filtering import refuse_empty
from xlvs.wire.messages import ConnectionView

REFUSED = 1
NO_ANSWER = 255
LINES = 1024
"""Lines that leave at once: there may be ten million connections."""

_FIELDS = (
    ("service", "SERVICE", "of this service, such as tcp/10.0.0.1:80, udp/[fd00::1]:53 or fwm/7"),
    ("destination", "SERVER", "of this real server: address, network, address:port or :port"),
    ("client", "CLIENT", "of this client: address, network, address:port or :port"),
    ("virtual", "VIP", "to this virtual address: address, network, address:port or :port"),
    ("protocol", "WORDS", "tcp, udp, sctp, fwm (templates of marks); with commas between"),
    ("state", "WORDS", "such as ESTABLISHED,SYN_RECV"),
    ("method", "WORDS", "nat, dr, tun, fullnat; with commas between"),
)
_COMPLETED: dict[str, Words] = {
    "service": completing.services,
    "destination": completing.destination_ends,
    "virtual": completing.virtual_ends,
    "protocol": lambda _: map(str, Protocol),
    "method": lambda _: map(str, Method),
}
_TOP: dict[str, Literal["client", "service", "destination"]] = {
    "clients": "client",
    "services": "service",
    "destinations": "destination",
}
_TOP_LINES = 10
_ROW = "{:<5} {:<11} {:>7} {:<21} {:<21} {:<21} {}\n"
_HEAD = ("proto", "state", "expires", "client", "virtual", "destination", "method")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A filter, and what to do with what fits."""
    wanted = parser.add_argument_group("which connections; all that is said has to fit")
    for name, metavar, text in _FIELDS:
        action = wanted.add_argument(f"--{name}", default="", metavar=metavar, help=text)
        if name in _COMPLETED:
            completed(action, _COMPLETED[name])
    wanted.add_argument(
        "--templates",
        choices=("with", "without", "only"),
        default="with",
        help="what becomes of persistence's templates (default: with)",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--count", action="store_true", help="only how many there are")
    what.add_argument("--top", choices=tuple(_TOP), help="who has most of them")
    what.add_argument("--close", action="store_true", help="end them")
    parser.add_argument(
        "--limit", type=_limit, metavar="N", help=f"at most so many (--top: default {_TOP_LINES})"
    )
    parser.add_argument("--yes", action="store_true", help="--close: do not ask")
    add_forget(parser)
    add_output(parser, "as the API gives it; of connections one object on each line")


def add_forget(parser: argparse.ArgumentParser) -> None:
    """How connections are closed."""
    parser.add_argument(
        "--forget",
        action="store_true",
        help="close without a word to the two ends of TCP, at once (default: both get a reset "
        "when they send something within two minutes)",
    )


def _limit(text: str) -> int:
    digits = text.isascii() and text.isdecimal() and len(text) <= len(str(CLOSE_MAX))
    if not digits or not 0 < int(text) <= CLOSE_MAX:
        raise argparse.ArgumentTypeError(f"wants a number from 1 to {CLOSE_MAX}, not {text!r}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 refused, 255 no answer."""
    fields = ConnectionFilterText.__struct_fields__
    words: dict[str, Any] = {name: getattr(args, name) for name in fields}
    try:
        client = from_environment()
        if args.close:
            return _close(client, words, args)
        if args.count or args.top:
            _count(client, words, args)
        else:
            _list(client, ConnectionFilterText(**words), args)
    except Problem as problem:
        print(f"xlvs connections: {problem.message}", file=sys.stderr)
        return NO_ANSWER if problem.code is Code.INTERNAL else REFUSED
    return 0


def _list(client: Client, wanted: ConnectionFilterText, args: argparse.Namespace) -> None:
    if wants_json(args):
        blocks = client.connection_blocks(wanted)
        lines: Iterator[str] = (
            f"{line.decode()}\n" for block in blocks for line in block.splitlines()
        )
    else:
        sys.stdout.write(_ROW.format(*_HEAD))
        lines = map(_row, client.connections(wanted))
    for some in _some(islice(lines, args.limit)):
        sys.stdout.write(some)


def _some(lines: Iterator[str]) -> Iterator[str]:
    """Many lines as one text: a pipe is written to seldom."""
    while text := "".join(islice(lines, LINES)):
        yield text


def _row(view: ConnectionView) -> str:
    local = "" if view.local is None else f" from {_end(view.local, view.local_port)}"
    data = f" {view.persistence_engine} {view.persistence_data}" * bool(view.persistence_engine)
    return _ROW.format(
        view.protocol.value,
        view.state,
        view.expires,
        _end(view.client, view.client_port),
        _end(view.virtual, view.virtual_port),
        _end(view.destination, view.destination_port),
        view.method + local + data,
    )


def _end(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _count(client: Client, words: dict[str, Any], args: argparse.Namespace) -> None:
    limit = min(args.limit or _TOP_LINES, PAGE_MAX)
    found = client.count_connections(
        CountQuery(**words, by=_TOP[args.top] if args.top else "", limit=limit)
    )
    if wants_json(args):
        print_json(found)
        return
    if not args.top:
        print(found.connections)
        return
    for each in found.top:
        print(f"{each.connections:>10} {each.name}")
    print(f"{found.connections:>10} in all")
    if found.inexact:
        print(f"{args.top} are too many to count each: numbers may be {found.inexact} too low")


def _close(client: Client, words: dict[str, Any], args: argparse.Namespace) -> int:
    wanted = ConnectionFilterText(**words)
    refuse_empty(wanted)
    count = client.count_connections(CountQuery(**words)).connections
    count = min(count, args.limit or CLOSE_MAX)
    if count and not args.yes and not _agreed(count):
        print("xlvs connections: nothing was closed", file=sys.stderr)
        return REFUSED
    request = CloseRequest(filter=wanted, limit=count or 1, reset=not args.forget)
    found = client.close_connections(request)
    if wants_json(args):
        print_json(found)
    else:
        print(in_words(found))
    return 0


def _agreed(count: int) -> bool:
    if not sys.stdin.isatty():
        message = "nobody is there to be asked: --yes closes without a question"
        raise Problem(Code.INVALID, message, "--yes")
    some = "1 connection" if count == 1 else f"{count} connections"
    try:
        return input(f"Close {some}? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False


def in_words(found: CloseResult) -> str:
    """What became of connections."""
    said = []
    if found.reset:
        said.append(f"{found.reset} closed: both ends get a reset when they send something")
    if found.ended:
        said.append(f"{found.ended} ended")
    if found.gone:
        said.append(f"{found.gone} had ended already")
    if found.contended:
        said.append(f"{found.contended} were too busy: try again")
    if found.more:
        said.append("there are more")
    return "; ".join(said) or "no connection fits"
