# SPDX-License-Identifier: Apache-2.0
"""``facts/more``: odd packets, ICMP of every kind, port reuse, MTUs, on each hook.

Recorded from the same kernel with this harness. Each case has addresses of its own,
so all cases with the same surroundings share a director.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

import pytest

from . import facts, replay_packets
from .conftest import Verdict
from .director import Surroundings
from .pool import Pool

CASES = {
    f"{name}/{case['name']}": case
    for name in facts.names("more")
    for case in facts.load(name)["cases"]
}
_NAMES = sorted(CASES, key=lambda name: repr(replay_packets.surroundings(CASES[name], "")))
GROUPS = [
    pytest.param(surroundings, list(names), id="-".join(map(str, surroundings.settings)) or "all")
    for surroundings, names in groupby(
        _NAMES, key=lambda name: replay_packets.surroundings(CASES[name], "")
    )
]


@pytest.mark.parametrize(("surroundings", "names"), GROUPS)
def test_cases(
    surroundings: Surroundings, names: list[str], native_hook: str, pool: Pool, verdict: Verdict
) -> None:
    here = replace(surroundings, hook=native_hook)
    differences = []
    with pool.fresh(here, another=False) as director:
        for name in names:
            differences += replay_packets.replay(director, name, CASES[name])
    verdict(names, differences)
