# SPDX-License-Identifier: Apache-2.0
"""Programs on interfaces: XDP by a pinned link, TC by filters on the clsact qdisc.

What is attached is written in the folder ``links`` beside the maps, so that
anyone can find and undo it later, without the daemon:

``<interface>-xdp``     the pinned link
``<interface>-tc``      a mark that filters are ours
``<interface>-clsact``  a mark that the qdisc is ours too

Every change is one step for packets: a link's program or a filter's program is
exchanged, never taken off first.

Answers of real servers on the director itself are seen on the way out only. XDP has
nothing there, so on every hook it is a filter on egress. All that is sent passes it,
so it is attached only while there is such a server.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from xlvs.datapath import libbpf, pins
from xlvs.datapath.filters import has_filters
from xlvs.datapath.problems import DataPathProblem, explained
from xlvs.model.problem import Code

HOOKS = ("xdp", "xdp-generic", "tc")
XDP_PROGRAM = "xlvs_xdp"
TC_PROGRAMS = {libbpf.TC_INGRESS: "xlvs_tc_ingress", libbpf.TC_EGRESS: "xlvs_tc_egress"}
TC_SIDES = {libbpf.TC_INGRESS: "ingress", libbpf.TC_EGRESS: "egress"}
TC_HANDLE = 1
TC_PRIORITY = 1

_XDP_FLAGS = {"xdp": libbpf.XDP_FLAGS_DRV_MODE, "xdp-generic": libbpf.XDP_FLAGS_SKB_MODE}
_PROGRAM_NAME_AT = 64  # struct bpf_prog_info.name
_NAME_BYTES = 16
_LINK_IFINDEX_AT = 16  # struct bpf_link_info.xdp.ifindex
_QUIET = (errno.ENODEV, errno.ENOENT, errno.EINVAL, errno.ENXIO)  # already gone


class Attachment(NamedTuple):
    """A hook that runs our program; ``ifindex`` in this network namespace.

    ``egress``: what is sent passes our filter too.
    """

    ifname: str
    ifindex: int
    hook: str
    egress: bool


def attach(
    links: Path, ifname: str, hook: str, programs: Mapping[str, int], *, egress: bool
) -> None:
    """Run the programs on an interface, instead of what ran there before.

    Raises DataPathProblem: no such interface or hook, hook taken, driver without XDP.
    """
    if hook not in HOOKS:
        raise DataPathProblem(
            Code.INVALID, f"no such hook: {hook}; choose one of {', '.join(HOOKS)}", hook
        )
    ifindex = interface_index(ifname)
    fresh = ifname not in recorded(links)
    try:
        # Answers leave by egress; it must be there before the first packet comes in.
        if egress:
            attach_egress(links, ifname, programs)
        with explained(f"attaching to {ifname} by {hook}", ifname):
            if hook == "tc":
                _attach_tc(links, ifname, ifindex, programs, libbpf.TC_INGRESS)
                _detach_xdp(links, ifname)
            else:
                _attach_xdp(links, ifname, ifindex, hook, programs[XDP_PROGRAM])
                _detach_tc(links, ifname, (libbpf.TC_INGRESS,))
    except DataPathProblem:
        if fresh:
            detach(links, ifname)
        raise
    if not egress:
        detach_egress(links, ifname)


def attach_egress(links: Path, ifname: str, programs: Mapping[str, int]) -> None:
    """Let what an interface sends pass our filter. Raises DataPathProblem."""
    ifindex = interface_index(ifname)
    with explained(f"attaching to egress of {ifname}", ifname):
        _attach_tc(links, ifname, ifindex, programs, libbpf.TC_EGRESS)


def detach_egress(links: Path, ifname: str) -> None:
    """Take our filter off what an interface sends; fine if there is none or it is gone."""
    with explained(f"detaching from egress of {ifname}", ifname):
        _detach_tc(links, ifname, (libbpf.TC_EGRESS,))


def detach(links: Path, ifname: str) -> None:
    """Take our programs off an interface; fine if there are none or it is gone."""
    with explained(f"detaching from {ifname}", ifname):
        _detach_xdp(links, ifname)
        _detach_tc(links, ifname, tuple(TC_PROGRAMS))


def attachments(links: Path) -> list[Attachment]:
    """What is attached and alive, by interface."""
    found = []
    for name in pins.names(links):
        ifname, _, kind = name.rpartition("-")
        ifname = _unescaped(ifname)
        ifindex = _index(ifname)
        if not ifindex:
            continue
        if kind == "xdp" and _link_ifindex(links / name) == ifindex:
            hook = _xdp_mode(ifindex)
        elif kind == "tc" and _tc_is_ours(ifindex, libbpf.TC_INGRESS):
            hook = "tc"
        else:
            continue
        egress = _tc_is_ours(ifindex, libbpf.TC_EGRESS)
        found.append(Attachment(ifname, ifindex, hook, egress))
    return sorted(found)


def recorded(links: Path) -> list[str]:
    """Interfaces that have, or had before they went, a program of ours."""
    return sorted({_unescaped(name.rpartition("-")[0]) for name in pins.names(links)})


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


def _attach_xdp(links: Path, ifname: str, ifindex: int, hook: str, program: int) -> None:
    path = links / f"{_escaped(ifname)}-xdp"
    if path.exists():
        if _link_ifindex(path) == ifindex and _xdp_mode(ifindex) == hook:
            link = libbpf.get(str(path))
            try:
                libbpf.link_update(link, program)
            finally:
                os.close(link)
            return
        # Another mode cannot run beside this one: the kernel wants it off first.
        _detach_xdp(links, ifname)
    link = libbpf.xdp_link(program, ifindex, _XDP_FLAGS[hook])
    try:
        libbpf.pin(link, str(path))
    finally:
        os.close(link)


def _detach_xdp(links: Path, ifname: str) -> None:
    path = links / f"{_escaped(ifname)}-xdp"
    if not path.exists():
        return
    link = libbpf.get(str(path))
    try:
        libbpf.link_detach(link)
    except OSError as error:
        if error.errno not in _QUIET:
            raise
    finally:
        os.close(link)
        path.unlink(missing_ok=True)


def _link_ifindex(path: Path) -> int:
    """The interface of a pinned link, 0 if it is gone."""
    link = libbpf.get(str(path))
    try:
        return int(struct.unpack_from("=I", libbpf.info(link), _LINK_IFINDEX_AT)[0])
    finally:
        os.close(link)


def _xdp_mode(ifindex: int) -> str:
    native, _ = libbpf.xdp_query(ifindex)
    return "xdp" if native else "xdp-generic"


def _attach_tc(
    links: Path, ifname: str, ifindex: int, programs: Mapping[str, int], point: int
) -> None:
    mark = _escaped(ifname)
    program = programs[TC_PROGRAMS[point]]
    if libbpf.tc_query(ifindex, point, TC_HANDLE, TC_PRIORITY) and not _tc_is_ours(ifindex, point):
        side = TC_SIDES[point]
        raise DataPathProblem(
            Code.INTERNAL,
            f"attaching to {side} of {ifname}: another program holds the hook: remove its filter "
            f"with handle {TC_HANDLE} and priority {TC_PRIORITY} "
            f"(tc filter show dev {ifname} {side})",
            ifname,
        )
    # Marks come first: a filter without a mark would never be found again.
    if libbpf.tc_hook_create(ifindex):
        pins.replace(program, links / f"{mark}-clsact")
    pins.replace(program, links / f"{mark}-tc")
    libbpf.tc_attach(ifindex, point, program, TC_HANDLE, TC_PRIORITY)


def _detach_tc(links: Path, ifname: str, points: tuple[int, ...]) -> None:
    """With our last filter go the marks, and the qdisc if it is ours and nobody else's."""
    mark = links / f"{_escaped(ifname)}-tc"
    qdisc = links / f"{_escaped(ifname)}-clsact"
    if not mark.exists() and not qdisc.exists():
        return
    ifindex = _index(ifname)
    try:
        ours = {point for point in TC_PROGRAMS if ifindex and _tc_is_ours(ifindex, point)}
        for point in ours.intersection(points):
            libbpf.tc_detach(ifindex, point, TC_HANDLE, TC_PRIORITY)
        if ours.difference(points):
            return
        if ifindex and qdisc.exists() and not has_filters(ifindex):
            libbpf.tc_hook_destroy(ifindex)
    except OSError as error:
        if error.errno not in _QUIET:
            raise
    mark.unlink(missing_ok=True)
    qdisc.unlink(missing_ok=True)


def _tc_is_ours(ifindex: int, point: int) -> bool:
    program_id = libbpf.tc_query(ifindex, point, TC_HANDLE, TC_PRIORITY)
    if not program_id:
        return False
    try:
        program = libbpf.program_by_id(program_id)
    except FileNotFoundError:
        return False
    try:
        raw = libbpf.info(program)
    finally:
        os.close(program)
    name = raw[_PROGRAM_NAME_AT : _PROGRAM_NAME_AT + _NAME_BYTES].rstrip(b"\0").decode()
    return name in TC_PROGRAMS.values()


def _escaped(ifname: str) -> str:
    """An interface's name as bpffs allows it: no dots."""
    return ifname.replace("%", "%25").replace(".", "%2e")


def _unescaped(name: str) -> str:
    return name.replace("%2e", ".").replace("%25", "%")
