# SPDX-License-Identifier: Apache-2.0
"""Whether a virtual service has servers enough."""

from __future__ import annotations

from typing import NamedTuple


class Quorum(NamedTuple):
    """Sums of weights: gained at ``gain`` or more, lost below ``keep``."""

    gain: int = 1
    keep: int = 1

    def holds(self, weight: int, *, held: bool) -> bool:
        """Whether it is there with this sum of live servers' weights, ``held``: it was."""
        return weight >= (self.keep if held else self.gain)


def quorum(wanted: int, hysteresis: int, full: int) -> Quorum:
    """The limits. ``full``: the weight of all servers together, which the quorum never exceeds.

    Hysteresis is less than the quorum: else it could never be lost (keepalived does both).
    Without any weight there is none.
    """
    wanted = max(min(wanted, full), 1)
    hysteresis = max(min(hysteresis, wanted - 1), 0)
    return Quorum(gain=wanted + hysteresis, keep=wanted - hysteresis)
