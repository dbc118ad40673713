# SPDX-License-Identifier: Apache-2.0
"""libbpf 1.x (and the two libc calls that pins need) as Python functions.

The only module that uses ctypes. Every function raises OSError with the
kernel's errno; ``problems`` turns that into a sentence. Not thread-safe where
libbpf is not: load objects from one thread.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

SONAME = "libbpf.so.1"

BPF_ANY = 0
BPF_NOEXIST = 1
BPF_MAP_TYPE_ARRAY = 2
BPF_F_MMAPABLE = 1 << 10
TC_INGRESS = 1
TC_EGRESS = 2
XDP_FLAGS_SKB_MODE = 2
XDP_FLAGS_DRV_MODE = 4

_BPF_XDP = 37  # enum bpf_attach_type
_BPF_TC_F_REPLACE = 1
_BPFFS_MAGIC = 0xCAFE4A11
_LOG_BYTES = 16 << 20  # as much as libbpf asks of the verifier at most

_int, _u32, _size = ctypes.c_int, ctypes.c_uint32, ctypes.c_size_t
_ptr, _text = ctypes.c_void_p, ctypes.c_char_p
_PRINT = ctypes.CFUNCTYPE(_int, _int, _text, _ptr)
_SAMPLE = ctypes.CFUNCTYPE(_int, _ptr, _ptr, _size)

# name -> (result, arguments); a pointer result of None becomes OSError.
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "libbpf_set_print": (_ptr, (_PRINT,)),
    "libbpf_num_possible_cpus": (_int, ()),
    "bpf_object__open_file": (_ptr, (_text, _ptr)),
    "bpf_object__load": (_int, (_ptr,)),
    "bpf_object__close": (None, (_ptr,)),
    "bpf_object__next_map": (_ptr, (_ptr, _ptr)),
    "bpf_object__next_program": (_ptr, (_ptr, _ptr)),
    "bpf_map__name": (_text, (_ptr,)),
    "bpf_map__fd": (_int, (_ptr,)),
    "bpf_map__type": (_int, (_ptr,)),
    "bpf_map__key_size": (_u32, (_ptr,)),
    "bpf_map__value_size": (_u32, (_ptr,)),
    "bpf_map__map_flags": (_u32, (_ptr,)),
    "bpf_map__pin_path": (_text, (_ptr,)),
    "bpf_map__set_max_entries": (_int, (_ptr, _u32)),
    "bpf_program__name": (_text, (_ptr,)),
    "bpf_program__fd": (_int, (_ptr,)),
    "bpf_map_create": (_int, (_int, _text, _u32, _u32, _u32, _ptr)),
    "bpf_map_update_elem": (_int, (_int, _ptr, _ptr, ctypes.c_uint64)),
    "bpf_map_lookup_elem": (_int, (_int, _ptr, _ptr)),
    "bpf_map_delete_elem": (_int, (_int, _ptr)),
    "bpf_map_lookup_batch": (_int, (_int, _ptr, _ptr, _ptr, _ptr, _ptr, _ptr)),
    "bpf_map_update_batch": (_int, (_int, _ptr, _ptr, _ptr, _ptr)),
    "bpf_obj_pin": (_int, (_int, _text)),
    "bpf_obj_get": (_int, (_text,)),
    "bpf_prog_get_fd_by_id": (_int, (_u32,)),
    "bpf_obj_get_info_by_fd": (_int, (_int, _ptr, _ptr)),
    "bpf_link_create": (_int, (_int, _int, _int, _ptr)),
    "bpf_link_update": (_int, (_int, _int, _ptr)),
    "bpf_link_detach": (_int, (_int,)),
    "bpf_xdp_query": (_int, (_int, _int, _ptr)),
    "bpf_tc_hook_create": (_int, (_ptr,)),
    "bpf_tc_hook_destroy": (_int, (_ptr,)),
    "bpf_tc_attach": (_int, (_ptr, _ptr)),
    "bpf_tc_detach": (_int, (_ptr, _ptr)),
    "bpf_tc_query": (_int, (_ptr, _ptr)),
    "bpf_prog_test_run_opts": (_int, (_int, _ptr)),
    "ring_buffer__new": (_ptr, (_int, _SAMPLE, _ptr, _ptr)),
    "ring_buffer__consume": (_int, (_ptr,)),
    "ring_buffer__epoll_fd": (_int, (_ptr,)),
    "ring_buffer__free": (None, (_ptr,)),
}


class _Options(ctypes.Structure):
    """A libbpf options struct: its first field is its size."""

    def __init__(self, **fields: object) -> None:
        super().__init__(sz=ctypes.sizeof(self), **fields)


class _OpenOptions(_Options):
    _fields_ = (
        ("sz", _size),
        ("object_name", _text),
        ("relaxed_maps", ctypes.c_bool),
        ("pin_root_path", _text),
        ("gap", _u32),
        ("kconfig", _text),
        ("btf_custom_path", _text),
        ("kernel_log_buf", _ptr),
        ("kernel_log_size", _size),
        ("kernel_log_level", _u32),
    )


class _MapOptions(_Options):
    _fields_ = (
        ("sz", _size),
        ("btf_fd", _u32),
        ("btf_key_type_id", _u32),
        ("btf_value_type_id", _u32),
        ("btf_vmlinux_value_type_id", _u32),
        ("inner_map_fd", _u32),
        ("map_flags", _u32),
        ("map_extra", ctypes.c_uint64),
        ("numa_node", _u32),
        ("map_ifindex", _u32),
    )


class _BatchOptions(_Options):
    _fields_ = (("sz", _size), ("elem_flags", ctypes.c_uint64), ("flags", ctypes.c_uint64))


class _LinkOptions(_Options):
    _fields_ = (
        ("sz", _size),
        ("flags", _u32),
        ("iter_info", _ptr),
        ("iter_info_len", _u32),
        ("target_btf_id", _u32),
        ("rest", ctypes.c_uint64 * 5),
    )


class _XdpQuery(_Options):
    _fields_ = (
        ("sz", _size),
        ("prog_id", _u32),
        ("drv_prog_id", _u32),
        ("hw_prog_id", _u32),
        ("skb_prog_id", _u32),
        ("attach_mode", ctypes.c_uint8),
    )


class _TcHook(_Options):
    _fields_ = (("sz", _size), ("ifindex", _int), ("attach_point", _int), ("parent", _u32))


class _TcOptions(_Options):
    _fields_ = (
        ("sz", _size),
        ("prog_fd", _int),
        ("flags", _u32),
        ("prog_id", _u32),
        ("handle", _u32),
        ("priority", _u32),
    )


class _TestRunOptions(_Options):
    _fields_ = (
        ("sz", _size),
        ("data_in", _ptr),
        ("data_out", _ptr),
        ("data_size_in", _u32),
        ("data_size_out", _u32),
        ("ctx_in", _ptr),
        ("ctx_out", _ptr),
        ("ctx_size_in", _u32),
        ("ctx_size_out", _u32),
        ("retval", _u32),
        ("repeat", _int),
        ("duration", _u32),
        ("flags", _u32),
        ("cpu", _u32),
        ("batch_size", _u32),
    )


_log: list[str] = []
_log_buffer = mmap.mmap(-1, _LOG_BYTES)  # touched only as far as a message is long


def _keep(level: int, form: bytes, arguments: int) -> int:
    del level
    target = ctypes.c_char.from_buffer(_log_buffer)
    written = _libc().vsnprintf(ctypes.byref(target), _LOG_BYTES, form, _ptr(arguments))
    _log.append(_log_buffer[: min(max(written, 0), _LOG_BYTES - 1)].decode(errors="replace"))
    return 0


_on_print = _PRINT(_keep)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(SONAME, use_errno=True)
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.libbpf_set_print(_on_print)
    return library


def _call(name: str, *arguments: object) -> int:
    """Call a function whose negative result is an errno."""
    ctypes.set_errno(0)
    result: int = getattr(_library(), name)(*arguments)
    if result < 0:
        # libbpf's functions return -errno, its thin syscall wrappers do as well since 1.0.
        code = -result if result != -1 else ctypes.get_errno() or errno.EPERM
        raise OSError(code, os.strerror(code))
    return result


def _pointer(name: str, *arguments: object) -> int:
    """Call a function that returns NULL and sets errno on failure."""
    ctypes.set_errno(0)
    result: int | None = getattr(_library(), name)(*arguments)
    if not result:
        code = ctypes.get_errno() or errno.EINVAL
        raise OSError(code, os.strerror(code))
    return result


@contextmanager
def captured_log() -> Iterator[list[str]]:
    """What libbpf and the verifier say within the block, message by message."""
    _library()
    _log.clear()
    try:
        yield _log
    finally:
        while len(_log) > 1000:  # noqa: PLR2004  # a bound, not a magic number of the protocol
            _log.pop()


def possible_cpus() -> int:
    """Number of values that a per-CPU map holds for each key."""
    return _call("libbpf_num_possible_cpus")


class MapDefinition(NamedTuple):
    """A map as the object defines it; ``pinned`` if by name."""

    handle: int
    name: str
    type: int
    key_size: int
    value_size: int
    flags: int
    pinned: bool


class Object:
    """An opened eBPF object; ``close`` frees it and every descriptor that it owns."""

    def __init__(self, path: str, pin_root: str | None) -> None:
        options = _OpenOptions(pin_root_path=pin_root.encode() if pin_root else None)
        self._handle = _pointer("bpf_object__open_file", path.encode(), ctypes.byref(options))

    def close(self) -> None:
        """Free it; idempotent."""
        if self._handle:
            _library().bpf_object__close(self._handle)
            self._handle = 0

    def maps(self) -> list[MapDefinition]:
        """Maps of the object, in its order."""
        library = _library()
        return [
            MapDefinition(
                handle,
                library.bpf_map__name(handle).decode(),
                library.bpf_map__type(handle),
                library.bpf_map__key_size(handle),
                library.bpf_map__value_size(handle),
                library.bpf_map__map_flags(handle),
                library.bpf_map__pin_path(handle) is not None,
            )
            for handle in self._each("bpf_object__next_map")
        ]

    def set_max_entries(self, definition: MapDefinition, entries: int) -> None:
        """Size a map; before load."""
        _call("bpf_map__set_max_entries", definition.handle, entries)

    def load(self) -> None:
        """Create or reuse the maps, and have the verifier accept the programs."""
        _call("bpf_object__load", self._handle)

    def map_fds(self) -> dict[str, int]:
        """Descriptors of the loaded maps, owned by this object."""
        return {d.name: _call("bpf_map__fd", d.handle) for d in self.maps()}

    def program_fds(self) -> dict[str, int]:
        """Descriptors of the loaded programs, owned by this object."""
        return {
            _library().bpf_program__name(handle).decode(): _call("bpf_program__fd", handle)
            for handle in self._each("bpf_object__next_program")
        }

    def _each(self, function: str) -> Iterator[int]:
        step = getattr(_library(), function)
        handle = step(self._handle, None)
        while handle:
            yield handle
            handle = step(self._handle, handle)


def map_create(kind: int, name: str, key_size: int, value_size: int, entries: int) -> int:
    """A new map's descriptor."""
    options = _MapOptions()
    return _call(
        "bpf_map_create",
        kind,
        name.encode(),
        key_size,
        value_size,
        entries,
        ctypes.byref(options),
    )


