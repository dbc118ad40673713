# SPDX-License-Identifier: Apache-2.0
"""Secrets of SYN cookies: out of one that directors may share, another one for each epoch.

Directors with the same secret and clocks that agree to some seconds take one another's
cookies, so an acknowledgement may come to another director than the SYN.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

SLOT = 64
"""Seconds of a time slot: a cookie is good for one to two."""

SECRET_MIN = 16
"""Bytes that a shared secret has at least."""

_WORD = 8
_OFFSETS = 1 << 64
_DERIVED = 2 * _WORD


def slot(wall: float) -> int:
    """The time slot of a time in seconds since the epoch."""
    return int(wall) // SLOT


def keys(secret: bytes, wall: float, epoch_slots: int) -> tuple[int, ...]:
    """The words of both keys, by the lowest bit of their epoch.

    Of the epoch that it is not, it is the one before in the first half of this one, else
    the one behind: whoever's clock is a little early or late finds the right one.
    """
    now, at = divmod(slot(wall), epoch_slots)
    other = now - 1 if at < epoch_slots // 2 else now + 1
    found: dict[int, tuple[int, int]] = {}
    for epoch in (now, other):
        made = hashlib.blake2b(
            epoch.to_bytes(_WORD, "big"),
            key=hashlib.sha256(secret).digest(),
            digest_size=_DERIVED,
        ).digest()
        found[epoch & 1] = (
            int.from_bytes(made[:_WORD], "little"),
            int.from_bytes(made[_WORD:], "little"),
        )
    return (*found[0], *found[1])


def offset(wall: float, ticks: int, hz: int) -> int:
    """What is added to the kernel's ticks for the slot to be the one of this time."""
    return (round(wall * hz) - ticks) % _OFFSETS


def drift(one: int, other: int) -> int:
    """How many ticks two offsets are apart."""
    apart = (one - other) % _OFFSETS
    return min(apart, _OFFSETS - apart)


def secret_of(text: bytes, wrong: Callable[[str], Exception]) -> bytes:
    """A file's secret: its bytes, without white space around them. Raises what ``wrong`` makes."""
    found = text.strip()
    if len(found) < SECRET_MIN:
        raise wrong(
            f"a secret of SYN cookies has {SECRET_MIN} bytes at least, not {len(found)}: "
            "head -c 32 /dev/urandom | base64 makes one"
        )
    return found
