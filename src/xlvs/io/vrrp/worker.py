# SPDX-License-Identifier: Apache-2.0
"""A thread for what may have to wait: the kernel's lock of all links, ``ip``'s processes.

Jobs are done in order. The loop that sends adverts only puts them into a queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import resource
import threading
from collections.abc import Callable

Job = Callable[[], None]


_RLIMIT_RTTIME = 15
_RUNAWAY = 5_000_000  # microseconds

_realtime = 0


def set_realtime(priority: int) -> None:
    """SCHED_RR 1..99 for the calling thread, and for workers from their next job; 0: none.

    Workers too: they hold the interpreter's lock for moments, and whoever has to wait for
    a thread that gets no CPU is late. Programs that are started do not inherit it.
    Raises OSError.
    """
    global _realtime  # noqa: PLW0603  # one per process, as what it is about
    if priority:
        # Who runs for so long without ever waiting has lost its way: the kernel ends it.
        resource.setrlimit(_RLIMIT_RTTIME, (_RUNAWAY, _RUNAWAY))
    _realtime = priority
    _adopt(priority)


def _adopt(priority: int) -> None:
    policy = os.SCHED_RR if priority else os.SCHED_OTHER
    if os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == policy == os.SCHED_OTHER:
        return
    flags = os.SCHED_RESET_ON_FORK if priority else 0
    os.sched_setscheduler(0, policy | flags, os.sched_param(priority))


class Worker:
    """``put`` a job, and what the loop does when it is done."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: queue.SimpleQueue[tuple[Job, Job | None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, job: Job, then: Job | None = None) -> None:
        """Do ``job`` in the thread, ``then`` afterwards in the loop."""
        self._jobs.put((job, then))

    def finish(self, patience: float) -> bool:
        """Do what is left and end; returns whether that was within ``patience`` seconds."""
        self._jobs.put(None)
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _work(self) -> None:
        adopted = 0
        while (entry := self._jobs.get()) is not None:
            job, then = entry
            if _realtime != adopted:
                adopted = _realtime
                with contextlib.suppress(OSError):
                    _adopt(adopted)
            job()
            if then is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(then)
