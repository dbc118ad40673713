# SPDX-License-Identifier: Apache-2.0
"""Replay of ``facts/conn/story-rate-estimator.json``: how rates rise and fall.

IPVS's estimator runs every two seconds. The recording does not know when; here the
packets are sent just after a run, so that none falls between them.
"""

from __future__ import annotations

import time
from typing import Any

from . import compare, frames
from .director import Director
from .facts import Difference
from .retarget import prefix, retarget
from .topology import CLIENT_SIDE

_RUNS = 2  # of the estimator, after the first reading: the rest follows the same rule
_PATIENCE = 3.0  # seconds for one run
_CLIENT = "203.0.113.1"


def replay(director: Director, name: str, story: Any, place: int) -> list[Difference]:
    """The readings in order, as one difference if they are not the recorded ones."""
    director.clear()
    steps = retarget(story["steps"], place)
    director.configure([step["ipvsadm"] for step in steps[:2]])
    _wait_for_a_run(director, f"{prefix(place)}.2")
    lines = [step["service_line"] for step in steps if "service_line" in step][: 1 + _RUNS]
    virtual = f"{prefix(place)}.1"
    for port in range(30000, 30100):
        packet = frames.tcp(_CLIENT, port, virtual, 80, "S")
        compare.exchange(director, CLIENT_SIDE, packet, 1, settle=0)
    readings = [_reading(director, virtual)]
    while len(readings) < len(lines):
        readings.append(_next_reading(director, virtual, readings[-1]))
    return [] if readings == lines else [Difference(name, lines, readings)]


def _wait_for_a_run(director: Director, virtual: str) -> None:
    """Until the counters of another service, which change at a run only, have changed."""
    service = f"-t {virtual}:80"
    director.configure([f"-A {service} -s rr", f"-a {service} -r 192.168.200.12:80 -g"])
    before = director.ipvsadm(f"-Ln --stats {service}").stdout
    packet = frames.tcp(_CLIENT, 30000, virtual, 80, "S")
    compare.exchange(director, CLIENT_SIDE, packet, 1)
    deadline = time.monotonic() + _PATIENCE
    while director.ipvsadm(f"-Ln --stats {service}").stdout == before:
        if time.monotonic() > deadline:
            raise RuntimeError("no estimator run within three seconds")
        time.sleep(0.02)


def _reading(director: Director, virtual: str) -> str:
    listing = director.ipvsadm("-Ln --rate --exact").stdout
    return next(line for line in listing.splitlines() if virtual in line)


def _next_reading(director: Director, virtual: str, last: str) -> str:
    deadline = time.monotonic() + _PATIENCE
    while (reading := _reading(director, virtual)) == last and time.monotonic() < deadline:
        time.sleep(0.05)
    return reading
