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
    matrix = facts.load(name)
    with pool.fresh(Surroundings(hook, replay_states.settings(matrix)), another=False) as director:
        differences = replay_states.replay(director, name, matrix, place=0)
    verdict([name], differences)
