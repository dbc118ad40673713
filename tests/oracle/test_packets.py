# SPDX-License-Identifier: Apache-2.0
"""``facts/packets``: rewriting, encapsulation, TTL, ICMP, byte for byte, on each hook."""

from __future__ import annotations

import pytest

from . import facts, replay_packets
from .conftest import Verdict
from .director import Surroundings
from .gaps import KNOWN_GAPS, covers
from .pool import Pool

ALL = {
    f"{name}/{case['name']}": case
    for name in facts.names("packets")
    for case in facts.load(name)["cases"]
}
# Whole cases that are known gaps make no connections, so one director will do for them.
UNMET = [name for name in ALL if any(covers(gap, name) for gap in KNOWN_GAPS)]


@pytest.mark.parametrize("name", [name for name in ALL if name not in UNMET])
def test_packets(name: str, hook: str, pool: Pool, verdict: Verdict) -> None:
    surroundings = replay_packets.surroundings(ALL[name], hook)
    ordinary = surroundings == Surroundings(hook)
    with pool.fresh(surroundings, another=ordinary) as director:
        verdict([name], replay_packets.replay(director, name, ALL[name]))


def test_cases_that_are_known_gaps(hook: str, pool: Pool, verdict: Verdict) -> None:
    with pool.fresh(Surroundings(hook), another=False) as director:
        differences = []
        for name in UNMET:
            first_step = {**ALL[name], "steps": ALL[name]["steps"][:1]}
            try:
                differences += replay_packets.replay(director, name, first_step)
            except RuntimeError as refused:  # a command that the director does not take
                differences.append(facts.Difference(name, "to be configured", refused))
    verdict(UNMET, differences)
