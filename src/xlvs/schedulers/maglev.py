# SPDX-License-Identifier: Apache-2.0
"""Scheduler ``mh``: the slots of Maglev hashing as the kernel's IPVS fills them.

Servers take turns in filling 4093 slots, each along its own permutation of them (an
offset and a skip, hashed from its address and port), so that a server that comes or
goes moves few slots but its own. A client's hash names a slot.

``pick`` is how packets choose; the data path does it itself (``bpf/schedulers/mh.h``),
here it is what that is tested against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import gcd
from typing import NamedTuple, cast

SIZE = 4093
"""Slots: the kernel's default (CONFIG_IP_VS_MH_TAB_INDEX=12), a prime."""

FALLBACK = 1
PORT = 2
"""Scheduler flags, the bits of ``Service.flags``: mh-fallback, mh-port."""

_OFFSET_KEY = 2654435761
_SKIP_KEY = 2654446892

_TURN_BITS = 6
"""Weights are shifted until the greatest has so many bits: nobody takes 64 turns at once."""

_PERMUTATIONS_KEPT = 1 << 16
"""Of servers hashed before: a change of one server of thousands hashes one."""

_WORD = (1 << 64) - 1
_HALF = (1 << 32) - 1
_SIPHASH = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


class Server(NamedTuple):
    """What of a server decides its slots.

    ``address``: 4 or 16 bytes. ``weight``: the last one above 0, because a server that
    is set to 0 keeps its slots (its clients are refused, or fall back, and find it
    again); 0 if it never had another.
    """

    address: bytes
    port: int
    weight: int


def slots(servers: Sequence[Server]) -> list[int]:
    """Each slot's owner, as an index of ``servers``; empty if none has a weight.

    The order is the service's list's, newest first: it decides who takes turns first.
    """
    divisor = gcd(*(server.weight for server in servers))
    if not divisor:
        return []
    greatest = max(server.weight for server in servers) // divisor
    shift = max(0, greatest.bit_length() - _TURN_BITS)
    turns: list[list[int]] = []
    for index, server in enumerate(servers):
        if server.weight:
            offset, skip = _permutation(fold(server.address) + server.port & _HALF)
            walk = [index, offset, skip, SIZE - skip]
            turns += [walk] * (server.weight // divisor >> shift or 1)
    return _fill(turns)


def _fill(turns: list[list[int]]) -> list[int]:
    """``turns``: index, offset, skip and what is left of the size, as often as it takes a turn.

    As plain as this because there may be ten thousand services: 0.8 ms for four servers.
    """
    owners: list[int | None] = [None] * SIZE
    free = SIZE
    while True:
        for walk in turns:
            index, at, skip, back = walk
            while owners[at] is not None:
                at = at + skip if at < back else at - back
            owners[at] = index
            free -= 1
            if not free:
                return cast("list[int]", owners)
            walk[1] = at


def pick(
    owners: Sequence[int],
    usable: Callable[[int], bool],
    client: bytes,
    port: int,
    flags: int = 0,
) -> int | None:
    """The server of a client's new connection; None: it is refused.

    ``usable``: has a weight now and is not overloaded.
    """
    if not owners:
        return None
    value = fold(client) + (port if flags & PORT else 0)
    first = slot(value)
    if usable(owners[first]):
        return owners[first]
    if flags & FALLBACK:
        for offset in range(SIZE):
            owner = owners[slot(value + (offset + first) % SIZE)]
            if usable(owner):
                return owner
    return None


def slot(value: int) -> int:
    """The slot of a client's folded address (plus its port, plus what a fallback adds)."""
    return siphash(value & _HALF, _OFFSET_KEY) % SIZE


def fold(address: bytes) -> int:
    """An address in 32 bits: the IPv4 address itself, the four words of IPv6 xor-ed."""
    folded = 0
    for at in range(0, len(address), 4):
        folded ^= int.from_bytes(address[at : at + 4], "big")
    return folded


@lru_cache(maxsize=_PERMUTATIONS_KEPT)
def _permutation(value: int) -> tuple[int, int]:
    return siphash(value, _OFFSET_KEY) % SIZE, siphash(value, _SKIP_KEY) % (SIZE - 1) + 1


def siphash(value: int, key: int) -> int:
    """SipHash-1-3 of 32 bits, little-endian, cut to 32 bits; both words of the key are ``key``."""
    a, b, c, d = (key ^ word for word in _SIPHASH)
    block = value | 4 << 56  # a last block has the length in its top byte
    d ^= block
    a, b, c, d = _round(a, b, c, d)
    a ^= block
    c ^= 0xFF
    for _ in range(3):
        a, b, c, d = _round(a, b, c, d)
    return (a ^ b ^ c ^ d) & _HALF


def _round(a: int, b: int, c: int, d: int) -> tuple[int, int, int, int]:
    a = a + b & _WORD
    b = _rotated(b, 13) ^ a
    a = _rotated(a, 32)
    c = c + d & _WORD
    d = _rotated(d, 16) ^ c
    a = a + d & _WORD
    d = _rotated(d, 21) ^ a
    c = c + b & _WORD
    b = _rotated(b, 17) ^ c
    return a, b, _rotated(c, 32), d


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> 64 - bits) & _WORD
