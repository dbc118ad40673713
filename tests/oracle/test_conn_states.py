# SPDX-License-Identifier: Apache-2.0
"""``facts/conn/states-*``: the state machine, every packet in every state, on each hook."""

from __future__ import annotations

import pytest

from . import facts, replay_states
from .conftest import Verdict
from .director import Surroundings
from .pool import Pool

MATRICES = facts.names("conn", "states-*")


@pytest.mark.parametrize("name", MATRICES)
def test_transitions(name: str, hook: str, pool: Pool, verdict: Verdict) -> None:
    with pool.fresh(Surroundings(hook), another=True) as director:
        differences = replay_states.replay(director, name, facts.load(name), place=0)
    verdict([name], differences)
