# SPDX-License-Identifier: Apache-2.0
"""``xlvs destination``: take a real server out of service without cutting its clients off."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable

from xlvs.cli import completing, duration
from xlvs.cli.output import add_output, print_json, wants_json
from xlvs.client import Client, from_environment
from xlvs.model.drain import DRAIN_MAX
from xlvs.model.edit import AnyEdit, DrainDestination, UndrainDestination
from xlvs.model.problem import Code, Problem
from xlvs.model.service import DestinationKey, Protocol, ServiceKey
from xlvs.model.words import host_port, key_title
from xlvs.wire.endpoint import endpoint
from xlvs.wire.messages import DrainView

REFUSED = 1
INTERRUPTED = 130
NO_ANSWER = 255

STEP = 0.5
"""Seconds between two looks."""

PATIENCE = 15.0
"""Seconds that the daemon may be away, for a restart."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``drain`` and ``undrain``."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="drain|undrain")
    drain = verbs.add_parser(
        "drain",
        help="no new clients, wait for the others to go",
        description="Set a real server's weight to 0, show how many connections are left, and "
        "end when none is. When the time is over the real server is removed, and the profile "
        "says what becomes of connections that are left. Ctrl-C leaves it draining.",
    )
    undrain = verbs.add_parser(
        "undrain",
        help="give the weight back",
        description="Give a real server back the weight that it had before it was 0.",
    )
    for verb in (drain, undrain):
        names = verb.add_argument(
            "names",
            nargs="*",
            metavar="VIP:PORT RIP:PORT",
            help="the service and the real server; with --fwmark the real server alone",
        )
        completing.completed(names, _ends)
        kind = verb.add_mutually_exclusive_group()
        for protocol in ("tcp", "udp", "sctp"):
            kind.add_argument(
                f"--{protocol}",
                dest="protocol",
                action="store_const",
                const=protocol,
                help=f"the service is {protocol}" + " (default)" * (protocol == "tcp"),
            )
        kind.add_argument("--fwmark", type=_mark, metavar="N", help="the service is this mark")
    drain.add_argument(
        "--for",
        dest="seconds",
        type=_seconds,
        metavar="TIME",
        help="remove the real server after so long, such as 90s, 5m, 1h30m; 0: never "
        "(default: the setting net.xlvs.drain_seconds)",
    )
    drain.add_argument("--detach", action="store_true", help="do not wait")
    drain.add_argument("--list", action="store_true", help="which real servers are drained now")
    add_output(drain, "the list as the API gives it")


def _ends(args: argparse.Namespace) -> Iterable[str]:
    """Services, and after one real servers."""
    named = bool(args.names or args.fwmark)
    return completing.destination_ends(args) if named else completing.virtual_ends(args)


def _mark(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text[:11]) < 1 << 32:
        raise argparse.ArgumentTypeError(f"wants a number from 1 to {2**32 - 1}, not {text!r}")
    return int(text[:11])


def _seconds(text: str) -> int:
    try:
        found = duration.seconds(text)
    except ValueError:
        found = -1
    if not 0 <= found <= DRAIN_MAX:
        raise argparse.ArgumentTypeError(
            f"wants a time such as 90s, 5m or 1h30m, at most {DRAIN_MAX // 86400}d, not {text!r}"
        )
    return found


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 refused or ended by somebody else, 255 no answer."""
    try:
        client = from_environment()
        if args.verb == "drain" and args.list:
            return _list(client, json=wants_json(args))
        service, server = _named(args, client)
        if args.verb == "undrain":
            return _undrain(client, service, server)
        edit = DrainDestination(service=service, destination=server, seconds=args.seconds)
        client.edit([edit])
        return _show(client, service, server, wait=not args.detach)
    except Problem as problem:
        print(f"xlvs destination {args.verb}: {problem.message}", file=sys.stderr)
        return NO_ANSWER if problem.code is Code.INTERNAL else REFUSED


def _named(args: argparse.Namespace, client: Client) -> tuple[ServiceKey, DestinationKey]:
    wanted = 1 if args.fwmark else 2
    if len(args.names) != wanted:
        words = "the real server, RIP:PORT" if args.fwmark else "VIP:PORT and RIP:PORT"
        raise Problem(Code.INVALID, f"wants {words}")
    address, port = endpoint(args.names[-1])
    server = DestinationKey(address=address, port=port)
    if args.fwmark:
        return _marked(client, args.fwmark, server), server
    vip, vip_port = endpoint(args.names[0])
    protocol = Protocol(args.protocol or "tcp")
    return ServiceKey(protocol=protocol, address=vip, port=vip_port), server


def _marked(client: Client, fwmark: int, server: DestinationKey) -> ServiceKey:
    """The mark's service, of IPv4 or IPv6, that has the real server."""
    services = [v for v in client.listing().services if v.service.key.fwmark == fwmark]
    for view in services:
        if any(each.destination.key == server for each in view.destinations):
            return view.service.key
    missing = "No such destination" if services else "No such service"
    raise Problem(Code.NO_SUCH_SERVICE, missing)


