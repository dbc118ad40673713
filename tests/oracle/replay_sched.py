# SPDX-License-Identifier: Apache-2.0
"""Replay of ``facts/sched/*.json``: who got each new connection, one by one."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from . import compare, frames
from .director import Director
from .facts import Difference
from .packets_text import describe
from .retarget import retarget
from .topology import CLIENT_SIDE, Seen

NOBODY = "-"
_UNREACHABLE = re.compile(r"ICMP type=3 code=3|ICMP6 type=1 code=4")
_PORT_RULE = re.compile(r"\(port \+ (\d+)\) % 60000 \+ 2000")
_HASHING = frozenset(("mh", "sh"))
"""Schedulers whose decisions depend on the clients' addresses."""
_FLAGS = {"ack": "A", "fin": "FA", "rst": "R"}
_SHORT_TIMEOUT = 1  # seconds
_GONE_PATIENCE = 5.0


def replay(
    director: Director, name: str, recording: dict[str, Any], place: int
) -> list[Difference]:
    """Every difference of one scenario. ``place`` is its number in the recording."""
    director.clear()
    hashes = recording["scheduler"] in _HASHING
    scenario = retarget(recording["scenarios"][place], place, same_clients=hashes)
    if "sequence" in scenario:
        return _replay_sequence(director, name, scenario, recording)
    director.configure(scenario["setup"])
    if "events" in scenario:
        return _Script(director, name, scenario["setup"]).replay(scenario["events"])
    if "new" in scenario:
        arriving, to = _counted(scenario["new"]), scenario["new"]["to"]
    else:
        arriving, to = _listed(scenario, recording), scenario["to"]
    udp = scenario["setup"][0].split()[1] == "-u"
    return _replay_picks(director, name, scenario["picks"], arriving, to, udp=udp)


def _replay_sequence(
    director: Director, name: str, scenario: dict[str, Any], recording: dict[str, Any]
) -> list[Difference]:
    found = []
    for number, step in enumerate(scenario["sequence"], start=1):
        if "ipvsadm" in step:
            director.configure([step["ipvsadm"]])
            continue
        arriving = _listed(step, recording)
        where = f"{name}/{number}"
        found += _replay_picks(director, where, step["picks"], arriving, scenario["to"])
    return found


def _replay_picks(
    director: Director,
    name: str,
    wanted: str,
    arriving: Iterable[tuple[str, int]],
    to: str,
    *,
    udp: bool = False,
) -> list[Difference]:
    picks = ""
    for client in arriving:
        packet = _packet(client, _endpoint(to), None if udp else "S")
        picks += _new_pick(compare.exchange(director, CLIENT_SIDE, packet, 1, settle=0))
    return [] if picks == wanted else [Difference(name, wanted, picks)]


def _counted(arrivals: dict[str, Any]) -> Iterator[tuple[str, int]]:
    if arrivals["step"] != "address+1, port+1":
        raise ValueError(f"unknown step {arrivals['step']!r}")
    address, port = _endpoint(arrivals["from"])
    for i in range(arrivals["count"]):
        yield str(ip_address(address) + i), port + i


