# SPDX-License-Identifier: Apache-2.0
"""Replay of ``facts/packets`` and ``facts/more``: what goes in, what comes out, byte for byte.

The second kind also says what the connection table and the counters were after each step.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from . import compare, facts
from .director import Director, Surroundings
from .facts import Difference
from .topology import Seen


def surroundings(case: dict[str, Any], hook: str) -> Surroundings:
    """The director that a case was recorded with."""
    environment = case.get("environment", {})
    marks = tuple((mark, network) for mark, network in environment.get("marks", ()))
    settings = tuple(environment.get("sysctl", ()))
    return Surroundings(hook, settings, environment.get("mtu1"), marks)


def replay(director: Director, name: str, case: dict[str, Any]) -> list[Difference]:
    """Every difference, named ``<name>/<step>``, of tables ``<name>/<step>/conns`` or ``dests``."""
    director.clear()
    director.configure(case.get("setup", ()))
    differences = []
    for number, step in enumerate(case["steps"], start=1):
        where = f"{name}/{number}"
        virtual = tuple(case.get("virtual", ("",)))
        if "stdout" in step:
            answer = director.ipvsadm(step["ipvsadm"])
            differences += compare.printed(where, step["stdout"], answer, virtual)
        elif "ipvsadm" in step:
            director.configure([step["ipvsadm"]])
        if "wait_seconds" in step:
            time.sleep(step["wait_seconds"])
        if "in_hex" in step:
            differences += _packet(director, where, step)
        if "conns" in step:
            differences += compare.tables(director, where, step, virtual, case.get("slack", 1))
    return differences


def _packet(director: Director, where: str, step: dict[str, Any]) -> list[Difference]:
    packet = facts.whole_packet(step["in_hex"], step["in"])
    side = compare.side_of(step["from"])
    seen = compare.exchange(director, side, packet, len(step["out"]))
    if _same(step["out"], packet, side, seen):
        return []
    expected = [f"to {out['to']}: {out['text']}" for out in step["out"]]
    got = [compare.out_line(one) for one in seen]
    if expected == got:  # the text does not show it: show the bytes
        expected = [out["hex"] for out in step["out"]]
        got = [one.packet.hex() for one in seen]
    return [Difference(where, expected, got)]


def _same(expected: Sequence[dict[str, str]], sent: bytes, side: int, seen: Sequence[Seen]) -> bool:
    if len(expected) != len(seen):
        return False
    return all(
        out["to"] == one.receiver
        and facts.same_packet(
            out["hex"],
            one.packet,
            made_by_director=facts.made_by_director(sent, side, one.packet, one.side),
        )
        for out, one in zip(expected, seen, strict=True)
    )
