# SPDX-License-Identifier: Apache-2.0
"""What the endpoints work with: one director and what the daemon does around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from xlvs.api.views import Facts
from xlvs.io.director import Director
from xlvs.model.configuration import Configuration
from xlvs.model.edit import AnyEdit
from xlvs.wire.explanation import ExplainRequest, Explanation


class Backend(NamedTuple):
    """One director.

    ``prepare`` is awaited before edits and learns what they need to know of the surroundings;
    ``settle`` after them, and next hops that they need are looked for. ``explain``: what would
    happen to a packet; ``plan``: what a configuration would change, in words. These two raise
    Problem.
    """

    director: Director
    facts: Callable[[], Facts]
    prepare: Callable[[Sequence[AnyEdit]], Awaitable[None]]
    settle: Callable[[Sequence[AnyEdit]], Awaitable[None]]
    explain: Callable[[ExplainRequest], Awaitable[Explanation]]
    plan: Callable[[Configuration], list[str]]