def _listed(step: dict[str, Any], recording: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Clients by the name of their list, such as ``clients4`` or ``clients4[:200]``."""
    name = step["clients"].partition("[")[0]
    rule = step.get("port_rule")
    for address, port in recording[name][: len(step["picks"])]:
        yield address, port if rule is None else _ruled(rule, port)


def _ruled(rule: str, port: int) -> int:
    found = _PORT_RULE.fullmatch(rule)
    if found is None:
        raise ValueError(f"unknown rule {rule!r}")
    return (port + int(found[1])) % 60000 + 2000


@dataclass
class _Flow:
    """One connection of a script and what IPVS must think of it."""

    client: tuple[str, int]
    virtual: tuple[str, int]
    server: str
    state: str


@dataclass
class _Script:
    """The events of a script, in order.

    ``gone`` was recorded like this: short time-outs, one more packet of each of the
    connections (which restarts its timer, unless its server is not in the list any
    more), a wait. So only those leave that such a packet still reaches.
    """

    director: Director
    name: str
    setup: list[str]
    flows: dict[str, _Flow] = field(default_factory=dict)
    servers: set[str] = field(default_factory=set)
    udp: bool = False

    def replay(self, events: list[str]) -> list[Difference]:
        self.udp = self.setup[0].split()[1] == "-u"
        for line in self.setup:
            self._note_servers(line)
        differences = []
        for number, event in enumerate(events, start=1):
            kind, _, rest = event.partition(" ")
            got = self._happen(kind, rest)
            if got != event.rstrip():
                differences.append(Difference(f"{self.name}/{number}", event, got))
        return differences

    def _happen(self, kind: str, rest: str) -> str:
        if kind == "new":
            return self._new(rest)
        if kind in _FLAGS:
            return self._packet(kind, rest.split(maxsplit=1)[0])
        if kind == "ipvsadm":
            answer = self.director.ipvsadm(rest)
            self._note_servers(rest)
            return f"ipvsadm {rest}" if answer.status == 0 else f"ipvsadm {rest}: {answer}"
        if kind == "counters":
            return self._counters()
        if kind == "gone":
            return f"gone {self._expire(rest.split())}".rstrip()
        raise ValueError(f"unknown event {kind!r}")

    def _new(self, rest: str) -> str:
        number, client, virtual, _, _ = rest.split()
        flow = _Flow(_endpoint(client), _endpoint(virtual), "", "UDP" if self.udp else "SYN")
        packet = _packet(flow.client, flow.virtual, None if self.udp else "S")
        flow.server = _new_pick(self._send(packet, 1))
        self.flows[number] = flow
        return f"new {number} {client} {virtual} -> {flow.server}"

    def _packet(self, kind: str, number: str) -> str:
        flow = self.flows[number]
        reached = flow.server in self.servers
        packet = _packet(flow.client, flow.virtual, _FLAGS[kind])
        seen = self._send(packet, 1 if reached else 0)
        pick = next((str(one.server) for one in seen if one.server), NOBODY)
        if pick != NOBODY and kind == "ack" and flow.state == "SYN":
            flow.state = "ESTABLISHED"
        elif pick != NOBODY and kind == "fin":
            flow.state = "FIN_WAIT" if flow.state == "ESTABLISHED" else "TIME_WAIT"
        return f"{kind} {number} -> {pick}"

    def _send(self, packet: bytes, expected: int) -> list[Seen]:
        return compare.exchange(self.director, CLIENT_SIDE, packet, expected, settle=0)

    def _counters(self) -> str:
        loads = sorted(self.director.loads().items())
        return "counters " + " ".join(
            f"{address[-1]}:w{load.weight},a{load.active},i{load.inactive}"
            for address, load in loads
        )

    def _expire(self, numbers: list[str]) -> str:
        """Let the timers of these connections run out; the numbers that are gone or
        that, being out of reach, must stay."""
        leaving = {
            number: self.flows[number]
            for number in numbers
            if self.flows[number].server in self.servers
            and self.flows[number].state in ("UDP", "FIN_WAIT")
        }
        counted = self._counted()
        if leaving:
            self.director.configure([f"--set 0 {_SHORT_TIMEOUT} {_SHORT_TIMEOUT}"])
            for flow in leaving.values():
                packet = _packet(flow.client, flow.virtual, None if self.udp else "FA")
                self._send(packet, 1)
        remaining = self._wait_until_gone(leaving, counted)
        self.director.configure(["--set 900 120 300"])
        return " ".join(number for number in numbers if number not in remaining)

    def _counted(self) -> int:
        return sum(load.active + load.inactive for load in self.director.loads().values())

    def _wait_until_gone(self, leaving: dict[str, _Flow], counted: int) -> set[str]:
        """Those that are still there. What is over is not listed any more, but it is
        counted until the sweep has come by."""
        deadline = time.monotonic() + _GONE_PATIENCE
        while True:
            here = {(one.client, one.virtual) for one in self.director.connections()}
            remaining = {
                number
                for number, flow in leaving.items()
                if (_joined(flow.client), _joined(flow.virtual)) in here
            }
            swept = not leaving or self._counted() <= counted - len(leaving)
            if (swept and not remaining) or time.monotonic() > deadline:
                return remaining
            time.sleep(0.1)

    def _note_servers(self, line: str) -> None:
        words = line.split()
        if words[0] in ("-a", "-d"):
            server = words[words.index("-r") + 1].rsplit(":", 1)[0][-1]
            (self.servers.add if words[0] == "-a" else self.servers.discard)(server)


def _new_pick(seen: list[Seen]) -> str:
    """The digit of the server that got a new connection; ``?`` if nobody heard of it."""
    if len(seen) != 1:
        return "?"
    if seen[0].side == CLIENT_SIDE and _UNREACHABLE.search(describe(seen[0].packet)):
        return NOBODY
    return str(seen[0].server) if seen[0].server else "?"


def _endpoint(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    return address.strip("[]"), int(port)


def _joined(endpoint: tuple[str, int]) -> str:
    return f"{endpoint[0]}:{endpoint[1]}"


def _packet(client: tuple[str, int], virtual: tuple[str, int], flags: str | None) -> bytes:
    """TCP with these flags, or a datagram if there are none."""
    if flags is None:
        return frames.udp(*client, *virtual)
    return frames.tcp(*client, *virtual, flags)
