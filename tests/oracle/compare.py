# SPDX-License-Identifier: Apache-2.0
"""Comparing what a director shows with what the facts say it should.

Timers may differ by one second: both sides are read a moment after the packet.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from . import facts
from .director import Answer, Connection, Director, Load
from .packets_text import describe
from .topology import CLIENT_SIDE, SERVER_SIDE, Seen

# How long a packet that should come may take, how long to listen for one that should not,
# and for one too many. Everything happens in one kernel, mostly before send() returns.
_PATIENCE = 1.0
_SILENCE = 0.02
_SETTLE = 0.003


def exchange(
    director: Director, side: int, packet: bytes, expected: int, *, settle: float = _SETTLE
) -> list[Seen]:
    """Send one packet and return what came out.

    ``expected`` frames are waited for; ``settle`` seconds are spent on further ones.
    """
    network = director.network
    network.drain()
    network.send(side, packet)
    if expected == 0:
        return network.receive(1, patience=_SILENCE)
    return network.receive(expected, patience=_PATIENCE, settle=settle)


def side_of(sender: str) -> int:
    """The cable of a sender as the facts name it."""
    return {"client": CLIENT_SIDE, "real server": SERVER_SIDE}[sender]


def out_line(seen: Seen) -> str:
    """``to rs1: IP ...``, as the stories tell it."""
    try:
        text = describe(seen.packet)
    except (IndexError, ValueError, struct.error):  # a packet that was odd when it came in
        text = f"? {seen.packet.hex()}"
    return f"to {seen.receiver}: {text}"


def same_lines(expected: Sequence[str], sent: bytes, side: int, seen: Sequence[Seen]) -> bool:
    """Whether the frames are those that the story tells of, in order."""
    if len(expected) != len(seen):
        return False
    for line, one in zip(expected, seen, strict=True):
        wanted, got = line, out_line(one)
        if facts.made_by_director(sent, side, one.packet, one.side):
            wanted, got = facts.text_without_identity(wanted), facts.text_without_identity(got)
        if wanted != got:
            return False
    return True


def recorded_connection(line: str) -> Connection:
    """``TCP client virtual server STATE seconds``, of a template also engine and data."""
    protocol, client, virtual, server, state, expires, *engine = line.split()
    return Connection(protocol, client, virtual, server, state, int(expires), " ".join(engine))


def recorded_load(text: str) -> Load:
    """``w1 active0 inactive2``."""
    weight, active, inactive = text.split()
    return Load(
        int(weight.removeprefix("w")),
        int(active.removeprefix("active")),
        int(inactive.removeprefix("inactive")),
    )


def recorded_loads(recorded: dict[str, str]) -> dict[str, Load]:
    """A story's ``dests``, addresses in their usual spelling."""
    return {str(ip_address(address)): recorded_load(text) for address, text in recorded.items()}


def without_ended(
    connections: Sequence[Connection], loads: dict[str, Load]
) -> tuple[list[Connection], dict[str, Load]]:
    """The same without connections whose timer reads 0.

    IPVS shows such a connection, and counts it as inactive, until its timer runs in the
    next tick. Whether one still sees it is a race, so both views are right.
    """
    remaining, counted = [], dict(loads)
    for connection in connections:
        if connection.expires:
            remaining.append(connection)
            continue
        if connection.client.endswith(":0"):  # a template: not counted here
            continue
        address = connection.server.rsplit(":", 1)[0].strip("[]")
        if address in counted and counted[address].inactive:
            load = counted[address]
            counted[address] = replace(load, inactive=load.inactive - 1)
    return remaining, counted


def same_connections(
    expected: Sequence[Connection], got: Sequence[Connection], slack: int = 1
) -> bool:
    """Whether both are the same connections; timers within ``slack`` seconds."""
    if len(expected) != len(got):
        return False
    return all(
        replace(one, expires=0) == replace(other, expires=0)
        and abs(one.expires - other.expires) <= slack
        for one, other in zip(sorted(expected, key=_order), sorted(got, key=_order), strict=True)
    )


def _order(connection: Connection) -> tuple[str, str, int]:
    return (repr(replace(connection, expires=0)), connection.state, connection.expires)


_TIMER = re.compile(r"\d+:\d\d +")
_TABLE_SIZE = re.compile(r"\(size=\d+\)")


def printed(
    where: str, expected: str, answer: Answer, virtual: tuple[str, ...]
) -> list[facts.Difference]:
    """How what a command printed differs from what it should, but for the table's size.

    Connections are listed in any order, others' too; their timers are compared elsewhere.
    """
    if answer.status or answer.stderr:
        return [facts.Difference(where, "success", answer)]
    wanted, got = (_comparable(text, virtual) for text in (expected, answer.stdout))
    return [] if wanted == got else [facts.Difference(f"{where}/stdout", wanted, got)]


def _comparable(text: str, virtual: tuple[str, ...]) -> str:
    text = _TABLE_SIZE.sub("", text)
    if not text.startswith("IPVS connection entries"):
        return text
    heads, lines = text.splitlines(keepends=True)[:2], text.splitlines(keepends=True)[2:]
    ours = (line for line in lines if any(f" {prefix}" in line for prefix in virtual))
    return "".join(heads + sorted(_TIMER.sub("", line, count=1) for line in ours))


def tables(
    director: Director,
    where: str,
    step: dict[str, Any],
    virtual: tuple[str, ...],
    slack: int = 1,
) -> list[facts.Difference]:
    """How the connection table and the counters differ from a step's ``conns`` and ``dests``.

    Only connections to virtual addresses that begin with one of ``virtual`` are looked
    at; their timers may differ by ``slack`` seconds.
    """
    differences = []
    expected = [recorded_connection(line) for line in step["conns"]]
    shown = [one for one in director.connections() if one.virtual.startswith(virtual)]
    # Several services with the same servers have no counters by server.
    loads = recorded_loads(step["dests"]) if "dests" in step else {}
    counted = director.loads() if "dests" in step else {}
    fewer_expected, fewer_loads = without_ended(expected, loads)
    fewer_shown, fewer_counted = without_ended(shown, counted)
    if not (
        same_connections(expected, shown, slack)
        or same_connections(fewer_expected, fewer_shown, slack)
    ):
        differences.append(facts.Difference(f"{where}/conns", expected, shown))
    if counted not in (loads, fewer_loads) and fewer_counted not in (loads, fewer_loads):
        differences.append(facts.Difference(f"{where}/dests", loads, counted))
    return differences