def map_update(fd: int, key: bytes | None, value: bytes, flags: int = BPF_ANY) -> None:
    """Write one entry; ``key`` None for stacks and queues."""
    _call("bpf_map_update_elem", fd, key, value, flags)


def map_lookup(fd: int, key: bytes, size: int) -> bytes | None:
    """One entry's bytes (of every CPU, for a per-CPU map), or None."""
    value = ctypes.create_string_buffer(size)
    try:
        _call("bpf_map_lookup_elem", fd, key, value)
    except FileNotFoundError:
        return None
    return value.raw


def map_delete(fd: int, key: bytes) -> bool:
    """Remove an entry; False if there was none."""
    try:
        _call("bpf_map_delete_elem", fd, key)
    except FileNotFoundError:
        return False
    return True


def map_lookup_batch(
    fd: int, cursor: bytes | None, cursor_size: int, sizes: tuple[int, int], count: int
) -> tuple[bytes, bytes, int, bytes | None]:
    """Up to ``count`` entries after ``cursor``: keys, values, how many, the next cursor.

    The next cursor is None at the end. Raises OSError ENOSPC if a hash bucket
    holds more than ``count`` entries.
    """
    following = ctypes.create_string_buffer(cursor_size)
    keys = ctypes.create_string_buffer(sizes[0] * count)
    values = ctypes.create_string_buffer(sizes[1] * count)
    number = _u32(count)
    options = _BatchOptions()
    ended = False
    try:
        _call(
            "bpf_map_lookup_batch",
            fd,
            cursor,
            following,
            keys,
            values,
            ctypes.byref(number),
            ctypes.byref(options),
        )
    except FileNotFoundError:
        ended = True
    found = number.value
    return (
        keys.raw[: found * sizes[0]],
        values.raw[: found * sizes[1]],
        found,
        None if ended else following.raw,
    )


