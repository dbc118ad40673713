# SPDX-License-Identifier: Apache-2.0
"""Directors ready before they are asked for, and ended while the next replay runs.

A replay mostly waits for packets; starting and ending a director mostly computes. Doing
both at once halves the time of a run on two cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from .director import Director, Surroundings

# Enough virtual addresses that the replays of one director never share one: see retarget.py.
VIRTUAL = (
    *(f"10.{x}.{y}.{z}" for x in range(1, 10) for y in range(10) for z in (1, 2)),
    *(f"fd00:1:{n}::1" for n in range(1, 100)),
)


class Pool:
    """Hands out fresh directors. Closing it ends those that were never used."""

    def __init__(self) -> None:
        self._workers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="directors")
        self._ready: dict[Surroundings, Future[Director]] = {}
        self._ending: list[Future[None]] = []

    @contextmanager
    def fresh(self, surroundings: Surroundings, *, another: bool) -> Iterator[Director]:
        """A director whose connection table is empty, for the length of a ``with``.

        ``another``: the same surroundings are likely to be wanted next, so prepare them.
        """
        director = self._prepare(surroundings).result()
        del self._ready[surroundings]
        if another:
            self._prepare(surroundings)
        try:
            yield director
        finally:
            self._ending.append(self._workers.submit(director.close))

    def _prepare(self, surroundings: Surroundings) -> Future[Director]:
        if surroundings not in self._ready:
            self._ready[surroundings] = self._workers.submit(Director, surroundings, VIRTUAL)
        return self._ready[surroundings]

    def discard(self) -> None:
        """End what was prepared and not used; what follows has other surroundings."""
        for prepared in self._ready.values():
            self._ending.append(self._workers.submit(_end_prepared, prepared))
        self._ready.clear()

    def close(self) -> None:
        """End everything; raises the first failure to end a director."""
        self.discard()
        self._workers.shutdown(wait=True)
        for ended in self._ending:
            ended.result()


def _end_prepared(prepared: Future[Director]) -> None:
    if prepared.exception() is None:
        prepared.result().close()
