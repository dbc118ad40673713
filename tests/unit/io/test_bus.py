# SPDX-License-Identifier: Apache-2.0
"""Telling never waits; who listens hears all, or that something was lost."""

from __future__ import annotations

import asyncio

from xlvs.io.bus import Bus
from xlvs.wire.events import Kind

FIRST = 1_000_000


def bus(size=8):
    return Bus(lambda: FIRST / 1000, size)


def heard(work):
    return asyncio.run(work)


async def texts(followed):
    return [None if each is None else each.text async for each in followed]


def test_from_now_on_or_from_a_known_one():
    async def work():
        made = bus()
        made.tell(Kind.EDIT, "before")
        now = made.follow(None, 10)
        first = asyncio.ensure_future(anext(now))
        await asyncio.sleep(0)
        made.tell(Kind.EDIT, "after")
        assert (await first).text == "after"
        made.close()
        assert await texts(now) == []
        return await texts(made.follow(FIRST - 1, 10))

    assert heard(work()) == ["before", "after"]


def test_silence_is_told():
    async def work():
        return await anext(bus().follow(None, 0))

    assert heard(work()) is None


def test_many_listeners():
    async def work():
        made = bus()
        waiting = [asyncio.ensure_future(texts(made.follow(None, 10))) for _ in range(50)]
        await asyncio.sleep(0)
        made.tell(Kind.SYNC, "one")
        await asyncio.sleep(0)
        made.tell(Kind.SYNC, "two")
        made.close()
        return await asyncio.gather(*waiting)

    assert heard(work()) == [["one", "two"]] * 50


def test_a_slow_listener_is_cut_off_with_a_word():
    async def work():
        made = bus(size=3)
        slow = made.follow(None, 10)
        waiting = asyncio.ensure_future(anext(slow))
        await asyncio.sleep(0)
        made.tell(Kind.EDIT, "0")
        assert (await waiting).text == "0"
        for n in range(1, 6):
            made.tell(Kind.EDIT, str(n))
        return [each.kind async for each in slow]

    assert heard(work()) == [Kind.GAP]


def test_who_comes_too_late_is_told_and_goes_on():
    async def work():
        made = bus(size=3)
        for n in range(6):
            made.tell(Kind.EDIT, str(n))
        made.close()
        return await texts(made.follow(FIRST, 10))

    assert heard(work())[1:] == ["3", "4", "5"]