def _title(service: ServiceKey, server: DestinationKey) -> str:
    return f"{key_title(service)} {host_port(server.address, server.port)}"


def _undrain(client: Client, service: ServiceKey, server: DestinationKey) -> int:
    edits: list[AnyEdit] = [UndrainDestination(service=service, destination=server)]
    client.edit(edits)
    print(f"{_title(service, server)}: weight {_weight(client, service, server)} again")
    return 0


def _weight(client: Client, service: ServiceKey, server: DestinationKey) -> int | None:
    """The weight now; None: there is no such destination."""
    for view in client.listing().services:
        for each in view.destinations:
            if view.service.key == service and each.destination.key == server:
                return each.destination.weight
    return None


def _find(client: Client, service: ServiceKey, server: DestinationKey) -> DrainView | None:
    for each in client.drains().drains:
        if (each.service, each.destination) == (service, server):
            return each
    return None


def _show(client: Client, service: ServiceKey, server: DestinationKey, *, wait: bool) -> int:
    """Say what goes on until it is over."""
    title = _title(service, server)
    drain = _find(client, service, server)
    if drain is None:
        return _ended(client, service, server, None)
    print(f"{title}: weight 0 (was {drain.weight_before}), {_until(drain)}", flush=True)
    if not wait:
        return 0
    line = _Line()
    try:
        while drain is not None and _left(drain):
            line.show(f"  {_numbers(drain)}{_time_left(drain)}", _numbers(drain))
            last = drain
            time.sleep(STEP)
            drain = _patiently(client, service, server)
        line.end()
    except KeyboardInterrupt:
        line.end()
        print(f"{title}: draining goes on; 'xlvs destination undrain' ends it")
        return INTERRUPTED
    if drain is None:
        return _ended(client, service, server, last)
    print(f"{title}: no connections are left; {_afterwards(drain)}")
    return 0


def _patiently(client: Client, service: ServiceKey, server: DestinationKey) -> DrainView | None:
    """The drain now, also if the daemon is just being restarted."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return _find(client, service, server)
        except Problem:
            if time.monotonic() > deadline:
                raise
        time.sleep(STEP)


def _ended(
    client: Client, service: ServiceKey, server: DestinationKey, last: DrainView | None
) -> int:
    """The drain is gone: its time was over, or somebody ended it."""
    title = _title(service, server)
    weight = _weight(client, service, server)
    if weight is not None:
        print(f"{title}: somebody ended the drain: its weight is {weight}")
        return REFUSED
    if last is None or not last.until or time.time() < last.until:
        print(f"{title}: somebody removed it")
        return REFUSED
    print(f"{title}: the time is over and it is removed; left at the end: {_numbers(last)}")
    return 0


def _left(drain: DrainView) -> int:
    return drain.active + drain.inactive + drain.persistent


def _numbers(drain: DrainView) -> str:
    return f"{drain.active} active, {drain.inactive} inactive, {drain.persistent} persistent"


def _time_left(drain: DrainView) -> str:
    return f", {duration.clock(drain.until - time.time())} left" if drain.until else ""


def _until(drain: DrainView) -> str:
    if not drain.until:
        return "until somebody ends it"
    return f"removed at {time.strftime('%H:%M:%S', time.localtime(drain.until))}"


def _afterwards(drain: DrainView) -> str:
    if not drain.until:
        return "its weight stays 0"
    return f"its weight stays 0, and it is {_until(drain)}"


def _list(client: Client, *, json: bool) -> int:
    found = client.drains()
    if json:
        print_json(found)
        return 0
    if not found.drains:
        print("no real server is being drained")
    for each in found.drains:
        title = _title(each.service, each.destination)
        print(f"{title}: {_numbers(each)}{_time_left(each) or ', ' + _until(each)}")
    return 0


class _Line:
    """One line that is written over on a terminal; elsewhere a new one when numbers change."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._numbers = ""
        self._open = False

    def show(self, text: str, numbers: str) -> None:
        """Write it."""
        if self._terminal:
            print(f"\r\033[K{text}", end="", flush=True)
            self._open = True
        elif numbers != self._numbers:
            print(text, flush=True)
        self._numbers = numbers

    def end(self) -> None:
        """What follows is on a line of its own."""
        if self._open:
            print()
            self._open = False
