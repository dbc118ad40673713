# SPDX-License-Identifier: Apache-2.0
"""``facts/ipvsadm/14-listing-with-traffic``: what ipvsadm shows of real traffic, on each hook.

The same recording is replayed without a data path in test_ipvsadm.py, names included;
here the numbers come from packets.
"""

from __future__ import annotations

import shlex
import time
from typing import Any

import pytest

from . import compare, facts, frames
from .conftest import Verdict
from .director import Surroundings
from .pool import Pool
from .topology import CLIENT_SIDE

NAME = "ipvsadm/14-listing-with-traffic"
LAGGING = range(21, 24)
"""Counters right after the packets: whether the estimator ran meanwhile is a race."""


def _packet(spec: dict[str, Any]) -> bytes:
    source, sport = _point(spec["src"])
    destination, dport = _point(spec["dst"])
    data = b"x" * spec["payload_bytes"]
    if spec["proto"] == "udp":
        return frames.udp(source, sport, destination, dport, data)
    segment = frames.tcp_segment(source, sport, destination, dport, spec["flags"], data=data)
    return frames.packet(source, destination, frames.TCP, segment)


def _point(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    return address.strip("[]"), int(port)


def _wants_names(words: list[str]) -> bool:
    """The director's machine has other names than the recorded one."""
    return words[0] in ("-L", "-Lc")


@pytest.mark.parametrize("hook", ["tc", "xdp-generic"], indirect=True)
def test_listings(hook: str, pool: Pool, verdict: Verdict) -> None:
    differences: list[facts.Difference] = []
    with pool.fresh(Surroundings(hook), another=False) as director:
        for place, record in enumerate(facts.load(NAME)["records"]):
            where = f"{NAME}/{place}"
            if "packet_from_client" in record:
                packet = _packet(record["packet_from_client"])
                compare.exchange(director, CLIENT_SIDE, packet, 1)
            elif "wait_seconds" in record:
                time.sleep(record["wait_seconds"])
            elif place not in LAGGING and not _wants_names(record["argv"]):
                answer = director.ipvsadm(shlex.join(record["argv"]))
                if record["rc"]:
                    got = (answer.status, answer.stderr)
                    if got != (record["rc"], record["stderr"]):
                        differences.append(facts.Difference(where, record["stderr"], got))
                else:
                    differences += compare.printed(where, record["stdout"], answer, ("",))
    verdict([NAME], differences)
