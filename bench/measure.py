# SPDX-License-Identifier: Apache-2.0
"""Interleaved rounds of all rows; every run is checked to be what its row claims."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from bench.frames import ACK, SYN, Kind, right
from bench.harness import Flows, Harness, Run
from bench.rows import PROGRAMS, RETURN_DROP, RETURN_TURN, Group, Row
from bench.world import Interfaces, Key, World, client, server

ENDLESS = 1 << 32
"""So many flows that a run of one after the other sees none twice."""


class Wrong(Exception):  # noqa: N818 - it names what the run was
    """A run was not what its row claims; the message says in which way."""


class Effort(NamedTuple):
    """Packets of a run: on established connections, of new ones (a power of two), in single calls.

    ``established`` is raised to the number of flows, if it is lower and ``whole``.
    """

    established: int
    new: int
    singly: int
    whole: bool = True


class Bench:
    """Everything loaded. ``harnesses``: by hook and number of flows, at least for 1."""

    def __init__(
        self,
        harnesses: Mapping[tuple[str, int], Harness],
        worlds: Mapping[Key, World],
        interfaces: Interfaces,
        effort: Effort,
    ) -> None:
        self._harnesses = harnesses
        self._worlds = worlds
        self._interfaces = interfaces
        self._effort = effort
        self._visited: dict[Row, int] = {}

    def fill(self) -> None:
        """Put all flows into the floors' hash maps."""
        for (_, flows), harness in self._harnesses.items():
            for name in ("bench_fill12", "bench_fill40"):
                program = harness.programs[name]
                harness.run(program, client(Kind.TCP4), Flows(flows, mixed=False), flows)
                if harness.misses:
                    raise Wrong(f"{harness.misses} flows did not fit into the floor's map")

    def run(self, row: Row) -> float:
        """One run; its figure in ns per packet. Raises Wrong."""
        return self._floor(row) if row.floor else self._director(row)

    def _floor(self, row: Row) -> float:
        harness = self._harnesses[row.hook, row.flows]
        program = harness.programs[row.floor] if row.wrapped else None
        packets = self._packets(row)
        flows = Flows(row.flows, self._next(row, packets))
        template = client(Kind.TCP4)
        if row.singly:
            times, run = harness.run_singly(harness.programs[row.floor], template, flows, packets)
            each = float(statistics.median(times))
        else:
            run = harness.run(program, template, flows, packets)
            each = run.cpu_ns / packets
        expected = RETURN_TURN if row.floor == "bench_turn" else RETURN_DROP
        if run.retval != expected[row.hook] or harness.misses:
            raise Wrong(f"{row.title}: returned {run.retval}, {harness.misses} misses")
        return each

    def _director(self, row: Row) -> float:
        world = self._worlds[key_of(row)]
        harness = self._harnesses[row.hook, 1]
        program = world.path.programs[PROGRAMS[row.hook]]
        packets = self._packets(row)
        flags = SYN if row.syn else ACK
        if row.opens:
            # as many flows as packets, in an order of no pattern, from clients of their own
            flows = Flows(packets)
            address = world.new_clients(packets)
            template = client(row.kind, flags)
            template = template._replace(address=template.address + address)
        else:
            flows = Flows(row.flows, self._next(row, packets))
            answer = row.kind is Kind.REPLY4
            ours = row.reason != "pass_no_service"
            template = server() if answer else client(row.kind, flags, ours=ours)
        side = self._interfaces.eth1 if row.kind is Kind.REPLY4 else self._interfaces.eth0
        before, counted = world.table(), world.reasons()
        if row.singly:
            times, run = harness.run_singly(program, template, flows, packets)
            each = float(statistics.median(times))
        else:
            run = harness.run(program, template, flows, packets, side)
            each = run.cpu_ns / packets
        after = world.table()
        created = after.created - before.created
        reasons = {name: n - counted[name] for name, n in world.reasons().items()}
        if row.opens:
            world.forget()
        _check(row, run, packets, {name: n for name, n in reasons.items() if n}, created)
        if after.evicted != before.evicted:
            raise Wrong(f"{row.title}: {after.evicted - before.evicted} connections made room")
        return each

    def _packets(self, row: Row) -> int:
        if row.singly:
            return self._effort.singly
        if row.opens:
            return self._effort.new
        if self._effort.whole:
            return max(self._effort.established, row.flows)
        return self._effort.established

    def _next(self, row: Row, packets: int) -> int:
        """Go on where the last run of this row ended: short runs visit all flows in time."""
        at = self._visited.get(row, 0)
        self._visited[row] = at + packets
        return at


def key_of(row: Row) -> Key:
    """The data path that a director's row runs on."""
    groups6 = {Group.ESTABLISHED6, Group.NEW6}
    without = row.group is Group.STATELESS
    return Key(row.method, row.connections, v6=row.group in groups6, stateless=without)


def _check(row: Row, run: Run, packets: int, reasons: dict[str, int], created: int) -> None:
    opened = packets if row.opens else 0
    if reasons != {row.reason: packets}:
        raise Wrong(f"{row.title}: {packets} packets should be {row.reason}, but were {reasons}")
    if created != opened:
        raise Wrong(f"{row.title}: {created} connections were opened, not {opened}")
    if not right(run.out):
        raise Wrong(f"{row.title}: a checksum of the packet that came out is wrong")


Row_contra = TypeVar("Row_contra", bound=Hashable, contravariant=True)
Report = Callable[[str], None]


class Runs(Protocol[Row_contra]):
    """What has rows that can be measured."""

    def run(self, row: Row_contra) -> float:
        """One run; its figure in ns per packet. Raises Wrong."""


def rounds(
    bench: Runs[Row_contra], rows: Sequence[Row_contra], number: int, report: Report, until: float
) -> tuple[dict[Row_contra, list[float]], dict[Row_contra, str]]:
    """``number`` rounds after one to warm up, rows in another order in each.

    At least one, but none that would not be over by ``until`` of the monotonic clock.
    Gives the figures of each row, and what was wrong with those that have none.
    """
    found: dict[Row_contra, list[float]] = {row: [] for row in rows}
    wrong: dict[Row_contra, str] = {}
    shuffled = random.Random(1)  # noqa: S311 - an order that repeats is wanted
    longest = 0.0
    for turn in range(number + 1):
        begin = time.monotonic()
        if turn > 1 and begin + longest > until:
            report(f"{turn - 1} rounds are all that there is time for")
            break
        report(f"round {turn} of {number}" if turn else "warming up")
        order = list(rows)
        shuffled.shuffle(order)
        for row in order:
            if row in wrong:
                continue
            try:
                each = bench.run(row)
            except Wrong as error:
                wrong[row] = str(error)
                continue
            if turn:
                found[row].append(each)
        longest = max(longest, time.monotonic() - begin)
    return {row: values for row, values in found.items() if row not in wrong}, wrong
