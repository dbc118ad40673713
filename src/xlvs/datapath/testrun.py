# SPDX-License-Identifier: Apache-2.0
"""Run a loaded program on a packet without a network (BPF_PROG_TEST_RUN)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from xlvs.datapath import libbpf

_XDP_MD = struct.Struct("=IIIIII")  # data, data_end, data_meta, ingress_ifindex, rx_queue, egress
_SK_BUFF_BYTES = 192  # sizeof(struct __sk_buff)
_SK_BUFF_MARK = 8
_SK_BUFF_INGRESS_IFINDEX = 36
_SK_BUFF_IFINDEX = 40
_SK_BUFF_GSO_SIZE = 176
_GROWTH = 256  # room for what a program may put in front of the packet


class Result(NamedTuple):
    """The verdict, the packet after it, the mean time of one repetition."""

    retval: int
    data_out: bytes
    duration_ns: int


def test_run(
    prog_fd: int,
    data: bytes,
    *,
    repeat: int = 1,
    ctx: bytes | None = None,
    data_size_out: int | None = None,
) -> Result:
    """Run an XDP or TC program on a frame of at least 14 bytes.

    ``repeat`` runs it that often on the same buffer (the packet is not restored
    between). Raises OSError with the kernel's errno.
    """
    room = len(data) + _GROWTH if data_size_out is None else data_size_out
    run = libbpf.test_run(prog_fd, data, ctx, repeat, room)
    return Result(run.retval, run.data_out, run.duration_ns)


def xdp_context(length: int, ifindex: int, rx_queue: int = 0) -> bytes:
    """A struct xdp_md for a frame of that length, received on an interface of this namespace.

    The kernel takes an interface only together with one of its receive queues.
    """
    return _XDP_MD.pack(0, length, 0, ifindex, rx_queue, 0)


def tc_context(ifindex: int, mark: int = 0, gso_size: int = 0) -> bytes:
    """A struct __sk_buff for a frame on an interface of this namespace.

    ``gso_size``: bytes of payload in each packet that a GSO frame stands for, 0: it is one.
    """
    context = bytearray(_SK_BUFF_BYTES)
    struct.pack_into("=I", context, _SK_BUFF_MARK, mark)
    struct.pack_into("=I", context, _SK_BUFF_INGRESS_IFINDEX, 0)
    struct.pack_into("=I", context, _SK_BUFF_IFINDEX, ifindex)
    struct.pack_into("=I", context, _SK_BUFF_GSO_SIZE, gso_size)
    return bytes(context)
