# SPDX-License-Identifier: Apache-2.0
"""``xlvs realserver … --un-fullnat``: the whole host sees the clients of FULLNAT."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from xlvs.model.problem import Code, Problem
from xlvs.realserver import state

if TYPE_CHECKING:
    from xlvs.realserver.client_address.findings import Findings
    from xlvs.realserver.un_fullnat.change import UnChanger
    from xlvs.realserver.un_fullnat.wanted import UnWanted
    from xlvs.wire.realserver import UnFullnat


def add_arguments(
    up: argparse.ArgumentParser, down: argparse.ArgumentParser, check: argparse.ArgumentParser
) -> None:
    """Options of the three verbs."""
    up.add_argument(
        "--un-fullnat",
        action="store_true",
        help="with --client-address: the kernel sees the client, too, with ss, firewall and logs:"
        " packets that come in by --interface are changed, and answers go back there",
    )
    up.add_argument(
        "--mark",
        type=int,
        metavar="MARK",
        help="with --un-fullnat: the mark of those packets and connections (default 22614)",
    )
    down.add_argument(
        "--un-fullnat",
        action="store_true",
        help="no longer show the kernel the client: connections that were shown so end",
    )
    check.add_argument(
        "--un-fullnat", action="store_true", help="look at showing the kernel the client"
    )


def refuse_stray(args: argparse.Namespace) -> None:
    """Options that mean nothing alone. Raises Problem."""
    if args.verb != "up":
        return
    if args.un_fullnat and not args.client_address:
        raise Problem(Code.INVALID, "--un-fullnat belongs to --client-address", "--un-fullnat")
    if args.mark is not None and not args.un_fullnat:
        raise Problem(Code.INVALID, "--mark belongs to --un-fullnat", "--mark")
    if args.un_fullnat and args.interface and len(args.interface) != 1:
        raise Problem(
            Code.INVALID,
            "answers go back by one interface: --un-fullnat wants one --interface",
            "--interface",
        )


def refuse(args: argparse.Namespace, default_interface: str) -> None:
    """What :func:`up` would refuse, before anything else is changed. Raises Problem."""
    asked = _asked(args, default_interface)
    with _changer() as changer:
        changer.check(asked)


def up(args: argparse.Namespace, default_interface: str) -> None:
    """Set up, and say what is seen. Raises Problem."""
    asked = _asked(args, default_interface)
    with _changer() as changer:
        changer.up(asked)
    print(
        f"new connections that come in by {asked.interface} from"
        f" {', '.join(asked.told.believed)} are seen as the client's by this host; their answers,"
        f" with mark {asked.mark}, go back by {asked.interface}"
    )


def _asked(args: argparse.Namespace, default_interface: str) -> UnWanted:
    from xlvs.realserver.client_address.wanted import DEFAULT_KIND
    from xlvs.realserver.client_address.wanted import wanted as told
    from xlvs.realserver.un_fullnat.wanted import wanted

    interface = args.interface[0] if args.interface else default_interface
    kind = DEFAULT_KIND if args.toa_kind is None else args.toa_kind
    return wanted(interface, told(args.believed, kind), args.mark)


@contextmanager
def _changer() -> Iterator[UnChanger]:
    from xlvs.realserver.host import LinuxHost
    from xlvs.realserver.un_fullnat.change import UnChanger
    from xlvs.realserver.un_fullnat.programs import EbpfPrograms
    from xlvs.realserver.un_fullnat.routing import LinuxRouting

    with LinuxHost() as host, LinuxRouting() as routing:
        yield UnChanger(host, routing, EbpfPrograms(host), state.here())


def down() -> list[str]:
    """Take it back; the interface where it was."""
    if state.here().load().un_fullnat is None:
        return []
    with _changer() as changer:
        what = changer.down()
    return [what.interface] if what else []


def check() -> tuple[list[UnFullnat], Findings]:
    """What is seen, and what is wrong with it; nothing where nothing was set up."""
    from xlvs.realserver.client_address.findings import Findings
    from xlvs.realserver.host import LinuxHost
    from xlvs.realserver.un_fullnat.findings import findings
    from xlvs.realserver.un_fullnat.programs import EbpfPrograms
    from xlvs.realserver.un_fullnat.routing import LinuxRouting
    from xlvs.wire.realserver import UnFullnat

    what = state.here().load().un_fullnat
    if what is None:
        return [], Findings([], [])
    with LinuxHost() as host, LinuxRouting() as routing:
        programs = EbpfPrograms(host)
        kept = programs.kept(what.maps)
        found = findings(host, routing, programs, what, kept)
    if kept is None:
        return [], found
    seen = UnFullnat(
        interface=what.interface,
        mark=what.mark,
        believed=list(kept.told.believed),
        kind=kept.told.kind,
        connections=kept.counts,
    )
    return [seen], found


def title(seen: UnFullnat) -> str:
    """What works, in a few words."""
    return f"this host sees clients on {seen.interface} from {', '.join(seen.believed)}"


def counted(seen: UnFullnat) -> str:
    """Its connections, on one line."""
    count = seen.connections
    return (
        f"clients on {seen.interface}: {count['shown']} connections shown as the client's;"
        f" {count['without']} without the option, {count['collisions']} in each other's way"
    )
