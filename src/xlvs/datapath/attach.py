# SPDX-License-Identifier: Apache-2.0
"""Programs on interfaces: XDP by a link, TC by a link too where the kernel has tcx.

What is attached is written in the folder ``links`` beside the maps, so that
anyone can find and undo it later, without the daemon:

``<interface>-xdp``                            the pinned link
``<interface>-ingress``, ``<interface>-egress``  those of TC (tcx.py)
``<interface>-tc``, ``<interface>-clsact``       marks of TC without tcx (clsact.py)

Every change is one step for packets: a link's program or a filter's program is
exchanged, never taken off first. Where one thing follows another, the new one comes
first. Packets that meet both take no harm: one that the first sends on or drops never
comes to the second, one that it passes is passed again.

Answers of real servers on the director itself are seen on the way out only. XDP has
nothing there, so on every hook it is a TC program on egress. All that is sent passes it,
so it is attached only while there is such a server.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from xlvs.datapath import clsact, libbpf, links, tcx
from xlvs.datapath.points import POINTS, PROGRAMS
from xlvs.datapath.problems import DataPathProblem, explained
from xlvs.datapath.programs import ANSWERS_PROGRAM, XDP_PROGRAM
from xlvs.model.problem import Code

HOOKS = ("xdp", "xdp-generic", "tc")

_XDP_FLAGS = {"xdp": libbpf.XDP_FLAGS_DRV_MODE, "xdp-generic": libbpf.XDP_FLAGS_SKB_MODE}


class Attachment(NamedTuple):
    """A hook that runs our program; ``ifindex`` in this network namespace.

    ``egress``: what is sent passes our program too.
    """

    ifname: str
    ifindex: int
    hook: str
    egress: bool


def attach(
    folder: Path,
    ifname: str,
    hook: str,
    programs: Mapping[str, int],
    *,
    egress: bool,
    answers: bool = False,
) -> None:
    """Run the programs on an interface, instead of what ran there before.

    ``answers``: there are clients on the director itself, or services with SYN proxy. XDP
    passes what it cannot do for them, and a TC program behind it does it.
    Raises DataPathProblem: no such interface or hook, hook taken, driver without XDP.
    """
    if hook not in HOOKS:
        raise DataPathProblem(
            Code.INVALID, f"no such hook: {hook}; choose one of {', '.join(HOOKS)}", hook
        )
    ifindex = interface_index(ifname)
    fresh = ifname not in recorded(folder)
    try:
        # Answers leave by egress; it must be there before the first packet comes in.
        if egress:
            attach_egress(folder, ifname, programs)
        with explained(f"attaching to {ifname} by {hook}", ifname):
            if hook == "tc":
                program = programs[PROGRAMS[libbpf.TC_INGRESS]]
                _attach_tc(folder, ifname, ifindex, program, libbpf.TC_INGRESS)
                links.take_off(_xdp(folder, ifname))
            else:
                _attach_xdp(folder, ifname, ifindex, hook, programs[XDP_PROGRAM])
                if answers:
                    program = programs[ANSWERS_PROGRAM]
                    _attach_tc(folder, ifname, ifindex, program, libbpf.TC_INGRESS)
                else:
                    _detach_tc(folder, ifname, libbpf.TC_INGRESS)
    except DataPathProblem:
        if fresh:
            detach(folder, ifname)
        raise
    if not egress:
        detach_egress(folder, ifname)


def attach_egress(folder: Path, ifname: str, programs: Mapping[str, int]) -> None:
    """Let what an interface sends pass our program. Raises DataPathProblem."""
    ifindex = interface_index(ifname)
    with explained(f"attaching to egress of {ifname}", ifname):
        program = programs[PROGRAMS[libbpf.TC_EGRESS]]
        _attach_tc(folder, ifname, ifindex, program, libbpf.TC_EGRESS)


def put_answers(folder: Path, ifname: str, programs: Mapping[str, int], *, on: bool) -> None:
    """Let what XDP passes meet our program on TC, or not any more. Raises DataPathProblem."""
    with explained(f"attaching behind XDP of {ifname}", ifname):
        if on:
            program = programs[ANSWERS_PROGRAM]
            _attach_tc(folder, ifname, interface_index(ifname), program, libbpf.TC_INGRESS)
        else:
            _detach_tc(folder, ifname, libbpf.TC_INGRESS)


def detach_egress(folder: Path, ifname: str) -> None:
    """Take our program off what an interface sends; fine if there is none or it is gone."""
    with explained(f"detaching from egress of {ifname}", ifname):
        _detach_tc(folder, ifname, libbpf.TC_EGRESS)


def detach(folder: Path, ifname: str) -> None:
    """Take our programs off an interface; fine if there are none or it is gone."""
    with explained(f"detaching from {ifname}", ifname):
        links.take_off(_xdp(folder, ifname))
        for point in POINTS:
            _detach_tc(folder, ifname, point)


def attachments(folder: Path) -> list[Attachment]:
    """What is attached and alive, by interface."""
    found = []
    for ifname in recorded(folder):
        ifindex = _index(ifname)
        if not ifindex:
            continue
        if links.alive(_xdp(folder, ifname), ifindex):
            hook = _xdp_mode(ifindex)
        elif _runs_tc(folder, ifname, ifindex, libbpf.TC_INGRESS):
            hook = "tc"
        else:
            continue
        egress = _runs_tc(folder, ifname, ifindex, libbpf.TC_EGRESS)
        found.append(Attachment(ifname, ifindex, hook, egress))
    return found


def recorded(folder: Path) -> list[str]:
    """Interfaces that have, or had before they went, a program of ours."""
    return links.interfaces(folder)


def interface_index(ifname: str) -> int:
    """The interface's index in this network namespace. Raises DataPathProblem."""
    ifindex = _index(ifname)
    if not ifindex:
        raise DataPathProblem(
            Code.INVALID,
            f"there is no interface {ifname} in this network namespace: "
            "name one that exists (ip link)",
            ifname,
        )
    return ifindex


def _index(ifname: str) -> int:
    """The interface's index, 0 if it is not there."""
    try:
        return socket.if_nametoindex(ifname)
    except OSError:
        return 0


def _xdp(folder: Path, ifname: str) -> Path:
    return links.path(folder, ifname, "xdp")


def _attach_xdp(folder: Path, ifname: str, ifindex: int, hook: str, program: int) -> None:
    link = _xdp(folder, ifname)
    if links.alive(link, ifindex) and _xdp_mode(ifindex) != hook:
        # Another mode cannot run beside this one: the kernel wants it off first.
        links.take_off(link)
    if not links.exchange(link, ifindex, program):
        links.keep(libbpf.xdp_link(program, ifindex, _XDP_FLAGS[hook]), link)


def _xdp_mode(ifindex: int) -> str:
    native, _ = libbpf.xdp_query(ifindex)
    return "xdp" if native else "xdp-generic"


def _attach_tc(folder: Path, ifname: str, ifindex: int, program: int, point: int) -> None:
    if tcx.attach(folder, ifname, ifindex, point, program):
        # One that was attached before there was tcx in this program.
        clsact.detach(folder, ifname, ifindex, point)
    else:
        clsact.attach(folder, ifname, ifindex, point, program)


def _detach_tc(folder: Path, ifname: str, point: int) -> None:
    tcx.detach(folder, ifname, point)
    clsact.detach(folder, ifname, _index(ifname), point)


def _runs_tc(folder: Path, ifname: str, ifindex: int, point: int) -> bool:
    return tcx.runs(folder, ifname, ifindex, point) or clsact.runs(ifindex, point)