def map_update_batch(fd: int, keys: bytes, values: bytes, count: int) -> None:
    """Write ``count`` entries with one call."""
    number = _u32(count)
    _call(
        "bpf_map_update_batch",
        fd,
        keys,
        values,
        ctypes.byref(number),
        ctypes.byref(_BatchOptions()),
    )


def pin(fd: int, path: str) -> None:
    """Give a map, program or link a name in bpffs."""
    _call("bpf_obj_pin", fd, path.encode())


def get(path: str) -> int:
    """A descriptor of what is pinned at ``path``."""
    return _call("bpf_obj_get", path.encode())


def program_by_id(program_id: int) -> int:
    """A descriptor of a loaded program."""
    return _call("bpf_prog_get_fd_by_id", program_id)


def info(fd: int, size: int = 256) -> bytes:
    """The kernel's ``bpf_*_info`` of a map, program or link, zero-filled to ``size``."""
    buffer = ctypes.create_string_buffer(size)
    length = _u32(size)
    _call("bpf_obj_get_info_by_fd", fd, buffer, ctypes.byref(length))
    return buffer.raw


def xdp_link(program: int, ifindex: int, flags: int) -> int:
    """Attach an XDP program; the link's descriptor."""
    options = _LinkOptions(flags=flags)
    return _call("bpf_link_create", program, ifindex, _BPF_XDP, ctypes.byref(options))


