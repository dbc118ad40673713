# SPDX-License-Identifier: Apache-2.0
"""``xlvs realserver … --client-address``: the part of a real server of FULLNAT."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from xlvs.model.problem import Code, Problem
from xlvs.realserver import state

if TYPE_CHECKING:
    from xlvs.realserver.client_address.cgroup import Cgroup
    from xlvs.realserver.client_address.findings import Findings, Listener
    from xlvs.wire.realserver import ClientAddress


def add_arguments(
    up: argparse.ArgumentParser, down: argparse.ArgumentParser, check: argparse.ArgumentParser
) -> None:
    """Options of the three verbs."""
    up.add_argument(
        "--client-address",
        action="store_true",
        help="fullnat: programs on this host are told the client's address, not the director's"
        " local one; again with other options: these count from then on",
    )
    up.add_argument(
        "--from",
        dest="believed",
        action="append",
        default=[],
        metavar="PREFIX,...",
        help="local addresses of the directors, or prefixes of them: who else sends a client's"
        " address is not believed; may be repeated",
    )
    up.add_argument(
        "--toa-kind",
        type=int,
        metavar="KIND",
        help="the TCP option's kind, 252 to 254, as the director has it (default 254)",
    )
    down.add_argument(
        "--client-address", action="store_true", help="no longer tell the client's address"
    )
    check.add_argument(
        "--client-address", action="store_true", help="look at telling the client's address"
    )
    for verb in (up, down, check):
        verb.add_argument(
            "--cgroup",
            metavar="PATH",
            help="only programs of this cgroup (version 2) and those below it are told"
            " (default: all of the machine)",
        )


def refuse_stray(args: argparse.Namespace) -> None:
    """Options that mean nothing without --client-address. Raises Problem."""
    if args.client_address:
        return
    for name in ("believed", "toa_kind", "cgroup"):
        if getattr(args, name, None):
            option = "--from" if name == "believed" else "--" + name.replace("_", "-")
            raise Problem(Code.INVALID, f"{option} belongs to --client-address", option)


def up(args: argparse.Namespace) -> None:
    """Attach, and say what is told to whom. Raises Problem."""
    from xlvs.realserver.client_address import cgroup as cgroups
    from xlvs.realserver.client_address import listeners
    from xlvs.realserver.client_address.agent import Agent
    from xlvs.realserver.client_address.wanted import DEFAULT_KIND, wanted

    asked = wanted(args.believed, DEFAULT_KIND if args.toa_kind is None else args.toa_kind)
    cgroup = cgroups.find(args.cgroup)
    Agent(cgroup).up(asked)
    store = state.here()
    record = store.load()
    if cgroup.path not in record.client_cgroups:
        record.client_cgroups = (*record.client_cgroups, cgroup.path)
        store.save(record)
    print(
        f"programs in {_place(cgroup.path)} are told the client's address (TCP) that"
        f" {', '.join(asked.believed)} give by option {asked.kind}"
    )
    try:
        older = listeners.keep_syns(cgroup)
    except Problem as problem:
        print(
            "listeners that are older than this know clients from the handshake's last packet"
            f" only: {problem.message}"
        )
        return
    if older:
        print(f"SYNs are kept from now on for {older} listeners that are older than this")


def down(args: argparse.Namespace) -> list[str]:
    """Take off what is named, or what was set up here; the cgroups, in words."""
    from xlvs.realserver.client_address.agent import Agent

    store = state.here()
    record = store.load()
    gone = []
    for path in _named(args, record):
        cgroup = _existing(path)
        if cgroup is not None and Agent(cgroup).down():
            gone.append(_place(path))
        record.client_cgroups = tuple(each for each in record.client_cgroups if each != path)
    store.save(record)
    Agent.forget_gone()
    return gone


def check(args: argparse.Namespace) -> tuple[list[ClientAddress], Findings]:
    """What is told in each cgroup that is meant, and what is wrong with it."""
    from xlvs.realserver.client_address import cgroup as cgroups
    from xlvs.realserver.client_address.agent import Agent
    from xlvs.realserver.client_address.findings import Findings, findings, missing
    from xlvs.wire.realserver import ClientAddress

    told, problems, notes = [], [], []
    for path in _named(args, state.here().load()):
        cgroup = _existing(path)
        found = None if cgroup is None else Agent(cgroup).state()
        if cgroup is None:
            problems.append(f"the cgroup {path} is gone: run `xlvs realserver down`, and `up` anew")
        elif found is None:
            others = [_place(cgroups.path_of(number)) for number in Agent.everywhere()]
            problems.append(missing(_place(path), os.uname().release, others))
        else:
            about = findings(_place(path), found, _read, _listeners())
            problems += about.problems
            notes += about.notes
            told.append(
                ClientAddress(
                    cgroup=path,
                    believed=list(found.wanted.believed),
                    kind=found.wanted.kind,
                    connections=found.counts,
                )
            )
    return told, Findings(problems, notes)


def title(told: ClientAddress) -> str:
    """What works, in a few words."""
    return (
        f"client addresses in {_place(told.cgroup)} from {', '.join(told.believed)}"
        f" by option {told.kind}"
    )


def counted(told: ClientAddress) -> str:
    """The connections of a cgroup, on one line."""
    count = told.connections
    return (
        f"clients in {_place(told.cgroup)}: {count['by_syn']} known from the SYN,"
        f" {count['by_ack']} from the handshake's last packet, {count['later']} from a later one;"
        f" {count['without']} without the option, {count['not_believed']} not believed"
    )


def _named(args: argparse.Namespace, record: state.Record) -> list[str]:
    """Paths of cgroups: named, set up here, or the root if --client-address asks for one."""
    from xlvs.realserver.client_address import cgroup as cgroups

    if args.cgroup:
        return [cgroups.find(args.cgroup).path]
    if record.client_cgroups or not args.client_address:
        return list(record.client_cgroups)
    return [cgroups.find(None).path]


def _existing(path: str) -> Cgroup | None:
    from xlvs.realserver.client_address import cgroup as cgroups

    try:
        return cgroups.find(path)
    except Problem:
        return None


def _place(path: str) -> str:
    """The root is not called by where it is mounted."""
    cgroup = _existing(path)
    return "all cgroups" if cgroup is not None and cgroup.root else f"cgroup {path}"


def _read(setting: str) -> str | None:
    try:
        return (Path("/proc/sys") / setting).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _listeners() -> list[Listener]:
    from xlvs.realserver.client_address.findings import parse_listeners

    found = []
    for name in ("tcp", "tcp6"):
        table = Path("/proc/net") / name
        if table.exists():
            found += parse_listeners(table.read_text(encoding="utf-8"))
    return found
