# SPDX-License-Identifier: Apache-2.0
"""Programs on interfaces: XDP by a pinned link, TC by filters on the clsact qdisc.

What is attached is written in the folder ``links`` beside the maps, so that
anyone can find and undo it later, without the daemon:

``<interface>-xdp``     the pinned link
``<interface>-tc``      a mark that filters are ours (XDP interfaces have one on egress)
``<interface>-clsact``  a mark that the qdisc is ours too

Every change is one step for packets: a link's program or a filter's program is
exchanged, never taken off first.
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
from xlvs.datapath.problems import DataPathProblem, explained
from xlvs.model.problem import Code

HOOKS = ("xdp", "xdp-generic", "tc")
XDP_PROGRAM = "xlvs_xdp"
TC_PROGRAMS = {libbpf.TC_INGRESS: "xlvs_tc_ingress", libbpf.TC_EGRESS: "xlvs_tc_egress"}
TC_HANDLE = 1
TC_PRIORITY = 1

_XDP_FLAGS = {"xdp": libbpf.XDP_FLAGS_DRV_MODE, "xdp-generic": libbpf.XDP_FLAGS_SKB_MODE}
_PROGRAM_NAME_AT = 64  # struct bpf_prog_info.name
_NAME_BYTES = 16
_LINK_IFINDEX_AT = 16  # struct bpf_link_info.xdp.ifindex
_QUIET = (errno.ENODEV, errno.ENOENT, errno.EINVAL, errno.ENXIO)  # already gone


class Attachment(NamedTuple):
    """A hook that runs our program; ``ifindex`` in this network namespace."""

    ifname: str
    ifindex: int
    hook: str


def attach(links: Path, ifname: str, hook: str, programs: Mapping[str, int]) -> None:
    """Run the programs on an interface, instead of what ran there before.

    Raises DataPathProblem: no such interface or hook, hook taken, driver without XDP.
    """
    if hook not in HOOKS:
        raise DataPathProblem(
            Code.INVALID, f"no such hook: {hook}; choose one of {', '.join(HOOKS)}", hook
        )
    ifindex = interface_index(ifname)
    with explained(f"attaching to {ifname} by {hook}", ifname):
        if hook == "tc":
            _attach_tc(links, ifname, ifindex, programs, (libbpf.TC_EGRESS, libbpf.TC_INGRESS))
            _detach_xdp(links, ifname)
        else:
            # XDP sees no packet on its way out, so servers on the director itself
            # need the egress filter here too.
            fresh = not (links / f"{_escaped(ifname)}-tc").exists()
            _attach_tc(links, ifname, ifindex, programs, (libbpf.TC_EGRESS,))
            try:
                _attach_xdp(links, ifname, ifindex, hook, programs[XDP_PROGRAM])
            except OSError:
                if fresh:
                    _detach_tc(links, ifname, ifindex)
                raise
            if _tc_is_ours(ifindex, libbpf.TC_INGRESS):
                libbpf.tc_detach(ifindex, libbpf.TC_INGRESS, TC_HANDLE, TC_PRIORITY)


def detach(links: Path, ifname: str) -> None:
    """Take our programs off an interface; fine if there are none or it is gone."""
    with explained(f"detaching from {ifname}", ifname):
        _detach_xdp(links, ifname)
        try:
            ifindex = socket.if_nametoindex(ifname)
        except OSError:
            ifindex = 0
        _detach_tc(links, ifname, ifindex)


def attachments(links: Path) -> list[Attachment]:
    """What is attached and alive, by interface."""
    found = []
    for name in pins.names(links):
        ifname, _, kind = name.rpartition("-")
        ifname = _unescaped(ifname)
        try:
            ifindex = socket.if_nametoindex(ifname)
        except OSError:
            continue
        if kind == "xdp" and _link_ifindex(links / name) == ifindex:
            found.append(Attachment(ifname, ifindex, _xdp_mode(ifindex)))
        elif kind == "tc" and _tc_is_ours(ifindex, libbpf.TC_INGRESS):
            found.append(Attachment(ifname, ifindex, "tc"))
    return sorted(found)


def recorded(links: Path) -> list[str]:
    """Interfaces that have, or had before they went, a program of ours."""
    return sorted({_unescaped(name.rpartition("-")[0]) for name in pins.names(links)})


def interface_index(ifname: str) -> int:
    """The interface's index in this network namespace. Raises DataPathProblem."""
    try:
        return socket.if_nametoindex(ifname)
    except OSError as error:
        raise DataPathProblem(
            Code.INVALID,
            f"there is no interface {ifname} in this network namespace: "
            "name one that exists (ip link)",
            ifname,
        ) from error


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
    links: Path, ifname: str, ifindex: int, programs: Mapping[str, int], points: tuple[int, ...]
) -> None:
    mark = _escaped(ifname)
    ingress = programs[TC_PROGRAMS[libbpf.TC_INGRESS]]
    for point in points:
        if libbpf.tc_query(ifindex, point, TC_HANDLE, TC_PRIORITY) and not _tc_is_ours(
            ifindex, point
        ):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
    # Marks come first: a filter without a mark would never be found again.
    if libbpf.tc_hook_create(ifindex):
        pins.replace(ingress, links / f"{mark}-clsact")
    pins.replace(ingress, links / f"{mark}-tc")
    # Replies leave by egress; it must be there before the first packet comes in.
    for point in points:
        libbpf.tc_attach(ifindex, point, programs[TC_PROGRAMS[point]], TC_HANDLE, TC_PRIORITY)


def _detach_tc(links: Path, ifname: str, ifindex: int) -> None:
    mark = links / f"{_escaped(ifname)}-tc"
    qdisc = links / f"{_escaped(ifname)}-clsact"
    if not mark.exists() and not qdisc.exists():
        return
    if ifindex:
        try:
            for point in TC_PROGRAMS:
                if _tc_is_ours(ifindex, point):
                    libbpf.tc_detach(ifindex, point, TC_HANDLE, TC_PRIORITY)
            if qdisc.exists() and not _filters(ifindex):
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


def _filters(ifindex: int) -> int:
    """Number of filters on an interface's clsact qdisc, whoever put them there."""
    from pyroute2 import IPRoute  # noqa: PLC0415  # slow to import, needed only here

    with IPRoute() as route:
        return sum(
            len(list(route.get_filters(index=ifindex, parent=parent)))
            for parent in (0xFFFFFFF2, 0xFFFFFFF3)  # ingress and egress of clsact
        )


def _escaped(ifname: str) -> str:
    """An interface's name as bpffs allows it: no dots."""
    return ifname.replace("%", "%25").replace(".", "%2e")


def _unescaped(name: str) -> str:
    return name.replace("%2e", ".").replace("%25", "%")
