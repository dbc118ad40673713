# SPDX-License-Identifier: Apache-2.0
"""Maps that a real server's programs have in common: whom they believe, what they count."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from xlvs.datapath import libbpf
from xlvs.realserver.client_address.wanted import packed, unpacked

_PREFIX = 20  # bytes of struct client_prefix


def believe(trie: int, believed: Sequence[str]) -> None:
    """Exactly these prefixes; the new ones first: nobody is doubted in between."""
    keys = {packed(prefix) for prefix in believed}
    before = set(_keys(trie))
    for key in sorted(keys - before):
        libbpf.map_update(trie, key, struct.pack("=I", 1))
    for key in sorted(before - keys):
        libbpf.map_delete(trie, key)


def believed(trie: int) -> tuple[str, ...]:
    """The prefixes, sorted."""
    return tuple(sorted(unpacked(key) for key in _keys(trie)))


def counted(counts: int, names: Sequence[str]) -> dict[str, int]:
    """Entries of an array with a value for each CPU, summed."""
    size = 8 * libbpf.possible_cpus()
    found = {}
    for number, name in enumerate(names):
        values = libbpf.map_lookup(counts, struct.pack("=I", number), size) or bytes(size)
        found[name] = sum(struct.unpack(f"={size // 8}Q", values))
    return found


def _keys(trie: int) -> list[bytes]:
    found: list[bytes] = []
    cursor: bytes | None = None
    while True:
        keys, _, count, cursor = libbpf.map_lookup_batch(trie, cursor, _PREFIX, (_PREFIX, 4), 256)
        found += [keys[at : at + _PREFIX] for at in range(0, count * _PREFIX, _PREFIX)]
        if cursor is None:
            return found
