# SPDX-License-Identifier: Apache-2.0
"""``facts/packets``: rewriting, encapsulation, TTL, ICMP, byte for byte, on each hook."""

from __future__ import annotations

from typing import Any

import pytest

from . import facts, replay_packets
from .conftest import Verdict
from .director import Surroundings
from .pool import Pool

CASES = [
    pytest.param(f"{name}/{case['name']}", case, id=case["name"])
    for name in facts.names("packets")
    for case in facts.load(name)["cases"]
]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_packets(name: str, case: dict[str, Any], hook: str, pool: Pool, verdict: Verdict) -> None:
    surroundings = replay_packets.surroundings(case, hook)
    ordinary = surroundings == Surroundings(hook)
    with pool.fresh(surroundings, another=ordinary) as director:
        try:
            differences = replay_packets.replay(director, name, case)
        except RuntimeError as refused:  # a command that the director does not take
            differences = [facts.Difference(name, "to be configured", refused)]
    verdict(name, differences)
