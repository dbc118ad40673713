# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of TC on an interface: tcx programs, in their order, and filters.

``tc`` and ``bpftool`` of Debian 12 do not show tcx. Also a command, for other namespaces:
``tc_programs.py INTERFACE ingress|egress``.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys

from xlvs.datapath import libbpf
from xlvs.datapath.libbpf.calls import library

_TCX = {"ingress": 46, "egress": 47}  # enum bpf_attach_type
_MOST = 64


def tcx(ifname: str, side: str) -> list[str]:
    """Names of the tcx programs; none if the kernel has no tcx."""
    return [_name(each) for each in tcx_ids(ifname, side)]


def tcx_ids(ifname: str, side: str) -> list[int]:
    """Ids of the same."""
    ids, count = (ctypes.c_uint32 * _MOST)(), ctypes.c_uint32(_MOST)
    index = socket.if_nametoindex(ifname)
    library().bpf_prog_query(index, _TCX[side], 0, None, ids, ctypes.byref(count))
    return [each for each in ids if each]


def filters(ifname: str, side: str) -> str:
    """Filters as ``tc`` shows them."""
    command = ["tc", "filter", "show", "dev", ifname, side]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _name(program_id: int) -> str:
    program = libbpf.program_by_id(program_id)
    try:
        return libbpf.info(program)[64:80].rstrip(b"\0").decode()
    finally:
        os.close(program)


if __name__ == "__main__":
    sys.stdout.write("\n".join([*tcx(*sys.argv[1:]), filters(*sys.argv[1:])]))
