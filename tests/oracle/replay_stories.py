# SPDX-License-Identifier: Apache-2.0
"""Replay of ``facts/conn/story-*.json``: packets, connection table and counters, step by step."""

from __future__ import annotations

import re
import struct
import time
from typing import Any

from . import compare, frames
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
    (re.compile(r"quiescent-template([1-9])"), "expire_quiescent_template"),
)

# What a mark is given to, and what connections to it are listed as.
_MARK = 1
_MARKED = ("10.9.0.0/16", "fd00:9::/64")
_MARKED_VIRTUAL = ("10.9.", "[fd00:9:", "0.0.0.1:", "[0:1::]:")
_IPV6_VIRTUAL = ("[fd00:1::",)


_SIP = b"INVITE sip:bob@example.org SIP/2.0\r\nCall-ID: %s\r\n\r\n"


def settings(name: str) -> tuple[str, ...]:
    """What a story's director is started with, as ``net.ipv4.vs.name=value``."""
    found = [
        f"net.ipv4.vs.{key}={match[1]}"
        for pattern, key in _SETTINGS
        if (match := pattern.search(name))
    ]
    if "drop_packet-always" in name:
        found += ["net.ipv4.vs.drop_packet=3", "net.ipv4.vs.am_droprate=5"]
    if name.endswith("-quiescent"):  # recorded with it, as the story's "why" says
        found.append("net.ipv4.vs.expire_nodest_conn=1")
    return tuple(sorted(found))


_EXPIRY_LAG = 0.4
"""Seconds that a connection may outlive its time-out, the sweep that counts it out included."""


def waiting(story: dict[str, Any]) -> float:
    """Seconds that a story waits by itself."""
    return float(sum(step.get("wait_seconds", 0) for step in story["steps"]))


def replay(director: Director, name: str, story: Any, place: int) -> list[Difference]:
    """Every difference, each named ``<name>/<step>`` or ``<name>/<step>/<what>``.

    ``place`` is the story's number among those that this director replays.
    """
    director.clear()
    virtual: tuple[str, ...] = (f"{prefix(place)}.",)
    if has_marks(name):
        virtual += _MARKED_VIRTUAL
    if _has_ipv6(story):
        virtual += _IPV6_VIRTUAL
    differences = []
    templates: set[tuple[str, str]] = set()
    for number, step in enumerate(retarget(story["steps"], place), start=1):
        differences += _replay_step(director, f"{name}/{number}", step, virtual, templates)
    return differences


def _has_ipv6(story: dict[str, Any]) -> bool:
    """Only one story has connections of IPv6, so their addresses are not retargeted."""
    lines = (line for step in story["steps"] for line in step.get("conns", ()))
    return any(_IPV6_VIRTUAL[0] in line for line in lines)


def has_marks(name: str) -> bool:
    """Whether a story is about a firewall mark: it needs a director of its own."""
    return "fwmark" in name


def marks(name: str) -> tuple[tuple[int, str], ...]:
    """Marks and what is given them, as the director is started with."""
    return tuple((_MARK, each) for each in _MARKED) if has_marks(name) else ()


def _replay_step(
    director: Director,
    where: str,
    step: dict[str, Any],
    virtual: tuple[str, ...],
    templates: set[tuple[str, str]],
) -> list[Difference]:
    differences = []
    if "file" in step:
        differences.append(Difference(f"{where}/file", step["file"], "no such file"))
    if "sysctls" in step:
        differences += _settings(director, where, step["sysctls"])
    if "ipvsadm" in step:
        answer = director.ipvsadm(step["ipvsadm"])
        differences += compare.printed(where, step.get("stdout", ""), answer, virtual)
    if "wait_seconds" in step:
        time.sleep(step["wait_seconds"])
    if "in" in step:
        differences += _packet(director, where, step, templates)
    if "conns" in step:
        found = compare.tables(director, where, step, virtual)
        if found and "wait_seconds" in step:
            time.sleep(_EXPIRY_LAG)
            found = compare.tables(director, where, step, virtual)
        differences += found
    return differences


def _settings(director: Director, where: str, recorded: dict[str, str]) -> list[Difference]:
    """Settings that differ from the kernel's, one by one."""
    shown = director.settings()
    pairs = (
        (name, value, shown.get(f"net.ipv4.vs.{name}", "")) for name, value in recorded.items()
    )
    return [
        Difference(f"{where}/{name}", value, got)
        for name, value, got in pairs
        if got.split() != value.split()
    ]


def _packet(
    director: Director, where: str, step: dict[str, Any], templates: set[tuple[str, str]]
) -> list[Difference]:
    try:
        packet = _with_call_id(build(step["in"]), step, templates)
    except ValueError as error:
        return [Difference(f"{where}/in", step["in"], error)]
    side = compare.side_of(step["from"])
    seen = compare.exchange(director, side, packet, len(step["out"]))
    if compare.same_lines(step["out"], packet, side, seen):
        return []
    return [Difference(f"{where}/out", step["out"], [compare.out_line(one) for one in seen])]


def _with_call_id(packet: bytes, step: dict[str, Any], templates: set[tuple[str, str]]) -> bytes:
    """The packet with the Call-ID of the template that it made; the stories do not tell others.

    ``templates``: client and Call-ID of those that there were before.
    """
    connections = (compare.recorded_connection(line) for line in step.get("conns", ()))
    now = {(each.client, each.engine) for each in connections if each.engine}
    (_, engine), *_ = (*(now - templates), ("", ""))
    templates |= now
    if not engine and packet.count(b"x") < len(_SIP):
        return packet
    if not now:
        return packet
    source, destination = frames.addresses(packet)
    header = 20 if packet[0] >> 4 == 4 else 40
    sport, dport, size = struct.unpack_from("!HHH", packet, header)
    call_id = engine.partition(" ")[2] or next(iter(now))[1].partition(" ")[2]
    data = (_SIP % call_id.encode()).ljust(size - 8, b" ")
    return packet[:header] + frames.udp_datagram(source, sport, destination, dport, data)
