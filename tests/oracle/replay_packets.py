# SPDX-License-Identifier: Apache-2.0
"""Replay of ``facts/packets/*.json``: what goes in, what comes out, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import compare, facts
from .director import Director, Surroundings
from .facts import Difference
from .topology import Seen


def surroundings(case: dict[str, Any], hook: str) -> Surroundings:
    """The director that a case was recorded with."""
    environment = case.get("environment", {})
    return Surroundings(hook, tuple(environment.get("sysctl", ())), environment.get("mtu1"))


def replay(director: Director, name: str, case: dict[str, Any]) -> list[Difference]:
    """Every step that differs, named ``<name>/<step>``."""
    director.clear()
    director.configure(case["setup"])
    differences = []
    for number, step in enumerate(case["steps"], start=1):
        packet = facts.whole_packet(step["in_hex"], step["in"])
        side = compare.side_of(step["from"])
        seen = compare.exchange(director, side, packet, len(step["out"]))
        if not _same(step["out"], packet, side, seen):
            expected = [f"to {out['to']}: {out['text']}" for out in step["out"]]
            got = [compare.out_line(one) for one in seen]
            if expected == got:  # the text does not show it: show the bytes
                expected = [out["hex"] for out in step["out"]]
                got = [one.packet.hex() for one in seen]
            differences.append(Difference(f"{name}/{number}", expected, got))
    return differences


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
