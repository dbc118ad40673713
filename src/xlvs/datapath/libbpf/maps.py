# SPDX-License-Identifier: Apache-2.0
"""System calls on maps: bytes in, bytes out."""

from __future__ import annotations

import ctypes

from xlvs.datapath.libbpf.calls import call
from xlvs.datapath.libbpf.structs import BatchOptions, MapOptions, u32

BPF_ANY = 0
BPF_NOEXIST = 1
BPF_MAP_TYPE_ARRAY = 2
BPF_MAP_TYPE_ARRAY_OF_MAPS = 12
BPF_F_MMAPABLE = 1 << 10


def map_create(  # noqa: PLR0917 - the kernel's own order
    kind: int, name: str, key_size: int, value_size: int, entries: int, flags: int = 0
) -> int:
    """A new map's descriptor."""
    options = MapOptions(map_flags=flags)
    return call(
        "bpf_map_create",
        kind,
        name.encode(),
        key_size,
        value_size,
        entries,
        ctypes.byref(options),
    )


def map_by_id(map_id: int) -> int:
    """A descriptor of a map that there is."""
    return call("bpf_map_get_fd_by_id", map_id)


def map_update(fd: int, key: bytes, value: bytes, flags: int = BPF_ANY) -> None:
    """Write one entry."""
    call("bpf_map_update_elem", fd, key, value, flags)


def map_lookup(fd: int, key: bytes, size: int) -> bytes | None:
    """One entry's bytes (of every CPU, for a per-CPU map), or None."""
    value = ctypes.create_string_buffer(size)
    try:
        call("bpf_map_lookup_elem", fd, key, value)
    except FileNotFoundError:
        return None
    return value.raw


def map_delete(fd: int, key: bytes) -> bool:
    """Remove an entry; False if there was none."""
    try:
        call("bpf_map_delete_elem", fd, key)
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
    number = u32(count)
    options = BatchOptions()
    ended = False
    try:
        call(
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
    number = u32(count)
    call(
        "bpf_map_update_batch",
        fd,
        keys,
        values,
        ctypes.byref(number),
        ctypes.byref(BatchOptions()),
    )


def map_delete_batch(fd: int, keys: bytes, count: int) -> None:
    """Remove ``count`` entries with one call, up to the first that there is not: then OSError."""
    number = u32(count)
    call("bpf_map_delete_batch", fd, keys, ctypes.byref(number), ctypes.byref(BatchOptions()))
