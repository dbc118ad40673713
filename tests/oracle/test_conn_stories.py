# SPDX-License-Identifier: Apache-2.0
"""``facts/conn/story-*``: what came out and what the tables said, step by step, on each hook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from . import facts, replay_rates, replay_stories
from .conftest import HOOKS, Verdict
from .director import Director, Surroundings
from .pool import Pool

STORIES = [name for name in facts.names("conn", "story-*") if "rate-estimator" not in name]
# Stories with the same settings follow each other, so that they can share a director.
STORIES.sort(key=lambda name: (replay_stories.settings(name), replay_stories.marks(name)))

_LONG = 1.0  # seconds


def _cases() -> list[tuple[str, str]]:
    """Hook and story. What waits long is about time, not about hooks: one will do."""
    return [
        (hook, name)
        for hook in HOOKS
        for name in STORIES
        if hook == HOOKS[0] or replay_stories.waiting(facts.load(name)) < _LONG
    ]


Shared = dict[Surroundings, Director]


@pytest.fixture(scope="module")
def shared(hook: str, pool: Pool) -> Iterator[Shared]:
    """One director for all stories with the same settings."""
    del hook  # the directors of a hook go before the next one's come
    with ExitStack() as stack:
        yield _Directors(pool, stack)


class _Directors(dict[Surroundings, Director]):
    def __init__(self, pool: Pool, stack: ExitStack) -> None:
        super().__init__()
        self._pool = pool
        self._stack = stack

    def __missing__(self, surroundings: Surroundings) -> Director:
        self._stack.close()
        self.clear()
        fresh = self._pool.fresh(surroundings, another=False)
        director = self[surroundings] = self._stack.enter_context(fresh)
        return director


@pytest.mark.parametrize(("hook", "name"), _cases(), indirect=["hook"])
def test_story(name: str, hook: str, shared: Shared, verdict: Verdict) -> None:
    surroundings = Surroundings(
        hook, replay_stories.settings(name), marks=replay_stories.marks(name)
    )
    director = shared[surroundings]
    story = facts.load(name)
    verdict([name], replay_stories.replay(director, name, story, STORIES.index(name)))


@pytest.mark.parametrize("hook", HOOKS[:1], indirect=True)
def test_rates(hook: str, pool: Pool, verdict: Verdict) -> None:
    name = "conn/story-rate-estimator"
    with pool.fresh(Surroundings(hook), another=False) as director:
        differences = replay_rates.replay(director, name, facts.load(name), place=0)
    verdict([name], differences)
