# SPDX-License-Identifier: Apache-2.0
"""How late adverts are, as a peer sees them: ``python bench/vrrp_jitter.py`` as root.

Instances of 100 ms on one side of a switch; on the other one, the time between two adverts
is compared with 100 ms. Idle, with as many busy processes as twice the CPUs, with these and
real-time priority, and with these while the whole configuration is reloaded all the time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from ipaddress import ip_interface
from itertools import pairwise
from pathlib import Path

from tests.lab.vrrp_pair import Pair, tshark

from xlvs.io.vrrp import messages as m
from xlvs.model.vrrp import Instance, VirtualAddress

INTERVAL = 0.1
SECONDS = 15.0


def instances(count: int, extra: str = "") -> tuple[Instance, ...]:
    """So many, each with an address, and ``extra`` for the first one."""
    return tuple(
        Instance(
            name=f"v{number}",
            interface="eth0",
            router_id=number,
            version=3,
            advert_interval=INTERVAL,
            addresses=tuple(
                VirtualAddress(address=ip_interface(text))
                for text in (f"10.9.2.{number}/32", *([extra] if extra and number == 1 else []))
            ),
        )
        for number in range(1, count + 1)
    )


def quantile(values: list[float], share: float) -> float:
    """Of sorted values, in milliseconds."""
    return values[min(len(values) - 1, int(len(values) * share))] * 1e3


def run(
    title: str, count: int, hogs: int, *, realtime: int = 0, reload: bool = False
) -> list[float]:
    """One line of the report; returns how late each advert was, sorted."""
    with tempfile.TemporaryDirectory() as folder, Pair(Path(folder)) as pair:
        ours = pair.ours(m.Network(instances=instances(count), realtime=realtime))
        masters = {f"v{number}": "MASTER" for number in range(1, count + 1)}
        ours.wait(patience=30.0, **masters)
        time.sleep(6)  # the second announcements are over
        ours.statistics()
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(hogs)]
        path, tcpdump = pair.capture("a")
        end = time.monotonic() + SECONDS
        other = False
        while time.monotonic() < end:
            time.sleep(0.25)
            ours.read()
            if reload:
                other = not other
                extra = "10.9.3.1/32" if other else ""
                wanted = instances(count, extra)
                ours.tell(m.Network(instances=wanted, realtime=realtime))
        for process in busy:
            process.kill()
            process.wait()
        pair.captured(tcpdump)
        late_max = ours.statistics().late_max * 1e3
        times: dict[str, list[float]] = {}
        for when, router in tshark(
            path, "-Y", "vrrp", fields=("frame.time_epoch", "vrrp.virt_rtr_id")
        ):
            times.setdefault(router, []).append(float(when))
        late = sorted(
            max(0.0, after - before - INTERVAL)
            for each in times.values()
            for before, after in pairwise(each)
        )
        print(
            f"{title:44s} {len(late):6d} adverts  p50 {quantile(late, 0.5):6.2f}"
            f"  p99 {quantile(late, 0.99):6.2f}  p99.9 {quantile(late, 0.999):6.2f}"
            f"  max {late[-1] * 1e3:6.2f}  own {late_max:6.2f} ms",
            flush=True,
        )
        return late


def main() -> None:
    """The report."""
    hogs = 2 * (os.cpu_count() or 1)
    print(f"late by ms; load before: {os.getloadavg()[0]:.1f}, CPUs: {os.cpu_count()}")
    run("20 instances", 20, 0)
    run(f"20 instances, {hogs} busy processes", 20, hogs)
    run(f"20 instances, {hogs} busy, real-time 50", 20, hogs, realtime=50)
    run(f"20 instances, {hogs} busy, real-time, reloads", 20, hogs, realtime=50, reload=True)
    run("200 instances, reloads", 200, 0, reload=True)
    run(f"200 instances, {hogs} busy, real-time, reloads", 200, hogs, realtime=50, reload=True)


if __name__ == "__main__":
    main()
