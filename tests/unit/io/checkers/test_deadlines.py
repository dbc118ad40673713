# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio

from xlvs.io.checkers.deadlines import TICK, Deadlines


def test_only_what_is_not_done_is_late() -> None:
    async def play() -> list[str]:
        late: list[str] = []
        deadlines: Deadlines[str] = Deadlines(late.append)
        now = asyncio.get_running_loop().time()
        deadlines.add("second", now + 2 * TICK)
        done = deadlines.add("done", now + TICK)
        deadlines.add("first", now + TICK)
        deadlines.done("done", done)
        await asyncio.sleep(TICK * 4)
        deadlines.add("third", now)
        await asyncio.sleep(TICK)
        deadlines.add("never", now + 100)
        deadlines.close()
        return late

    assert asyncio.run(play()) == ["first", "second", "third"]
