# SPDX-License-Identifier: Apache-2.0
"""Schedulers ``sh`` and ``dh``: 256 buckets of servers as the kernel's IPVS fills them.

A client's hash (sh: of its address, dh: of the address it asks for) names a bucket. All
buckets are dealt out anew at every change of the servers, so most clients move then.

``pick`` is how packets choose; the data path does it itself (``bpf/schedulers/sh.h``),
here it is what that is tested against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, cycle, islice, repeat

from xlvs.schedulers.maglev import FALLBACK, PORT, fold

SIZE = 256

_FACTOR = 0x61C88647
_SHIFT = 32 - 8
_HALF = (1 << 32) - 1


def source(weights: Sequence[int]) -> list[int]:
    """sh: each bucket's owner, as an index of ``weights``; empty without servers.

    In the list's order each server gets as many in a row as its weight says, and one
    if it says 0, again and again. So of weights above 256 in sum some get nothing.
    """
    turns = (repeat(index, max(weight, 1)) for index, weight in cycle(enumerate(weights)))
    return list(islice(chain.from_iterable(turns), SIZE))


def destination(count: int) -> list[int]:
    """dh: each bucket's owner: the servers in turn, whatever their weights.

    So plain that packets reckon it themselves.
    """
    return list(islice(cycle(range(count)), SIZE))


def pick(
    owners: Sequence[int],
    usable: Callable[[int], bool],
    address: bytes,
    port: int = 0,
    flags: int = 0,
) -> int | None:
    """The server of a new connection; None: it is refused.

    ``address`` and ``port``: the client's, for dh the virtual one and no port. ``usable``:
    has a weight now and is not overloaded.
    """
    if not owners:
        return None
    first = bucket(fold(address) + (port if flags & PORT else 0))
    if usable(owners[first]):
        return owners[first]
    if flags & FALLBACK:
        for offset in range(SIZE):
            owner = owners[(offset + first + first) % SIZE]
            if usable(owner):
                return owner
    return None


def bucket(value: int) -> int:
    """The bucket of a folded address (plus a port)."""
    return (value * _FACTOR & _HALF) >> _SHIFT
