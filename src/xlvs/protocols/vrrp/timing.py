# SPDX-License-Identifier: Apache-2.0
"""The times of RFC 3768 6.1 and RFC 9568 6.1, in seconds."""

from __future__ import annotations

_PRIORITIES = 256
_V2 = 2


def skew(version: int, priority: int, interval: float) -> float:
    """How much later a router of lower priority is: 1 s at most in v2, an interval in v3."""
    share = (_PRIORITIES - priority) / _PRIORITIES
    return share if version == _V2 else share * interval


def master_down(version: int, priority: int, interval: float, adverts: int = 3) -> float:
    """How long a backup waits for an advert. ``interval`` is the master's."""
    return adverts * interval + skew(version, priority, interval)