def link_update(link: int, program: int) -> None:
    """Exchange a link's program in one step."""
    _call("bpf_link_update", link, program, None)


def link_detach(link: int) -> None:
    """Take a link off its hook, whoever else holds it."""
    _call("bpf_link_detach", link)


def xdp_query(ifindex: int) -> tuple[int, int]:
    """Ids of the native and the generic XDP program of an interface, 0 if none."""
    query = _XdpQuery()
    _call("bpf_xdp_query", ifindex, 0, ctypes.byref(query))
    # One program alone is reported by mode: 1 driver, 2 generic (XDP_ATTACHED_*).
    native = query.drv_prog_id or (query.prog_id if query.attach_mode == 1 else 0)
    generic = query.skb_prog_id or (query.prog_id if query.attach_mode == 2 else 0)  # noqa: PLR2004
    return native, generic


def tc_hook_create(ifindex: int) -> bool:
    """Make the clsact qdisc; False if it was there."""
    hook = _TcHook(ifindex=ifindex, attach_point=TC_INGRESS | TC_EGRESS)
    try:
        _call("bpf_tc_hook_create", ctypes.byref(hook))
    except FileExistsError:
        return False
    return True


def tc_hook_destroy(ifindex: int) -> None:
    """Remove the clsact qdisc with every filter on it."""
    hook = _TcHook(ifindex=ifindex, attach_point=TC_INGRESS | TC_EGRESS)
    _call("bpf_tc_hook_destroy", ctypes.byref(hook))


