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
from .retarget import marked, retarget
from .topology import CLIENT_SIDE, Seen

NOBODY = "-"
_UNREACHABLE = re.compile(r"ICMP type=3 code=3|ICMP6 type=1 code=4")
_PORT_RULE = re.compile(r"\(port \+ (\d+)\) % 60000 \+ 2000")
_HASHING = frozenset(("mh", "sh"))
"""Schedulers whose decisions depend on the clients' addresses."""
_BY_MARK = frozenset(("dh", "lblc", "lblcr"))
"""Schedulers that were recorded with many virtual addresses behind a firewall mark."""
_MARKED = ("10.9.0.0/16", "fd00:9::/64")
_FIRST_MARK = 100
_MARKED_PORT = 80
_CLIENTS = 250
_ARRIVALS = re.compile(r"(\S+) \+ i % 250, port (\d+) \+ i")
_TO = re.compile(r"(daddrs[46])(?:\[:(\d+)\]|\[(\d+)\] (\w+)(?: times)?)?")
_WORDS = {"forty": 40}
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
    if recording["scheduler"] in _BY_MARK:
        # Connections outlive their scenario, and under the same mark they would count.
        mark = _FIRST_MARK + place
        for network in _MARKED:
            director.mark(mark, network)
        scenario = marked(scenario, mark)
    if "sequence" in scenario:
        return _replay_sequence(director, name, scenario, recording)
    director.configure(scenario["setup"])
    if "runs" in scenario:
        return _replay_runs(director, name, scenario, recording, place)
    if "events" in scenario:
        return _Script(director, name, scenario["setup"]).replay(scenario["events"])
    if "new" in scenario:
        arriving, to = _counted(scenario["new"]), scenario["new"]["to"]
    else:
        arriving, to = _listed(scenario, recording), scenario["to"]
    udp = scenario["setup"][0].split()[1] == "-u"
    return _replay_picks(director, name, scenario["picks"], arriving, to, udp=udp)


def settings(scenario: dict[str, Any]) -> tuple[str, ...]:
    """What the director of a scenario is started with."""
    return tuple(f"{key}={value}" for key, value in scenario.get("sysctl", {}).items())


def _replay_runs(
    director: Director, name: str, scenario: dict[str, Any], recording: dict[str, Any], place: int
) -> list[Difference]:
    """New connections to many virtual addresses; each run is new clients'."""
    found = []
    for number, run in enumerate(scenario["runs"], start=1):
        where = f"{name}/{number}"
        if "ipvsadm" in run:
            director.configure([run["ipvsadm"]])
        elif "wait_seconds" in run:
            time.sleep(run["wait_seconds"])
        else:
            targets = _targets(run["to"], recording)
            arrivals = run.get(
                "from", f"203.0.{113 + place}.1 + i % 250, port {40000 + number} + i"
            )
            clients = _arrivals(arrivals, len(targets), place)
            picks = "".join(
                _new_pick(_send_syn(director, client, (target, _MARKED_PORT)))
                for client, target in zip(clients, targets, strict=True)
            )
            if picks != run["picks"]:
                found.append(Difference(where, run["picks"], picks))
            found += _compare_counters(director, f"{where}/counters", run.get("counters"))
    found += _compare_counters(director, f"{name}/counters", scenario.get("counters"))
    return found


def _send_syn(director: Director, client: tuple[str, int], to: tuple[str, int]) -> list[Seen]:
    return compare.exchange(director, CLIENT_SIDE, _packet(client, to, "S"), 1, settle=0)


def _targets(text: str, recording: dict[str, Any]) -> list[str]:
    """Virtual addresses: ``daddrs4``, ``daddrs4[:100]`` or ``daddrs4[0] times 50``."""
    # "times" comes before a number and behind a word.
    found = _TO.fullmatch(text.replace(" times ", " "))
    if found is None:
        raise ValueError(f"unknown addresses {text!r}")
    listed: list[str] = recording[found[1]]
    if found[2]:
        return listed[: int(found[2])]
    if found[3]:
        times = _WORDS.get(found[4]) or int(found[4])
        return [listed[int(found[3])]] * times
    return listed


def _arrivals(text: str, count: int, place: int) -> Iterator[tuple[str, int]]:
    found = _ARRIVALS.fullmatch(text)
    if found is None:
        raise ValueError(f"unknown clients {text!r}")
    first = ip_address(found[1].replace("2001:db8::", f"2001:db8:{place + 1}::"))
    for i in range(count):
        yield str(first + i % _CLIENTS), int(found[2]) + i


def _compare_counters(
    director: Director, where: str, wanted: dict[str, list[int]] | None
) -> list[Difference]:
    """Weight, active and inactive connections of each server."""
    if wanted is None:
        return []
    loads = {ip_address(address): load for address, load in director.loads().items()}
    got = {
        address: [load.weight, load.active, load.inactive]
        for address in wanted
        if (load := loads.get(ip_address(address)))
    }
    return [] if got == wanted else [Difference(where, wanted, got)]


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
        # A mark's commands do not say of which protocol the connections are.
        self.udp = self.setup[0].split()[1] == "-u" or "-udp" in self.name
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
