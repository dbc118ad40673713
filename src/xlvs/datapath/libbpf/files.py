# SPDX-License-Identifier: Apache-2.0
"""Names in bpffs, what the kernel says about a descriptor, and bpffs itself."""

from __future__ import annotations

import ctypes
import os

from xlvs.datapath.libbpf.calls import call, libc
from xlvs.datapath.libbpf.structs import u32

_BPFFS_MAGIC = 0xCAFE4A11
_CLONE_NEWNET = 0x40000000


def pin(fd: int, path: str) -> None:
    """Give a map, program or link a name in bpffs."""
    call("bpf_obj_pin", fd, path.encode())


def get(path: str) -> int:
    """A descriptor of what is pinned at ``path``."""
    return call("bpf_obj_get", path.encode())


def program_by_id(program_id: int) -> int:
    """A descriptor of a loaded program."""
    return call("bpf_prog_get_fd_by_id", program_id)


def info(fd: int, size: int = 256) -> bytes:
    """The kernel's ``bpf_*_info`` of a map, program or link, zero-filled to ``size``."""
    buffer = ctypes.create_string_buffer(size)
    length = u32(size)
    call("bpf_obj_get_info_by_fd", fd, buffer, ctypes.byref(length))
    return buffer.raw


def is_bpffs(path: str) -> bool:
    """Whether the path lies on a bpf file system; False if it does not exist."""
    buffer = ctypes.create_string_buffer(256)
    if libc().statfs(path.encode(), buffer) != 0:
        return False
    kind = ctypes.c_long.from_buffer(buffer).value
    return kind & 0xFFFFFFFF == _BPFFS_MAGIC


def mount_bpffs(path: str) -> None:
    """Mount a bpf file system."""
    ctypes.set_errno(0)
    if libc().mount(b"bpf", path.encode(), b"bpf", 0, None) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def enter_network(fd: int) -> None:
    """Move the calling thread to a network namespace (Python 3.11 has no os.setns)."""
    ctypes.set_errno(0)
    if libc().setns(fd, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
