# SPDX-License-Identifier: Apache-2.0
"""Whether an interface has filters, whoever put them there: asked by netlink.

libbpf finds a filter only by its handle. pyroute2 would do, but its calls that wait
cannot be made within an event loop, and the daemon detaches filters there.
"""

from __future__ import annotations

import os
import socket
import struct

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_FILTER = struct.Struct("=BxxxiIII")  # struct tcmsg: family, ifindex, handle, parent, info
_ERROR = struct.Struct("=i")
_RTM_GETTFILTER = 46
_NLM_F_REQUEST_DUMP = 0x301
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_PARENTS = (0xFFFFFFF2, 0xFFFFFFF3)  # ingress and egress of clsact
_BUFFER = 1 << 16


def has_filters(ifindex: int) -> bool:
    """Whether the interface's clsact qdisc has any filter. Raises OSError."""
    return any(_has_filters(ifindex, parent) for parent in _PARENTS)


def _has_filters(ifindex: int, parent: int) -> bool:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as channel:
        length = _HEADER.size + _FILTER.size
        question = _HEADER.pack(length, _RTM_GETTFILTER, _NLM_F_REQUEST_DUMP, 1, 0)
        channel.send(question + _FILTER.pack(0, ifindex, 0, parent, 0))
        answer = channel.recv(_BUFFER)
    kind: int = _HEADER.unpack_from(answer)[1]
    if kind == _NLMSG_ERROR:
        number = -_ERROR.unpack_from(answer, _HEADER.size)[0]
        raise OSError(number, os.strerror(number))
    return kind != _NLMSG_DONE
