# SPDX-License-Identifier: Apache-2.0
"""TC programs by filters on the clsact qdisc, for kernels without tcx (before 6.6).

A filter stays without being pinned. That it is ours says its program's name; that an
interface has or had any says a mark in the folder ``links``:

``<interface>-tc``      a mark that filters are ours
``<interface>-clsact``  a mark that the qdisc is ours too
"""

from __future__ import annotations

import os
from pathlib import Path

from xlvs.datapath import libbpf, links, pins
from xlvs.datapath.filters import has_filters
from xlvs.datapath.points import POINTS, PROGRAMS, SIDES
from xlvs.datapath.problems import DataPathProblem
from xlvs.model.problem import Code

HANDLE = 1
PRIORITY = 1

_PROGRAM_NAME_AT = 64  # struct bpf_prog_info.name
_NAME_BYTES = 16


def attach(folder: Path, ifname: str, ifindex: int, point: int, program: int) -> None:
    """Attach a filter, or exchange its program. Raises OSError, DataPathProblem if taken."""
    if libbpf.tc_query(ifindex, point, HANDLE, PRIORITY) and not runs(ifindex, point):
        side = SIDES[point]
        raise DataPathProblem(
            Code.INTERNAL,
            f"attaching to {side} of {ifname}: another program holds the hook: remove its filter "
            f"with handle {HANDLE} and priority {PRIORITY} "
            f"(tc filter show dev {ifname} {side})",
            ifname,
        )
    # Marks come first: a filter without a mark would never be found again.
    if libbpf.tc_hook_create(ifindex):
        pins.replace(program, links.path(folder, ifname, "clsact"))
    pins.replace(program, links.path(folder, ifname, "tc"))
    libbpf.tc_attach(ifindex, point, program, HANDLE, PRIORITY)


def detach(folder: Path, ifname: str, ifindex: int, point: int) -> None:
    """Remove our filter; fine if there is none or the interface is gone (index 0).

    With the last one go the marks, and the qdisc if it is ours and nobody else's.
    """
    mark = links.path(folder, ifname, "tc")
    qdisc = links.path(folder, ifname, "clsact")
    if not mark.exists() and not qdisc.exists():
        return
    try:
        ours = {each for each in POINTS if ifindex and runs(ifindex, each)}
        if point in ours:
            libbpf.tc_detach(ifindex, point, HANDLE, PRIORITY)
        if ours - {point}:
            return
        if ifindex and qdisc.exists() and not has_filters(ifindex):
            libbpf.tc_hook_destroy(ifindex)
    except OSError as error:
        if error.errno not in links.GONE:
            raise
    mark.unlink(missing_ok=True)
    qdisc.unlink(missing_ok=True)


def runs(ifindex: int, point: int) -> bool:
    """Whether the filter with our handle and priority runs a program of ours."""
    program_id = libbpf.tc_query(ifindex, point, HANDLE, PRIORITY)
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
    return name in PROGRAMS.values()
