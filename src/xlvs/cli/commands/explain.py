# SPDX-License-Identifier: Apache-2.0
"""``xlvs explain``: what would happen to this packet, without its being sent."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from xlvs.cli.attempt import attempt
from xlvs.cli.output import add_output, print_json, wants_json

if TYPE_CHECKING:
    from xlvs.model.service import Address
    from xlvs.wire.explanation import ExplainRequest

_ERRORS = ("host-unreachable", "port-unreachable", "too-big", "ttl-exceeded")
_PROTOCOLS = ("tcp", "udp", "sctp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The packet."""
    which = parser.add_mutually_exclusive_group(required=True)
    for name in _PROTOCOLS:
        which.add_argument(
            f"--{name}",
            nargs=2,
            metavar=("CLIENT[:PORT]", "VIP:PORT"),
            help=f"a {name.upper()} packet from one to the other",
        )
    parser.add_argument(
        "--flags",
        default="S",
        metavar="LETTERS",
        help="TCP: of S, A, F, R (default: S); SCTP: S stands for INIT, A for DATA",
    )
    parser.add_argument(
        "--error",
        default="",
        choices=_ERRORS,
        help="not the packet comes in but this ICMP error about it, to its source",
    )
    parser.add_argument(
        "--sender", metavar="ADDRESS", help="of the error; default: the packet's destination"
    )
    parser.add_argument("--interface", default="", metavar="NAME", help="where it comes in")
    parser.add_argument(
        "--hook", default="", choices=("xdp", "tc"), help="default: what is attached there"
    )
    parser.add_argument("--length", type=int, default=0, metavar="BYTES", help="with the IP header")
    parser.add_argument(
        "--mark", type=_number, default=0, metavar="N", help="that an earlier program set (tc)"
    )
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 explained, 1 no answer or no explanation, 2 wrong words."""
    return attempt("explain", args, _explain)


def _explain(args: argparse.Namespace) -> int:
    from xlvs.client import from_environment
    from xlvs.engine.explanation import text

    found = from_environment().explain(request(args))
    if wants_json(args):
        print_json(found)
    else:
        print(text(found))
    return 0


def request(args: argparse.Namespace) -> ExplainRequest:
    """The packet of the command line. Raises Problem."""
    from xlvs.model.problem import Code, Problem
    from xlvs.model.service import Protocol
    from xlvs.wire.explanation import ExplainRequest

    name = next(each for each in _PROTOCOLS if getattr(args, each))
    source, source_port = endpoint(getattr(args, name)[0])
    destination, port = endpoint(getattr(args, name)[1])
    if port is None:
        raise Problem(Code.INVALID, f"{getattr(args, name)[1]}: a port is missing (VIP:PORT)")
    return ExplainRequest(
        protocol=Protocol(name),
        source=source,
        source_port=source_port,
        destination=destination,
        destination_port=port,
        flags=args.flags.upper(),
        interface=args.interface,
        hook=args.hook,
        length=args.length,
        mark=args.mark,
        error=args.error,
        sender=endpoint(args.sender)[0] if args.sender else None,
    )


def endpoint(text: str) -> tuple[Address, int | None]:
    """``10.0.0.1``, ``10.0.0.1:80``, ``fd00::1`` or ``[fd00::1]:80``. Raises Problem."""
    from ipaddress import IPv6Address, ip_address

    from xlvs.model.problem import Code, Problem
    from xlvs.wire.endpoint import PORT_MAX, port_number

    host, port = text, ""
    if text.startswith("["):
        host, bracket, behind = text[1:].partition("]")
        if not bracket or (behind and not behind.startswith(":")):
            raise Problem(Code.INVALID, f"{text}: not ADDRESS or ADDRESS:PORT")
        port = behind[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address = ip_address(host)
    except ValueError:
        raise Problem(Code.INVALID, f"{text}: {host!r} is no address") from None
    if isinstance(address, IPv6Address) and address.scope_id:
        raise Problem(Code.INVALID, f"{text}: an address without a zone")
    has_port = text.endswith(":") or bool(port)
    if not has_port:
        return address, None
    number = port_number(port)
    if number is None:
        raise Problem(Code.INVALID, f"{text}: {port!r} is no port, 0 to {PORT_MAX}")
    return address, number


def _number(text: str) -> int:
    return int(text, 0)
