# SPDX-License-Identifier: Apache-2.0
"""Weighted round robin's current weight: what it keeps of the way that its servers came. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from math import gcd

Numbers = tuple[int, int]
"""The weights' greatest common divisor, and the greatest current weight."""

NO_SERVERS: Numbers = (1, 0)


def numbers(weights: Iterable[int]) -> Numbers:
    """Of a service whose servers have these weights, as the kernel computes them (ip_vs_wrr.c)."""
    above = [weight for weight in weights if weight > 0]
    if not above:
        return NO_SERVERS
    divisor = gcd(*above)
    return divisor, max(above) - (divisor - 1)


def with_another(before: Numbers, weight: int) -> Numbers:
    """Of a service that had these numbers, and has one more server of this weight."""
    divisor, most = before
    if weight <= 0:
        return before
    if not most:
        return weight, 1  # the first that has a weight
    greatest = max(most + (divisor - 1), weight)
    divisor = gcd(divisor, weight)
    return divisor, greatest - (divisor - 1)


def after_change(weight: int, then: Numbers) -> int:
    """The current weight when servers or weights have changed (bpf/schedulers/wrr.h)."""
    divisor, most = then
    if not weight or weight > most:
        return most
    return weight // divisor * divisor + 1 if divisor > 1 else weight


def telling(changes: Sequence[Numbers], *, begins: bool) -> list[Numbers]:
    """Those of some changes, one after the other, that lead to the same current weight.

    The last one is among them. ``begins``: the first one sets the current weight to its
    greatest. A service that is restored has one change for each of its servers, of which two
    or three tell anything.
    """
    if not begins:
        return [each for each, _ in groupby(changes)]  # the same once more changes nothing
    found: list[Numbers] = []
    weight = 0
    for each in changes:
        then = after_change(weight, each)
        if not weight:
            found = [each]  # the first that has a weight sets it
        elif then != weight:
            found.append(each)
        weight = then
    if found[-1] != changes[-1]:
        found.append(changes[-1])
    return found
