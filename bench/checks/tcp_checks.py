# SPDX-License-Identifier: Apache-2.0
"""What TCP_CHECK costs: thousands of checks, each every few seconds, in a namespace of its own.

    unshare --net python bench/checks/tcp_checks.py [CHECKS [PERIOD [SECONDS]]]

The CPU time includes the kernel's, and the listeners' side of each handshake too, because on
``lo`` it is done in the sender's name: a real network costs less.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import sys
import time
from ipaddress import IPv4Address

from xlvs.io.checkers import sockets
from xlvs.io.checkers.prober import Prober
from xlvs.io.checkers.target import Target
from xlvs.io.notification.runner import Runner
from xlvs.model.checker import AnyCheck, PingCheck, TcpCheck

PORT = 8000


async def _check(prober: Prober, check: AnyCheck, target: Target, period: float,
                 counts: dict[str, int]) -> None:  # fmt: skip
    loop = asyncio.get_running_loop()
    due = loop.time() + random.uniform(0, period)  # noqa: S311  # jitter
    while True:
        await asyncio.sleep(due - loop.time())
        outcome = await prober.run(check, target, deadline=loop.time() + 5)
        word = "good" if outcome.ok else outcome.cause
        counts[word] = counts.get(word, 0) + 1
        due += period


async def _measure(check: AnyCheck, many: int, period: float, seconds: float) -> None:
    prober = Prober(Runner())
    counts: dict[str, int] = {}
    first = int(IPv4Address("127.1.0.1"))
    tasks = [
        asyncio.create_task(
            _check(prober, check, Target(IPv4Address(first + n), PORT), period, counts)
        )
        for n in range(many)
    ]
    await asyncio.sleep(period)
    counts.clear()
    begin, cpu = time.monotonic(), os.times()
    late = 0.0
    while time.monotonic() < begin + seconds:
        before = time.monotonic()
        await asyncio.sleep(0.05)
        late = max(late, time.monotonic() - before - 0.05)
    took, spent = time.monotonic() - begin, os.times()
    user, system = spent.user - cpu.user, spent.system - cpu.system
    done = sum(counts.values())
    print(
        f"{type(check).__name__}: {done / took:.0f}/s, {(user + system) / took:.1%} of a core"
        f" (user {user / took:.1%}, kernel {system / took:.1%}),"
        f" {(user + system) / max(done, 1) * 1e6:.0f} µs each; loop late by at most"
        f" {late * 1e3:.1f} ms; {counts}"
    )
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    prober.close()


def main() -> None:
    """Measure and print."""
    given = [float(word) for word in sys.argv[1:]]
    many, period, seconds = (*given, *(10000.0, 5.0, 10.0)[len(given) :])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    sockets.raise_file_limit()
    with socket.create_server(("0.0.0.0", PORT), backlog=4096):  # noqa: S104  # in a namespace
        for check in (TcpCheck(), PingCheck()):
            asyncio.run(_measure(check, int(many), period, seconds))


if __name__ == "__main__":
    main()
