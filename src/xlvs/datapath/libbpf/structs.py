# SPDX-License-Identifier: Apache-2.0
"""libbpf's option structs (bpf.h, libbpf.h of libbpf 1.1), as far as we use them.

libbpf takes a struct of any version: its first field says how long it is.
"""

from __future__ import annotations

import ctypes

u32 = ctypes.c_uint32
ptr = ctypes.c_void_p
_int, _size, _text = ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p


class _Options(ctypes.Structure):
    """A libbpf options struct: its first field is its size."""

    def __init__(self, **fields: object) -> None:
        super().__init__(sz=ctypes.sizeof(self), **fields)


class OpenOptions(_Options):
    """struct bpf_object_open_opts."""

    _fields_ = (
        ("sz", _size),
        ("object_name", _text),
        ("relaxed_maps", ctypes.c_bool),
        ("pin_root_path", _text),
        ("gap", u32),
        ("kconfig", _text),
        ("btf_custom_path", _text),
        ("kernel_log_buf", ptr),
        ("kernel_log_size", _size),
        ("kernel_log_level", u32),
    )


class MapOptions(_Options):
    """struct bpf_map_create_opts."""

    _fields_ = (
        ("sz", _size),
        ("btf_fd", u32),
        ("btf_key_type_id", u32),
        ("btf_value_type_id", u32),
        ("btf_vmlinux_value_type_id", u32),
        ("inner_map_fd", u32),
        ("map_flags", u32),
        ("map_extra", ctypes.c_uint64),
        ("numa_node", u32),
        ("map_ifindex", u32),
    )


class BatchOptions(_Options):
    """struct bpf_map_batch_opts."""

    _fields_ = (("sz", _size), ("elem_flags", ctypes.c_uint64), ("flags", ctypes.c_uint64))


class LinkOptions(_Options):
    """struct bpf_link_create_opts."""

    _fields_ = (
        ("sz", _size),
        ("flags", u32),
        ("iter_info", ptr),
        ("iter_info_len", u32),
        ("target_btf_id", u32),
        ("rest", ctypes.c_uint64 * 5),
    )


class XdpQuery(_Options):
    """struct bpf_xdp_query_opts."""

    _fields_ = (
        ("sz", _size),
        ("prog_id", u32),
        ("drv_prog_id", u32),
        ("hw_prog_id", u32),
        ("skb_prog_id", u32),
        ("attach_mode", ctypes.c_uint8),
    )


class TcHook(_Options):
    """struct bpf_tc_hook."""

    _fields_ = (("sz", _size), ("ifindex", _int), ("attach_point", _int), ("parent", u32))


class TcOptions(_Options):
    """struct bpf_tc_opts."""

    _fields_ = (
        ("sz", _size),
        ("prog_fd", _int),
        ("flags", u32),
        ("prog_id", u32),
        ("handle", u32),
        ("priority", u32),
    )


class TestRunOptions(_Options):
    """struct bpf_test_run_opts."""

    _fields_ = (
        ("sz", _size),
        ("data_in", ptr),
        ("data_out", ptr),
        ("data_size_in", u32),
        ("data_size_out", u32),
        ("ctx_in", ptr),
        ("ctx_out", ptr),
        ("ctx_size_in", u32),
        ("ctx_size_out", u32),
        ("retval", u32),
        ("repeat", _int),
        ("duration", u32),
        ("flags", u32),
        ("cpu", u32),
        ("batch_size", u32),
    )
