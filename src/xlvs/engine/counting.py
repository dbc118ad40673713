# SPDX-License-Identifier: Apache-2.0
"""Arithmetic of counters: sums, and what was counted since a baseline."""

from __future__ import annotations

from collections.abc import Iterable

from xlvs.wire.messages import Counters, Rates


def since(counters: Counters, baseline: Counters | None) -> Counters:
    """Counted since the baseline; none below zero."""
    if baseline is None:
        return counters
    return Counters(
        connections=max(counters.connections - baseline.connections, 0),
        in_packets=max(counters.in_packets - baseline.in_packets, 0),
        out_packets=max(counters.out_packets - baseline.out_packets, 0),
        in_bytes=max(counters.in_bytes - baseline.in_bytes, 0),
        out_bytes=max(counters.out_bytes - baseline.out_bytes, 0),
    )


def total(each: Iterable[Counters]) -> Counters:
    """The sum."""
    found = list(each)
    return Counters(
        connections=sum(c.connections for c in found),
        in_packets=sum(c.in_packets for c in found),
        out_packets=sum(c.out_packets for c in found),
        in_bytes=sum(c.in_bytes for c in found),
        out_bytes=sum(c.out_bytes for c in found),
    )


def total_rates(each: Iterable[Rates]) -> Rates:
    """The sum."""
    found = list(each)
    return Rates(
        connections=sum(r.connections for r in found),
        in_packets=sum(r.in_packets for r in found),
        out_packets=sum(r.out_packets for r in found),
        in_bytes=sum(r.in_bytes for r in found),
        out_bytes=sum(r.out_bytes for r in found),
    )
