# SPDX-License-Identifier: Apache-2.0
"""What the endpoints work with: one director and what the daemon does around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from xlvs.api.metrics.scrape import Scraper
from xlvs.api.views import Facts
from xlvs.io.bus import Bus
from xlvs.io.director import Director
from xlvs.model.configuration import Configuration
from xlvs.model.edit import AnyEdit
from xlvs.model.syncing import Roles
from xlvs.wire.explanation import ExplainRequest, Explanation
from xlvs.wire.planning import ApplyRequest


class Backend(NamedTuple):
    """One director.

    ``prepare`` is awaited before edits and learns what they need to know of the surroundings;
    ``settle`` after them, and next hops that they need are looked for. ``explain``: what would
    happen to a packet; ``plan``: what a configuration would change, in words; ``apply`` changes
    it, for somebody. These three raise Problem. ``refused_tokens``: how many requests came
    without a token that is known. ``scraper`` reads the metrics.
    ``sync_roles``: the daemons of IPVS's sync protocol.
    """

    director: Director
    facts: Callable[[], Facts]
    prepare: Callable[[Sequence[AnyEdit]], Awaitable[None]]
    settle: Callable[[Sequence[AnyEdit]], Awaitable[None]]
    explain: Callable[[ExplainRequest], Awaitable[Explanation]]
    plan: Callable[[Configuration], list[str]]
    apply: Callable[[ApplyRequest, str], Awaitable[list[str]]]
    bus: Bus
    refused_tokens: Callable[[], int]
    scraper: Scraper
    sync_roles: Callable[[], Roles]