def tc_attach(ifindex: int, point: int, program: int, handle: int, priority: int) -> None:
    """Attach a direct-action filter, or exchange its program in one step."""
    hook = _TcHook(ifindex=ifindex, attach_point=point)
    options = _TcOptions(prog_fd=program, flags=_BPF_TC_F_REPLACE, handle=handle, priority=priority)
    _call("bpf_tc_attach", ctypes.byref(hook), ctypes.byref(options))


def tc_detach(ifindex: int, point: int, handle: int, priority: int) -> None:
    """Remove one filter."""
    hook = _TcHook(ifindex=ifindex, attach_point=point)
    options = _TcOptions(handle=handle, priority=priority)
    _call("bpf_tc_detach", ctypes.byref(hook), ctypes.byref(options))


def tc_query(ifindex: int, point: int, handle: int, priority: int) -> int:
    """Id of the filter's program, 0 if there is no such filter."""
    hook = _TcHook(ifindex=ifindex, attach_point=point)
    options = _TcOptions(handle=handle, priority=priority)
    try:
        _call("bpf_tc_query", ctypes.byref(hook), ctypes.byref(options))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL):  # no filter; no qdisc
            return 0
        raise
    return int(options.prog_id)


class TestRun(NamedTuple):
    """What BPF_PROG_TEST_RUN gave back."""

    retval: int
    data_out: bytes
    ctx_out: bytes
    duration_ns: int


def test_run(
    program: int, data: bytes | None, ctx: bytes | None, repeat: int, data_size_out: int
) -> TestRun:
    """Run a program once or ``repeat`` times; a syscall program's context comes back changed."""
    out = ctypes.create_string_buffer(data_size_out) if data_size_out else None
    context = ctypes.create_string_buffer(ctx, len(ctx)) if ctx else None
    source = ctypes.create_string_buffer(data, len(data)) if data is not None else None
    options = _TestRunOptions(
        data_in=ctypes.cast(source, _ptr) if source else None,
        data_size_in=len(data) if data else 0,
        data_out=ctypes.cast(out, _ptr) if out else None,
        data_size_out=data_size_out,
        ctx_in=ctypes.cast(context, _ptr) if context else None,
        ctx_size_in=len(ctx) if ctx else 0,
        repeat=repeat,
    )
    _call("bpf_prog_test_run_opts", program, ctypes.byref(options))
    return TestRun(
        options.retval,
        out.raw[: options.data_size_out] if out else b"",
        context.raw if context else b"",
        options.duration,
    )


class RingBuffer:
    """The consumer of one ring buffer map: poll ``fileno()``, then ``read()``."""

    def __init__(self, fd: int) -> None:
        self._records: list[bytes] = []

        def sample(_ctx: int, data: int, size: int) -> int:
            self._records.append(ctypes.string_at(data, size))
            return 0

        self._callback = _SAMPLE(sample)
        self._handle = _pointer("ring_buffer__new", fd, self._callback, None, None)

    def fileno(self) -> int:
        """A descriptor that is readable when records wait."""
        return _call("ring_buffer__epoll_fd", self._handle)

    def read(self) -> list[bytes]:
        """The records that wait; empty if none."""
        _call("ring_buffer__consume", self._handle)
        records, self._records = self._records, []
        return records

    def close(self) -> None:
        """Free it; idempotent."""
        if self._handle:
            _library().ring_buffer__free(self._handle)
            self._handle = 0


def is_bpffs(path: str) -> bool:
    """Whether the path lies on a bpf file system; False if it does not exist."""
    buffer = ctypes.create_string_buffer(256)
    if _libc().statfs(path.encode(), buffer) != 0:
        return False
    kind = ctypes.c_long.from_buffer(buffer).value
    return kind & 0xFFFFFFFF == _BPFFS_MAGIC


def mount_bpffs(path: str) -> None:
    """Mount a bpf file system."""
    ctypes.set_errno(0)
    if _libc().mount(b"bpf", path.encode(), b"bpf", 0, None) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
