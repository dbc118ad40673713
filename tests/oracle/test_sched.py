# SPDX-License-Identifier: Apache-2.0
"""``facts/sched``: every scheduling decision, one by one, on each hook."""

from __future__ import annotations

import pytest

from . import facts, replay_sched
from .conftest import Verdict
from .director import Surroundings
from .pool import Pool


@pytest.mark.parametrize("name", facts.names("sched"))
def test_decisions(name: str, native_hook: str, pool: Pool, verdict: Verdict) -> None:
    recording = facts.load(name)
    scenarios = list(enumerate(recording["scenarios"]))
    for settings in sorted({replay_sched.settings(scenario) for _, scenario in scenarios}):
        surroundings = Surroundings(native_hook, settings)
        with pool.fresh(surroundings, another=not settings) as director:
            for place, scenario in scenarios:
                if replay_sched.settings(scenario) == settings:
                    where = f"{name}/{scenario['name']}"
                    verdict([where], replay_sched.replay(director, where, recording, place))
