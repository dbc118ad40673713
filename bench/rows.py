# SPDX-License-Identifier: Apache-2.0
"""What is measured: one row for each program, hook, kind of packet and number of flows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from bench.frames import Kind
from xlvs.model.service import Method

HOOKS = ("xdp", "tc")
PROGRAMS = {"xdp": "xlvs_xdp", "tc": "xlvs_tc_ingress"}
FLOWS = (1, 1 << 12, 1 << 16, 1 << 20)
FLOWS6 = (1, 1 << 20)
STATELESS_METHODS = (Method.DR, Method.TUN)
RETURN_DROP = {"xdp": 1, "tc": 2}
RETURN_TURN = {"xdp": 3, "tc": 7}


class Group(StrEnum):
    """Which table a row belongs to."""

    FLOOR = "floor"
    ESTABLISHED = "established"
    NEW = "new"
    STATELESS = "stateless"
    ESTABLISHED6 = "established6"
    NEW6 = "new6"
    OTHER = "other"


_LABELS = {
    Group.ESTABLISHED: "{}, established",
    Group.NEW: "{}, new",
    Group.STATELESS: "{}, stateless mh",
    Group.ESTABLISHED6: "{}, IPv6, established",
    Group.NEW6: "{}, IPv6, new",
}


class Row(NamedTuple):
    """One figure. ``name`` is unique in group, hook and flows.

    ``floor``: program of the benchmark's own, "" if it is the director. ``reason``:
    what the director must count every packet as. ``connections``: how many the data
    path has; for a floor nothing. ``syn``: the packets are SYNs.
    """

    group: Group
    name: str
    hook: str
    flows: int
    kind: Kind = Kind.TCP4
    floor: str = ""
    wrapped: bool = True
    method: Method = Method.NAT
    reason: str = ""
    connections: int = 0
    singly: bool = False
    syn: bool = False

    @property
    def opens(self) -> bool:
        """Whether every packet opens a connection."""
        return self.group in {Group.NEW, Group.NEW6}

    @property
    def label(self) -> str:
        """A name that tells it from rows of other groups."""
        return _LABELS.get(self.group, "{}").format(self.name)

    @property
    def title(self) -> str:
        """For messages."""
        return f"{self.group}, {self.name}, {self.hook}, {number(self.flows)} flows"


FLOOR_EMPTY = "empty program, no wrapper"
FLOOR_WRAPPER = "wrapper + drop"
FLOOR_SINGLY = "wrapper + drop, one system call each"
FLOOR_TURN = "wrapper + MAC swap + TX"
FLOOR_FIND12 = "wrapper + hash look-up, 12-byte key"
FLOOR_FIND40 = "wrapper + hash look-up, 40-byte key"
NOT_OURS = "not ours"


def number(flows: int) -> str:
    """1, 64 K, 1 M."""
    for unit, size in (("M", 1 << 20), ("K", 1 << 10)):
        if flows >= size:
            return f"{flows // size} {unit}"
    return str(flows)


def floors(hook: str, flows: Iterable[int]) -> list[Row]:
    """The floors at one hook."""
    rows = [
        Row(Group.FLOOR, FLOOR_EMPTY, hook, 1, floor="bench_empty", wrapped=False),
        Row(Group.FLOOR, FLOOR_WRAPPER, hook, 1, floor="bench_empty"),
        Row(Group.FLOOR, FLOOR_TURN, hook, 1, floor="bench_turn"),
    ]
    for each in flows:
        rows.append(Row(Group.FLOOR, FLOOR_FIND12, hook, each, floor="bench_find12"))
        rows.append(Row(Group.FLOOR, FLOOR_FIND40, hook, each, floor="bench_find40"))
    return rows


def _single_calls(hook: str, method: Method) -> bool:
    """The kernel refuses to encapsulate an skb twice, and nothing takes the mark off again.

    No repetition after the first would be the same.
    """
    return hook == "tc" and method is Method.TUN


def methods(hook: str, method: Method, flows: int) -> list[Row]:
    """Established connections and new ones of one method, over IPv4 and TCP."""
    row = Row(
        Group.ESTABLISHED,
        method,
        hook,
        flows,
        method=method,
        reason=f"fwd_{method}",
        connections=flows,
        singly=_single_calls(hook, method),
    )
    return [row, row._replace(group=Group.NEW, syn=True)]


def methods6(hook: str, method: Method, flows: int) -> list[Row]:
    """The same over IPv6."""
    groups = {Group.ESTABLISHED: Group.ESTABLISHED6, Group.NEW: Group.NEW6}
    return [
        row._replace(group=groups[row.group], kind=Kind.TCP6)
        for row in methods(hook, method, flows)
    ]


def stateless(hook: str, method: Method, flows: int) -> list[Row]:
    """A service without connections: packets in the middle of one, and SYNs."""
    row = Row(
        Group.STATELESS,
        method,
        hook,
        flows,
        method=method,
        reason=f"fwd_{method}",
        singly=_single_calls(hook, method),
    )
    return [row, row._replace(name=f"{method}, SYN", syn=True)]


def others(hook: str, flows: Sequence[int]) -> list[Row]:
    """Single rows, NAT but for one: UDP, answers, packets of nobody's."""
    row = Row(Group.OTHER, "", hook, 1, reason="fwd_nat", connections=1)
    rows = [
        row._replace(name="nat, UDP over IPv4", kind=Kind.UDP4),
        row._replace(name=NOT_OURS, reason="pass_no_service"),
    ]
    if hook == "tc":
        # What a single call costs more: by this, tun's row can be compared with the rest.
        alone = row._replace(name="dr, one system call each", method=Method.DR, singly=True)
        rows += [alone._replace(reason="fwd_dr", flows=n, connections=n) for n in flows]
    answer = row._replace(name="nat, the real server's answer", kind=Kind.REPLY4)
    rows += [answer._replace(reason="fwd_reply", flows=n, connections=n) for n in flows]
    return rows


def select(
    hooks: Sequence[str],
    wanted: Sequence[Method],
    flows: Sequence[int],
    groups: Sequence[Group],
    flows6: Sequence[int] = FLOWS6,
) -> list[Row]:
    """All rows that are asked for; the floors that the others are compared with always."""
    rows: list[Row] = []
    for hook in hooks:
        rows += floors(hook, flows)
        found = [row for m in wanted for n in flows for row in methods(hook, m, n)]
        without = [m for m in wanted if m in STATELESS_METHODS]
        found += [row for m in without for n in flows for row in stateless(hook, m, n)]
        found += [row for m in wanted for n in flows6 for row in methods6(hook, m, n)]
        rows += [row for row in found if row.group in groups]
        if Group.OTHER in groups:
            rows += others(hook, flows)
        if any(row.singly and row.hook == hook for row in rows):
            rows.append(Row(Group.FLOOR, FLOOR_SINGLY, hook, 1, floor="bench_empty", singly=True))
    return rows
