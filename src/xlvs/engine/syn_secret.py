# SPDX-License-Identifier: Apache-2.0
"""Secrets of SYN cookies: out of one that directors may share, another one for each epoch.

Directors with the same secret and clocks that agree to some seconds take one another's
cookies, so an acknowledgement may come to another director than the SYN.
"""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple

SLOT = 64
"""Seconds of a time slot: a cookie is good for one to two."""

KEPT = 3 * SLOT
"""Seconds that cookies of a secret are good after another one has taken its place."""

_WORD = 8
_OFFSETS = 1 << 64
_DERIVED = 2 * _WORD


class Secrets(NamedTuple):
    """``made``: what cookies are made of. Those of ``other`` are good until ``until``, too."""

    made: bytes
    other: bytes = b""
    until: float = 0.0


def follow(before: Secrets | None, wanted: tuple[bytes, ...], now: float) -> Secrets:
    """What is in force from ``now`` (seconds) on, when this is said: one secret, or two.

    Who has got a cookie of the one that goes may still come.
    """
    made, *more = wanted
    if more:
        return Secrets(made, more[0], math.inf)
    if before is None:
        return Secrets(made)
    if before.made != made:
        return Secrets(made, before.made, now + KEPT)
    return before._replace(until=min(before.until, now + KEPT))


def in_force(secrets: Secrets, now: float) -> Secrets:
    """Without the other one when its time is over."""
    return secrets if now < secrets.until else Secrets(secrets.made)


def slot(wall: float) -> int:
    """The time slot of a time in seconds since the epoch."""
    return int(wall) // SLOT


def keys(secret: bytes, wall: float, epoch_slots: int) -> tuple[int, ...]:
    """The words of a secret's two keys, by the lowest bit of their epoch.

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
