# SPDX-License-Identifier: Apache-2.0
"""Replay of ``facts/conn/story-*.json``: packets, connection table and counters, step by step."""

from __future__ import annotations

import re
import time
from typing import Any

from . import compare
from .director import Director
from .facts import Difference
from .packets_text import build
from .retarget import prefix, retarget

# The recordings carry their sysctls in their names; kernel defaults need not be set.
_SETTINGS = (
    (re.compile(r"expire_nodest_conn([1-9])"), "expire_nodest_conn"),
    (re.compile(r"-mode([02-9])"), "conn_reuse_mode"),
    (re.compile(r"sloppy([1-9])"), "sloppy_tcp"),
    (re.compile(r"nat_icmp_send([1-9])"), "nat_icmp_send"),
    (re.compile(r"schedule_icmp([1-9])"), "schedule_icmp"),
)

_TABLE_SIZE = re.compile(r"\(size=\d+\)")


def settings(name: str) -> tuple[str, ...]:
    """What a story's director is started with, as ``net.ipv4.vs.name=value``."""
    found = [
        f"net.ipv4.vs.{key}={match[1]}"
        for pattern, key in _SETTINGS
        if (match := pattern.search(name))
    ]
    if name.endswith("-quiescent"):  # recorded with it, as the story's "why" says
        found.append("net.ipv4.vs.expire_nodest_conn=1")
    return tuple(sorted(found))


def waiting(story: dict[str, Any]) -> float:
    """Seconds that a story waits by itself."""
    return float(sum(step.get("wait_seconds", 0) for step in story["steps"]))


def replay(director: Director, name: str, story: Any, place: int) -> list[Difference]:
    """Every difference, each named ``<name>/<step>`` or ``<name>/<step>/<what>``.

    ``place`` is the story's number among those that this director replays.
    """
    director.clear()
    differences = []
    for number, step in enumerate(retarget(story["steps"], place), start=1):
        differences += _replay_step(director, f"{name}/{number}", step, prefix(place))
    return differences


def _replay_step(
    director: Director, where: str, step: dict[str, Any], virtual: str
) -> list[Difference]:
    differences = []
    if "ipvsadm" in step:
        differences += _command(director, where, step)
    if "wait_seconds" in step:
        time.sleep(step["wait_seconds"])
    if "in" in step:
        differences += _packet(director, where, step)
    if "conns" in step:
        differences += compare.tables(director, where, step, (virtual,))
    return differences


def _command(director: Director, where: str, step: dict[str, Any]) -> list[Difference]:
    answer = director.ipvsadm(step["ipvsadm"])
    if answer.status or answer.stderr:
        return [Difference(where, "success", answer)]
    expected = _TABLE_SIZE.sub("", step.get("stdout", ""))
    got = _TABLE_SIZE.sub("", answer.stdout)
    return [] if expected == got else [Difference(f"{where}/stdout", expected, got)]


def _packet(director: Director, where: str, step: dict[str, Any]) -> list[Difference]:
    try:
        packet = build(step["in"])
    except ValueError as error:
        return [Difference(f"{where}/in", step["in"], error)]
    side = compare.side_of(step["from"])
    seen = compare.exchange(director, side, packet, len(step["out"]))
    if compare.same_lines(step["out"], packet, side, seen):
        return []
    return [Difference(f"{where}/out", step["out"], [compare.out_line(one) for one in seen])]
