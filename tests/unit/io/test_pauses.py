# SPDX-License-Identifier: Apache-2.0

import asyncio
from math import inf

from xlvs.io import clock
from xlvs.io.pauses import Pauses


def test_who_stood_still_knows_it(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)

    async def story():
        nonlocal now
        pauses = Pauses()
        pauses.close()
        for passed in (0.1, 0.15, 2.6, 0.1, 0.1, 0.1):
            now += passed
            if passed > 1:
                assert abs(pauses.longest_since(1000.2) - 2.5) < 0.01  # it has only just ended
            pauses._beat()
            pauses.close()
        assert abs(pauses.longest_since(1000.0) - 2.5) < 0.01
        assert abs(pauses.longest_since(1002.8) - 2.5) < 0.01  # it was not over
        assert pauses.longest_since(1002.9) == 0.0
        late = dict(pauses.late.cumulative())
        assert (late[1], late[inf]) == (5, 6)

    asyncio.run(story())
