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


def set_realtime(priority: int) -> None:
    """SCHED_RR 1..99 for all threads that there are; 0: none.

    Workers too: they hold the interpreter's lock for moments, and whoever has to wait for
    a thread that gets no CPU is late. Programs that are started do not inherit it.
    Raises OSError.
    """
    if priority:
        # Who runs for so long without ever waiting has lost its way: the kernel ends it.
        resource.setrlimit(_RLIMIT_RTTIME, (_RUNAWAY, _RUNAWAY))
    policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK if priority else os.SCHED_OTHER
    for thread in map(int, os.listdir("/proc/self/task")):
        if os.sched_getscheduler(thread) == policy == os.SCHED_OTHER:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.sched_setscheduler(thread, policy, os.sched_param(priority))


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
        while (entry := self._jobs.get()) is not None:
            job, then = entry
            job()
            if then is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(then)
