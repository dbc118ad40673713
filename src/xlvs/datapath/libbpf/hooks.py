# SPDX-License-Identifier: Apache-2.0
"""Programs on interfaces and cgroups: XDP, tcx and cgroup links, TC filters; iterators."""

from __future__ import annotations

import ctypes
import errno
import os

from xlvs.datapath.libbpf.calls import call
from xlvs.datapath.libbpf.structs import LinkOptions, TcHook, TcOptions, XdpQuery

TC_INGRESS = 1
TC_EGRESS = 2
XDP_FLAGS_SKB_MODE = 2
XDP_FLAGS_DRV_MODE = 4

_BPF_XDP = 37  # enum bpf_attach_type
_BPF_TCX = {TC_INGRESS: 46, TC_EGRESS: 47}
_BPF_TRACE_ITER = 28
_BPF_TC_F_REPLACE = 1

CGROUP_SOCK_OPS = 3
CGROUP_INET4_GETPEERNAME = 29
CGROUP_INET6_GETPEERNAME = 30


def xdp_link(program: int, ifindex: int, flags: int) -> int:
    """Attach an XDP program; the link's descriptor."""
    options = LinkOptions(flags=flags)
    return call("bpf_link_create", program, ifindex, _BPF_XDP, ctypes.byref(options))


def tcx_link(program: int, ifindex: int, point: int) -> int:
    """Attach a TC program behind the tcx programs that are there; the link's descriptor.

    libbpf 1.1 hands on a type of attachment that it does not know yet, without options.
    Raises OSError EINVAL if it is the kernel that does not know it (before 6.6).
    """
    return call("bpf_link_create", program, ifindex, _BPF_TCX[point], None)


def cgroup_link(program: int, cgroup: int, point: int) -> int:
    """Attach a program to a cgroup (its folder's descriptor) beside others; the descriptor."""
    return call("bpf_link_create", program, cgroup, point, None)


def iterate(program: int) -> bytes:
    """Run an iterator over what the calling thread's namespace has; what it wrote."""
    link = call("bpf_link_create", program, 0, _BPF_TRACE_ITER, None)
    try:
        with os.fdopen(call("bpf_iter_create", link), "rb") as walk:
            return walk.read()
    finally:
        os.close(link)


def link_update(link: int, program: int) -> None:
    """Exchange a link's program in one step."""
    call("bpf_link_update", link, program, None)


def link_detach(link: int) -> None:
    """Take a link off its hook, whoever else holds it."""
    call("bpf_link_detach", link)


def xdp_query(ifindex: int) -> tuple[int, int]:
    """Ids of the native and the generic XDP program of an interface, 0 if none."""
    query = XdpQuery()
    call("bpf_xdp_query", ifindex, 0, ctypes.byref(query))
    # One program alone is reported by mode: 1 driver, 2 generic (XDP_ATTACHED_*).
    native = query.drv_prog_id or (query.prog_id if query.attach_mode == 1 else 0)
    generic = query.skb_prog_id or (query.prog_id if query.attach_mode == 2 else 0)  # noqa: PLR2004
    return native, generic


def tc_hook_create(ifindex: int) -> bool:
    """Make the clsact qdisc; False if it was there."""
    hook = TcHook(ifindex=ifindex, attach_point=TC_INGRESS | TC_EGRESS)
    try:
        call("bpf_tc_hook_create", ctypes.byref(hook))
    except FileExistsError:
        return False
    return True


def tc_hook_destroy(ifindex: int) -> None:
    """Remove the clsact qdisc with every filter on it."""
    hook = TcHook(ifindex=ifindex, attach_point=TC_INGRESS | TC_EGRESS)
    call("bpf_tc_hook_destroy", ctypes.byref(hook))


def tc_attach(ifindex: int, point: int, program: int, handle: int, priority: int) -> None:
    """Attach a direct-action filter, or exchange its program in one step."""
    hook = TcHook(ifindex=ifindex, attach_point=point)
    options = TcOptions(prog_fd=program, flags=_BPF_TC_F_REPLACE, handle=handle, priority=priority)
    call("bpf_tc_attach", ctypes.byref(hook), ctypes.byref(options))


def tc_detach(ifindex: int, point: int, handle: int, priority: int) -> None:
    """Remove one filter."""
    hook = TcHook(ifindex=ifindex, attach_point=point)
    options = TcOptions(handle=handle, priority=priority)
    call("bpf_tc_detach", ctypes.byref(hook), ctypes.byref(options))


def tc_query(ifindex: int, point: int, handle: int, priority: int) -> int:
    """Id of the filter's program, 0 if there is no such filter."""
    hook = TcHook(ifindex=ifindex, attach_point=point)
    options = TcOptions(handle=handle, priority=priority)
    try:
        call("bpf_tc_query", ctypes.byref(hook), ctypes.byref(options))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL):  # no filter; no qdisc
            return 0
        raise
    return int(options.prog_id)
