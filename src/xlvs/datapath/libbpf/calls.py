# SPDX-License-Identifier: Apache-2.0
"""The library, its functions, and how their errors become OSError."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

SONAME = "libbpf.so.1"

_LOG_BYTES = 16 << 20  # as much as libbpf asks of the verifier at most

_int, u32, _size = ctypes.c_int, ctypes.c_uint32, ctypes.c_size_t
ptr, _text = ctypes.c_void_p, ctypes.c_char_p
PRINT = ctypes.CFUNCTYPE(_int, _int, _text, ptr)
SAMPLE = ctypes.CFUNCTYPE(_int, ptr, ptr, _size)

# name -> (result, arguments); a pointer result of None becomes OSError.
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "libbpf_set_print": (ptr, (PRINT,)),
    "libbpf_num_possible_cpus": (_int, ()),
    "bpf_object__open_file": (ptr, (_text, ptr)),
    "bpf_object__load": (_int, (ptr,)),
    "bpf_object__close": (None, (ptr,)),
    "bpf_object__next_map": (ptr, (ptr, ptr)),
    "bpf_object__next_program": (ptr, (ptr, ptr)),
    "bpf_program__autoload": (ctypes.c_bool, (ptr,)),
    "bpf_program__set_autoload": (_int, (ptr, ctypes.c_bool)),
    "bpf_map__name": (_text, (ptr,)),
    "bpf_map__fd": (_int, (ptr,)),
    "bpf_map__type": (_int, (ptr,)),
    "bpf_map__key_size": (u32, (ptr,)),
    "bpf_map__value_size": (u32, (ptr,)),
    "bpf_map__map_flags": (u32, (ptr,)),
    "bpf_map__pin_path": (_text, (ptr,)),
    "bpf_map__set_max_entries": (_int, (ptr, u32)),
    "bpf_program__name": (_text, (ptr,)),
    "bpf_program__fd": (_int, (ptr,)),
    "bpf_map_create": (_int, (_int, _text, u32, u32, u32, ptr)),
    "bpf_map_get_fd_by_id": (_int, (u32,)),
    "bpf_map_update_elem": (_int, (_int, ptr, ptr, ctypes.c_uint64)),
    "bpf_map_lookup_elem": (_int, (_int, ptr, ptr)),
    "bpf_map_delete_elem": (_int, (_int, ptr)),
    "bpf_map_lookup_batch": (_int, (_int, ptr, ptr, ptr, ptr, ptr, ptr)),
    "bpf_map_update_batch": (_int, (_int, ptr, ptr, ptr, ptr)),
    "bpf_map_delete_batch": (_int, (_int, ptr, ptr, ptr)),
    "bpf_obj_pin": (_int, (_int, _text)),
    "bpf_obj_get": (_int, (_text,)),
    "bpf_prog_get_fd_by_id": (_int, (u32,)),
    "bpf_obj_get_info_by_fd": (_int, (_int, ptr, ptr)),
    "bpf_link_create": (_int, (_int, _int, _int, ptr)),
    "bpf_link_update": (_int, (_int, _int, ptr)),
    "bpf_link_detach": (_int, (_int,)),
    "bpf_iter_create": (_int, (_int,)),
    "bpf_xdp_query": (_int, (_int, _int, ptr)),
    "bpf_tc_hook_create": (_int, (ptr,)),
    "bpf_tc_hook_destroy": (_int, (ptr,)),
    "bpf_tc_attach": (_int, (ptr, ptr)),
    "bpf_tc_detach": (_int, (ptr, ptr)),
    "bpf_tc_query": (_int, (ptr, ptr)),
    "bpf_prog_test_run_opts": (_int, (_int, ptr)),
    "ring_buffer__new": (ptr, (_int, SAMPLE, ptr, ptr)),
    "ring_buffer__consume": (_int, (ptr,)),
    "ring_buffer__epoll_fd": (_int, (ptr,)),
    "ring_buffer__free": (None, (ptr,)),
}


_log: list[str] = []
_log_buffer = mmap.mmap(-1, _LOG_BYTES)  # touched only as far as a message is long


def _keep(level: int, form: bytes, arguments: int) -> int:
    del level
    target = ctypes.c_char.from_buffer(_log_buffer)
    written = libc().vsnprintf(ctypes.byref(target), _LOG_BYTES, form, ptr(arguments))
    _log.append(_log_buffer[: min(max(written, 0), _LOG_BYTES - 1)].decode(errors="replace"))
    return 0


_on_print = PRINT(_keep)


@cache
def libc() -> ctypes.CDLL:
    """The C library that Python itself runs on."""
    return ctypes.CDLL(None, use_errno=True)


@cache
def library() -> ctypes.CDLL:
    """libbpf, its functions' types declared. Raises OSError if it is not installed."""
    loaded = ctypes.CDLL(SONAME, use_errno=True)
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    loaded.libbpf_set_print(_on_print)
    return loaded


def call(name: str, *arguments: object) -> int:
    """Call a function whose negative result is an errno."""
    ctypes.set_errno(0)
    result: int = getattr(library(), name)(*arguments)
    if result < 0:
        # libbpf's functions return -errno, its thin syscall wrappers do as well since 1.0.
        code = -result if result != -1 else ctypes.get_errno() or errno.EPERM
        raise OSError(code, os.strerror(code))
    return result


def pointer(name: str, *arguments: object) -> int:
    """Call a function that returns NULL and sets errno on failure."""
    ctypes.set_errno(0)
    result: int | None = getattr(library(), name)(*arguments)
    if not result:
        code = ctypes.get_errno() or errno.EINVAL
        raise OSError(code, os.strerror(code))
    return result


@contextmanager
def captured_log() -> Iterator[list[str]]:
    """What libbpf and the verifier say within the block, message by message."""
    library()
    _log.clear()
    try:
        yield _log
    finally:
        while len(_log) > 1000:  # noqa: PLR2004  # a bound, not a magic number of the protocol
            _log.pop()


def possible_cpus() -> int:
    """Number of values that a per-CPU map holds for each key."""
    return call("libbpf_num_possible_cpus")
