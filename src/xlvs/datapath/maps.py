# SPDX-License-Identifier: Apache-2.0
"""One eBPF map: bytes by key, whole maps in few calls, and memory views."""

from __future__ import annotations

import errno
import mmap
import os
import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from xlvs.datapath import libbpf

# HASH, PERCPU_HASH, LRU_HASH, LRU_PERCPU_HASH, LPM_TRIE: their entries can be deleted.
_HASH_TYPES = frozenset({1, 5, 9, 10, 11})
_EMPTIED = _HASH_TYPES | {libbpf.BPF_MAP_TYPE_ARRAY_OF_MAPS}
_PERCPU_TYPES = frozenset({5, 6, 10})  # PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH
_BATCH = 4096
_U32 = struct.Struct("=I")

Key = int | bytes
"""A key's bytes, or a number for maps whose key is a __u32."""


class MapInfo(NamedTuple):
    """What the kernel says about a map; sizes in bytes."""

    type: int
    id: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    name: str


def map_info(fd: int) -> MapInfo:
    """The kernel's description of a map."""
    raw = libbpf.info(fd)
    kind, ident, key, value, entries, flags, name = struct.unpack_from("=IIIIII16s", raw)
    return MapInfo(kind, ident, key, value, entries, flags, name.rstrip(b"\0").decode())


class Map:
    """A map by descriptor; ``name`` is the whole name, which the kernel cuts at 15 bytes."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self.fd = fd
        self.info = map_info(fd)
        self._percpu = self.info.type in _PERCPU_TYPES
        # Values lie at a stride of eight bytes in memory views and per-CPU copies.
        self.stride = self.info.value_size + 7 & ~7
        self.cpus = libbpf.possible_cpus() if self._percpu else 1
        self._value_bytes = self.stride * self.cpus if self._percpu else self.info.value_size

    def lookup(self, key: Key) -> bytes | None:
        """The value, or None if a hash has no such key."""
        return libbpf.map_lookup(self.fd, _key(key), self._value_bytes)

    def lookup_percpu(self, key: Key) -> list[bytes]:
        """The value on each possible CPU; empty if there is no such key."""
        raw = self.lookup(key)
        return [] if raw is None else self._split(raw)

    def values(self, first: int, count: int) -> bytes:
        """Values of an array from an index on, one after the other; fewer at its end."""
        count = min(count, self.info.max_entries - first)
        if count <= 0:
            return b""
        # The kernel goes on behind the key that it is given.
        cursor = _U32.pack(first - 1) if first else None
        sizes = (self.info.key_size, self._value_bytes)
        _, found, _, _ = libbpf.map_lookup_batch(self.fd, cursor, self.info.key_size, sizes, count)
        return found

    def update(self, key: Key, value: bytes, flags: int = libbpf.BPF_ANY) -> None:
        """Write a value; on a per-CPU map the same on each CPU. Raises OSError."""
        libbpf.map_update(self.fd, _key(key), self._widened(value), flags)

    def update_many(self, pairs: Iterable[tuple[Key, bytes]]) -> int:
        """Write many entries with few system calls; returns how many."""
        found = [(_key(key), self._widened(value)) for key, value in pairs]
        keys, values = b"".join(key for key, _ in found), b"".join(value for _, value in found)
        return self.update_all(keys, values)

    def update_numbered(self, numbers: Iterable[int], values: Iterable[bytes]) -> int:
        """The same, of a map whose key is a number."""
        return self.update_all(_numbers(numbers), b"".join(map(self._widened, values)))

    def fill(self, numbers: Sequence[int], value: bytes) -> int:
        """The same, with one value for all."""
        return self.update_all(_numbers(numbers), self._widened(value) * len(numbers))

    def update_all(self, keys: bytes, values: bytes) -> int:
        """The same; keys and values lie one behind the other as the kernel takes them."""
        key, value = self.info.key_size, self._value_bytes
        count = len(keys) // key
        for first in range(0, count, _BATCH):
            last = min(first + _BATCH, count)
            some = keys[first * key : last * key], values[first * value : last * value]
            libbpf.map_update_batch(self.fd, *some, last - first)
        return count

    def delete(self, key: Key) -> bool:
        """Remove an entry; False if there was none."""
        return libbpf.map_delete(self.fd, _key(key))

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every entry of an array or hash, a few thousand for each system call.

        Of an array of maps those that there are; the value is a map's id.

        Entries that come or go meanwhile may or may not be seen, as with any
        walk over a hash that packets write.
        """
        if self.info.type == libbpf.BPF_MAP_TYPE_ARRAY_OF_MAPS:
            yield from self._inner_ids()
            return
        sizes = (self.info.key_size, self._value_bytes)
        batch = min(_BATCH, self.info.max_entries)
        cursor: bytes | None = None
        while True:
            try:
                keys, values, count, cursor = libbpf.map_lookup_batch(
                    self.fd, cursor, max(4, sizes[0]), sizes, batch
                )
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                batch *= 2  # a bucket holds more than that
                continue
            for i in range(count):
                yield (
                    keys[i * sizes[0] : (i + 1) * sizes[0]],
                    values[i * sizes[1] : (i + 1) * sizes[1]],
                )
            if cursor is None:
                return

    def inner(self, key: Key) -> Map | None:
        """The map that an entry of an array of maps names, to be closed; None if none."""
        raw = self.lookup(key)
        return None if raw is None else Map(self.name, libbpf.map_by_id(*_U32.unpack(raw)))

    def _inner_ids(self) -> Iterator[tuple[bytes, bytes]]:
        # One by one: a batch would stop at the first entry without a map.
        for index in range(self.info.max_entries):
            raw = self.lookup(index)
            if raw is not None:
                yield _U32.pack(index), raw

    def items_percpu(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """Every entry of a per-CPU map with its value on each CPU."""
        for key, raw in self.items():
            yield key, self._split(raw)

    def view(self, *, writable: bool = False) -> memoryview:
        """The memory of a BPF_F_MMAPABLE array: entry i begins at ``i * stride``.

        The view stays valid after ``close``; release it to unmap. Raises OSError
        if the map cannot be mapped.
        """
        length = self.stride * self.info.max_entries
        pages = (length + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        area = mmap.mmap(self.fd, pages, flags=mmap.MAP_SHARED, prot=access)
        return memoryview(area)[:length]

    def clear(self) -> int:
        """Empty a hash or an array of maps, zero every entry of another; how many entries."""
        if self.info.type in _EMPTIED:
            keys = [key for key, _ in self.items()]
            return sum(self.delete(key) for key in keys)
        zero = bytes(self.info.value_size)
        return self.update_many((i, zero) for i in range(self.info.max_entries))

    def close(self) -> None:
        """Close the descriptor; a pinned map stays."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _split(self, raw: bytes) -> list[bytes]:
        size = self.info.value_size
        return [raw[at : at + size] for at in range(0, self.stride * self.cpus, self.stride)]

    def _widened(self, value: bytes) -> bytes:
        return value.ljust(self.stride, b"\0") * self.cpus if self._percpu else value


def _numbers(numbers: Iterable[int]) -> bytes:
    return array("I", numbers).tobytes()


def _key(key: Key) -> bytes:
    return _U32.pack(key) if isinstance(key, int) else key
