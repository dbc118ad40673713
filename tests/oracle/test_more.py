# SPDX-License-Identifier: Apache-2.0
"""``facts/more``: odd packets, ICMP of every kind, port reuse, MTUs, on each hook.

Recorded from the same kernel with this harness. Each case has addresses of its own,
so all cases of a file with the same surroundings share a director.
"""

from __future__ import annotations

from itertools import groupby

import pytest

from . import facts, replay_packets
from .conftest import Verdict
from .pool import Pool

CASES = {
    f"{name}/{case['name']}": case
    for name in facts.names("more")
    for case in facts.load(name)["cases"]
}


def _director(name: str) -> tuple[str, str]:
    """What cases share a director by: answers of NAT servers look alike in two files."""
    return repr(replay_packets.surroundings(CASES[name], "")), name.rsplit("/", 1)[0]


GROUPS = [list(names) for _, names in groupby(sorted(CASES, key=_director), key=_director)]


def _words(names: list[str]) -> str:
    settings = replay_packets.surroundings(CASES[names[0]], "").settings
    return "-".join((names[0].split("/")[1], *settings))


@pytest.mark.parametrize("names", GROUPS, ids=map(_words, GROUPS))
def test_cases(names: list[str], native_hook: str, pool: Pool, verdict: Verdict) -> None:
    here = replay_packets.surroundings(CASES[names[0]], native_hook)
    differences = []
    with pool.fresh(here, another=False) as director:
        for name in names:
            differences += replay_packets.replay(director, name, CASES[name])
    verdict(names, differences)
