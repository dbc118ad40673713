# SPDX-License-Identifier: Apache-2.0
"""IPVS's rate estimator: every two seconds a quarter of the difference.

The numbers are scaled integers as in the kernel's ip_vs_est.c, because listings
show them rounded the way that this arithmetic rounds: connections and packets by
2**10 per unit and second, bytes by 2**5.
"""

from __future__ import annotations

from typing import NamedTuple

from xlvs.wire.messages import Counters, Rates

PERIOD = 2.0
"""Seconds between two runs."""

_SHIFT = 10
_BYTE_SHIFT = 5


class Estimate(NamedTuple):
    """Counters at the last run, and the averages, scaled."""

    last: Counters = Counters()
    connections: int = 0
    in_packets: int = 0
    out_packets: int = 0
    in_bytes: int = 0
    out_bytes: int = 0


def begin(counters: Counters) -> Estimate:
    """An estimate that takes these counters as where it starts: no rate yet."""
    return Estimate(last=counters)


def run(estimate: Estimate, now: Counters) -> Estimate:
    """One run, ``PERIOD`` after the one before."""
    last = estimate.last

    def average(old: int, before: int, after: int, shift: int) -> int:
        # Over two seconds, so the difference is shifted by one less than the scale.
        sample = max(after - before, 0) << (shift - 1)
        return old + ((sample - old) >> 2)

    return Estimate(
        last=now,
        connections=average(estimate.connections, last.connections, now.connections, _SHIFT),
        in_packets=average(estimate.in_packets, last.in_packets, now.in_packets, _SHIFT),
        out_packets=average(estimate.out_packets, last.out_packets, now.out_packets, _SHIFT),
        in_bytes=average(estimate.in_bytes, last.in_bytes, now.in_bytes, _BYTE_SHIFT),
        out_bytes=average(estimate.out_bytes, last.out_bytes, now.out_bytes, _BYTE_SHIFT),
    )


def silenced(estimate: Estimate) -> Estimate:
    """The rates begin at zero again (``ipvsadm -Z``); the counters go on."""
    return begin(estimate.last)


def rates(estimate: Estimate) -> Rates:
    """What listings show: per second, whole numbers."""
    half = (1 << (_SHIFT - 1)) - 1
    byte_half = (1 << (_BYTE_SHIFT - 1)) - 1
    return Rates(
        connections=(estimate.connections + half) >> _SHIFT,
        in_packets=(estimate.in_packets + half) >> _SHIFT,
        out_packets=(estimate.out_packets + half) >> _SHIFT,
        in_bytes=(estimate.in_bytes + byte_half) >> _BYTE_SHIFT,
        out_bytes=(estimate.out_bytes + byte_half) >> _BYTE_SHIFT,
    )
