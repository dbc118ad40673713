# SPDX-License-Identifier: Apache-2.0
"""``xlvs realserver``: arguments in, sentences out. FULLNAT's part: ``client_address``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from xlvs.cli.commands import client_address, un_fullnat
from xlvs.cli.output import add_output, print_json, wants_json
from xlvs.model.problem import Code, Problem
from xlvs.realserver import state
from xlvs.realserver.address import virtual_address

DEFAULT_INTERFACE = "eth0"
_USAGE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``up``, ``down`` and ``check``."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="up|down|check")
    up = verbs.add_parser(
        "up",
        help="take virtual addresses of a director, or tell programs their clients",
        description="Make this host a real server. For dr and tun (--vip, --method): virtual"
        " addresses on lo, which nobody hears of by ARP, and for tun a program that opens the"
        " director's tunnel packets. For fullnat (--client-address): eBPF programs that tell"
        " unmodified servers the client's address in accept() and getpeername().",
    )
    down = verbs.add_parser(
        "down",
        help="restore what was there before",
        description="Give up the virtual addresses (--vip: only these) and telling client"
        " addresses (--client-address: only that), and restore what was there before.",
    )
    check = verbs.add_parser(
        "check",
        help="say what is wrong; exit code 1 if anything is",
        description="Say in words what keeps this real server from answering, or its programs"
        " from knowing their clients. Without --vip and --client-address: all that was set up"
        " here.",
    )
    for verb in (up, down, check):
        verb.add_argument(
            "--vip",
            action="append",
            default=[],
            metavar="ADDRESS",
            help="virtual address, IPv4 or IPv6; may be repeated",
        )
    for verb in (up, check):
        verb.add_argument(
            "--method",
            choices=("dr", "tun"),
            help="forwarding method of the director",
        )
        verb.add_argument(
            "--interface",
            action="append",
            metavar="NAME",
            help=f"where the director's packets come in (default {DEFAULT_INTERFACE});"
            " may be repeated",
        )
    up.add_argument(
        "--hook",
        choices=("auto", "tc", "xdp"),
        default="auto",
        help="where tunnel packets are opened (default auto: tc; on kernels before 6.3 with both"
        " address families xdp, which every driver can, but without GRO)",
    )
    up.add_argument(
        "--tunnel",
        action="append",
        choices=("ipip", "gre", "gue"),
        default=[],
        help="the director's --tun-type (default ipip); may be repeated while it changes",
    )
    up.add_argument(
        "--tunnel-port",
        type=int,
        metavar="PORT",
        help="gue: the director's --tun-port (default 6080)",
    )
    up.add_argument(
        "--clamp-mss",
        default="auto",
        metavar="auto|off|BYTES",
        help="lower the MSS of SYN/ACKs to what the tunnel's headers leave of the MTU, so that"
        " clients send what fits (default auto: the tunnel's headers in the address's family)",
    )
    check.add_argument(
        "--client",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="a client that must be reachable from the virtual address; may be repeated",
    )
    client_address.add_arguments(up, down, check)
    un_fullnat.add_arguments(up, down, check)
    add_output(check, "the same for programs")


def run(args: argparse.Namespace) -> int:
    """Exit code: 0 done or nothing wrong, 1 refused or something wrong, 2 wrong usage."""
    verbs: dict[str, Callable[[argparse.Namespace], int]] = {
        "up": _up,
        "down": _down,
        "check": _check,
    }
    try:
        args.vip = [virtual_address(text) for text in args.vip]
    except Problem as problem:
        return _refuse(args, problem, _USAGE)
    if os.geteuid() != 0:
        return _refuse(args, Problem(Code.NOT_SUPPORTED, "it needs root: run it with sudo"), 1)
    try:
        return verbs[args.verb](args)
    except Problem as problem:
        return _refuse(args, problem, _USAGE if problem.where.startswith("--") else 1)


def _refuse(args: argparse.Namespace, problem: Problem, code: int) -> int:
    print(f"xlvs realserver {args.verb}: {problem.message}", file=sys.stderr)
    return code


def _up(args: argparse.Namespace) -> int:
    client_address.refuse_stray(args)
    un_fullnat.refuse_stray(args)
    if args.un_fullnat:
        un_fullnat.refuse(args, DEFAULT_INTERFACE)
    if not args.client_address or args.vip or args.method:
        if not (args.vip and args.method):
            raise Problem(Code.INVALID, "required: --vip, --method; or --client-address", "--vip")
        _up_vips(args)
    if args.client_address:
        client_address.up(args)
    if args.un_fullnat:
        un_fullnat.up(args, DEFAULT_INTERFACE)
    return 0


def _up_vips(args: argparse.Namespace) -> None:
    from xlvs.realserver.change import Changer
    from xlvs.realserver.decap import EbpfTunnels
    from xlvs.realserver.host import LinuxHost
    from xlvs.realserver.tunnel import tunnel

    if args.method != "tun" and (args.tunnel or args.tunnel_port):
        raise Problem(Code.INVALID, "only --method tun has a tunnel", "--tunnel")
    wanted = tunnel(args.tunnel, args.tunnel_port, args.clamp_mss)
    interfaces = args.interface or [DEFAULT_INTERFACE]
    with LinuxHost() as host:
        record = Changer(host, EbpfTunnels(host, args.hook), state.here()).up(
            args.vip, args.method, interfaces, wanted
        )
    for vip in args.vip:
        how = (
            "IPv6 neighbour discovery does not answer for addresses on lo"
            if ":" in vip
            else f"ARP on {', '.join(interfaces)} does not answer for it"
        )
        print(f"{vip} is on lo; {how}")
    if args.method == "tun":
        for interface in interfaces:
            hook = record.decapsulation[interface].hook
            kinds = ", ".join(
                f"gue to port {wanted.port}" if kind == "gue" else kind for kind in wanted.kinds
            )
            print(f"tunnel packets on {interface} are opened by eBPF ({hook}): {kinds}")


def _down(args: argparse.Namespace) -> int:
    client_address.refuse_stray(args)
    everything = not (args.vip or args.client_address or args.un_fullnat)
    gone: list[str] = []
    left: list[str] = []
    if args.vip or everything:
        gone, left = _down_vips(args.vip)
    # First: who was shown a client by the kernel is not asked for by its programs.
    seen = un_fullnat.down() if args.un_fullnat or args.client_address or everything else []
    told = client_address.down(args) if args.client_address or everything else []
    if gone and left:
        print(f"gave up {', '.join(gone)}; left: {', '.join(left)}")
    elif gone:
        print(f"gave up {', '.join(gone)}; everything is as it was before")
    for interface in seen:
        print(f"this host sees the director's addresses on {interface} again")
    for cgroup in told:
        print(f"programs in {cgroup} see the director's address as the client's again")
    if not (gone or told or seen):
        print("nothing was set up here")
    return 0


def _down_vips(vips: list[str]) -> tuple[list[str], list[str]]:
    """Addresses that were given up, and those that are left."""
    from xlvs.realserver.change import Changer
    from xlvs.realserver.decap import EbpfTunnels
    from xlvs.realserver.host import LinuxHost

    store = state.here()
    before = list(store.load().vips)
    with LinuxHost() as host:
        left = list(Changer(host, EbpfTunnels(host), store).down(vips).vips)
    return [vip for vip in before if vip not in left], left


def _check(args: argparse.Namespace) -> int:
    from xlvs.wire.realserver import RealserverCheck

    client_address.refuse_stray(args)
    fullnat = args.client_address or args.un_fullnat
    vips, problems = _check_vips(args) if args.vip or not fullnat else ({}, [])
    told, found = client_address.check(args)
    seen, about = un_fullnat.check()
    problems += found.problems + about.problems
    notes = found.notes + about.notes
    if not (vips or told or seen or problems):
        raise Problem(Code.INVALID, "nothing was set up here: name the virtual address", "--vip")
    if wants_json(args):
        print_json(
            RealserverCheck(
                methods=vips,
                problems=problems,
                notes=notes,
                client_address=told,
                un_fullnat=seen,
            )
        )
        return 1 if problems else 0
    for sentence in problems:
        print(sentence)
    if not problems:
        ways = [f"{vip} ({method})" for vip, method in vips.items()]
        ways += [client_address.title(each) for each in told]
        ways += [un_fullnat.title(each) for each in seen]
        print(f"nothing wrong: {', '.join(ways)}")
    for each in told:
        print(client_address.counted(each))
    for shown in seen:
        print(un_fullnat.counted(shown))
    for sentence in notes:
        print(f"note: {sentence}")
    return 1 if problems else 0


def _check_vips(args: argparse.Namespace) -> tuple[dict[str, str], list[str]]:
    """Virtual addresses with their methods, and what is wrong."""
    from xlvs.realserver.check import Question, problems
    from xlvs.realserver.decap import EbpfTunnels
    from xlvs.realserver.host import LinuxHost

    record = state.here().load()
    vips = {vip: known.method for vip, known in record.vips.items()}
    if args.vip:
        vips = {vip: args.method or vips.get(vip, "dr") for vip in args.vip}
    if not vips:
        return {}, []
    interfaces = args.interface or list(record.interfaces) or [DEFAULT_INTERFACE]
    with LinuxHost() as host:
        question = Question(vips, interfaces, args.client)
        return vips, problems(host, EbpfTunnels(host), record, question)
