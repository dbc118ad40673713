# SPDX-License-Identifier: Apache-2.0
"""What FULLNAT's company costs: switched off, and each feature switched on.

TOA, the PROXY protocol, lists and limits, the SYN proxy: per packet, per new connection, and how
many SYNs of a flood one core answers. Run by script/bench-features; docs/benchmarks.md has the
method. Rounds are interleaved, so what is compared was measured in one run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.datapath import BAD_ROWS, INTERRUPTED, common_arguments, interrupt, machine, say
from bench.feature_world import (
    FIRST,
    LATER,
    PREFIXES,
    PROXY_V2_BYTES,
    TOA_BYTES,
    Feature,
    FeatureWorld,
    answer,
    data,
    syn,
    syn_ack,
)
from bench.frames import CLIENTS4, Template, right
from bench.harness import Flows, Harness, Run, compiled
from bench.measure import Wrong, rounds
from bench.rows import HOOKS, PROGRAMS, RETURN_DROP, RETURN_TURN, number
from bench.world import Interfaces, Key, network, opened, room
from xlvs.model.problem import Problem
from xlvs.model.service import Method

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- bench-features -->", "<!-- /bench-features -->"
ROUNDS, QUICK_ROUNDS = 9, 2
SECONDS, QUICK_SECONDS = 1500, 240
FEW, MANY = 1 << 16, 1 << 20
NEAR_NAT = 1.1
ANSWERED, OF_TURN = 1.5, 0.5
"""Million SYNs of a flood a second and core; or this part of what is sent back unread."""


class What(StrEnum):
    """Which packets."""

    FLOOR = "floor"
    ESTABLISHED = "established"
    REPLY = "the server's answer"
    NEW = "new connection (SYN)"
    FIRST = "the handshake's ACK, with data"
    SYN = "SYN, answered"
    PROOF = "new connection (the cookie's acknowledgement)"
    SYN_ACK = "the server's SYN-ACK, two packets made of it"


class Row(NamedTuple):
    """One figure. ``feature``: of the director; ``flows``: how many are visited, 0: new ones.

    ``program``: of a floor. ``room``: flows that the director has.
    """

    what: What
    hook: str
    feature: Feature = Feature.OFF
    method: Method = Method.NAT
    flows: int = 0
    room: int = FEW
    program: str = ""

    @property
    def title(self) -> str:
        """For messages."""
        flows = f", {number(self.flows)} flows" if self.flows else ""
        return f"{self.what}, {self.feature} {self.method}, {self.hook}{flows}{self.program}"

    @property
    def key(self) -> Key:
        """Its director."""
        return Key(self.method, self.room, feature=self.feature)

    @property
    def off(self) -> Row:
        """The same with nothing switched on."""
        what = What.NEW if self.what is What.PROOF else self.what
        return self._replace(feature=Feature.OFF, what=what)

    @property
    def opens(self) -> bool:
        """Whether every packet opens a connection."""
        return self.what in {What.NEW, What.PROOF}

    @property
    def grows(self) -> int:
        """By how many bytes the packet that comes out is longer."""
        if self.feature is Feature.TOA and self.what in {What.NEW, What.FIRST}:
            return TOA_BYTES
        if self.feature is Feature.PROXY_V2 and self.what is What.FIRST:
            return PROXY_V2_BYTES
        return 0


BEGINS = {Feature.TOA, Feature.PROXY_V1, Feature.PROXY_V2}
"""Features that do something in a connection's first segments."""
METHODS = {feature: Method.FULLNAT if feature is Feature.TOA else Method.NAT for feature in Feature}


def rows(hooks: Sequence[str]) -> Iterator[Row]:
    """All."""
    for hook in hooks:
        yield Row(What.FLOOR, hook, program="bench_empty")
        yield Row(What.FLOOR, hook, program="bench_turn")
        for method in (Method.NAT, Method.FULLNAT):
            for flows in (1, FEW, MANY):
                yield Row(What.ESTABLISHED, hook, method=method, flows=flows, room=MANY)
            yield Row(What.NEW, hook, method=method, room=MANY)
        for method in (Method.NAT, Method.FULLNAT):
            yield from of_feature(Row(What.ESTABLISHED, hook, method=method), {What.FIRST})
        for feature in Feature:
            if feature is not Feature.OFF:
                row = Row(What.ESTABLISHED, hook, feature, METHODS[feature])
                yield from of_feature(row, {What.FIRST} if feature in BEGINS else set())


def of_feature(row: Row, more: set[What]) -> Iterator[Row]:
    """What is measured on one director."""
    for flows in (1, FEW):
        yield row._replace(flows=flows)
        if row.method is Method.NAT:
            yield row._replace(what=What.REPLY, flows=flows)
    if row.feature is Feature.SYN_PROXY:
        yield row._replace(what=What.SYN)
        yield row._replace(what=What.PROOF)
        if row.hook == "tc":
            yield row._replace(what=What.SYN_ACK)
    else:
        yield row._replace(what=What.NEW)
    for what in more:
        yield row._replace(what=what)


class Effort(NamedTuple):
    """Packets of a run: on established connections, of new ones (a power of two)."""

    established: int
    new: int


FULL, QUICK = Effort(1 << 19, 1 << 16), Effort(1 << 17, 1 << 14)


class Bench:
    """Everything loaded."""

    def __init__(
        self,
        harnesses: Mapping[str, Harness],
        worlds: Mapping[Key, FeatureWorld],
        interfaces: Interfaces,
        effort: Effort,
    ) -> None:
        self._harnesses = harnesses
        self._worlds = worlds
        self._interfaces = interfaces
        self._effort = effort
        self._visited: dict[Row, int] = {}

    def run(self, row: Row) -> float:
        """One run; its figure in ns per packet. Raises Wrong."""
        return self._floor(row) if row.what is What.FLOOR else self._director(row)

    def _floor(self, row: Row) -> float:
        harness = self._harnesses[row.hook]
        packets = self._effort.established
        run = harness.run(harness.programs[row.program], syn(), Flows(packets), packets)
        expected = RETURN_TURN if row.program == "bench_turn" else RETURN_DROP
        if run.retval != expected[row.hook]:
            raise Wrong(f"{row.title}: returned {run.retval}")
        return run.cpu_ns / packets

    def _director(self, row: Row) -> float:
        world = self._worlds[row.key]
        packets = self._effort.new
        if row.flows:
            packets = self._effort.established
            flows, clients = Flows(row.flows, self._next(row, packets)), 0
        else:
            flows, clients = Flows(packets), world.new_clients(packets)
            if row.what in {What.FIRST, What.SYN_ACK}:
                # In order: so the wrapper knows which server has which flow.
                world.open(self._harnesses["xdp"], Flows(packets, mixed=False), clients)
        template = self._template(row)
        template = template._replace(address=template.address + clients)
        program = world.path.programs[PROGRAMS[row.hook]]
        behind = row.what in {What.REPLY, What.SYN_ACK}
        side = self._interfaces.eth1 if behind else self._interfaces.eth0
        created, counted = world.table().created, world.reasons()
        run = self._harnesses[row.hook].run(program, template, flows, packets, side)
        created = world.table().created - created
        reasons = {name: n - counted[name] for name, n in world.reasons().items()}
        if not row.flows:
            world.forget(int(CLIENTS4) + clients)
        _check(row, template, run, packets, {name: n for name, n in reasons.items() if n})
        if created != (packets if row.opens else 0):
            raise Wrong(f"{row.title}: {created} connections were opened by {packets} packets")
        return run.cpu_ns / packets

    def _template(self, row: Row) -> Template:
        makers: Mapping[What, Callable[[], Template]] = {
            What.ESTABLISHED: partial(data, LATER),
            What.REPLY: answer,
            What.NEW: syn,
            What.FIRST: partial(data, FIRST),
            What.SYN: syn,
            What.PROOF: self._worlds[row.key].proof,
            What.SYN_ACK: syn_ack,
        }
        made = makers[row.what]()
        # Room for bytes is made at the tail by TC, in front by XDP.
        return made._replace(tail=made.tail or row.hook == "tc" or row.what is What.SYN)

    def _next(self, row: Row, packets: int) -> int:
        """Go on where the last run of this row ended: short runs visit all flows in time."""
        at = self._visited.get(row, 0)
        self._visited[row] = at + packets
        return at


def _check(
    row: Row, template: Template, run: Run, packets: int, reasons: Mapping[str, int]
) -> None:
    """Every packet went the row's way, and the last one came out as it should."""
    reason = {What.REPLY: "fwd_reply", What.SYN_ACK: "fwd_reply", What.SYN: "reply_syn_cookie"}
    expected = {reason.get(row.what, f"fwd_{row.method}"): packets}
    if reasons != expected:
        raise Wrong(f"{row.title}: {packets} packets should be {expected}, but were {reasons}")
    if not right(run.out):
        raise Wrong(f"{row.title}: a checksum of the packet that came out is wrong")
    lengths = [int.from_bytes(frame[16:18], "big") for frame in (template.frame, run.out)]
    if row.grows and lengths[1] - lengths[0] != row.grows:
        raise Wrong(f"{row.title}: {lengths[0]} bytes have become {lengths[1]}")


# ---- report

TITLES = {
    Feature.TOA: "TOA (FULLNAT)",
    Feature.PROXY_V1: "PROXY protocol, version 1",
    Feature.PROXY_V2: "PROXY protocol, version 2",
    Feature.SERVICE_LIMITS: "a service's rate and connections",
    Feature.CLIENT_LIMITS: "clients' rates and connections",
    Feature.LISTS: f"a list of {PREFIXES:,} prefixes",
    Feature.SYN_AUTO: "SYN proxy `auto`, in peace",
    Feature.SYN_PROXY: "SYN proxy",
}


def tables(of: Mapping[Row, float]) -> str:
    """All tables, each with a heading. ``of``: medians in ns."""
    return "\n\n".join(part for part in (_near_nat(of), _flood(of), _features(of)) if part)


def near_nat(of: Mapping[Row, float]) -> Iterator[tuple[Row, float, float]]:
    """Established FULLNAT connections: the row, its figure and NAT's."""
    for row, value in of.items():
        nat = row._replace(method=Method.NAT)
        at_issue = row.what is What.ESTABLISHED and row.feature is Feature.OFF
        if at_issue and row.method is Method.FULLNAT and row.room == MANY and nat in of:
            yield row, value, of[nat]


def _near_nat(of: Mapping[Row, float]) -> str:
    lines = [
        f"| {row.hook.upper()} | {number(row.flows)} | {nat:.0f} | {value:.0f} "
        f"| {value / nat:.2f} | {'yes' if value / nat <= NEAR_NAT else 'no'} |"
        for row, value, nat in near_nat(of)
    ]
    if not lines:
        return ""
    head = [
        "### FULLNAT beside NAT, nothing switched on: ns per packet",
        "",
        f"| established | flows | NAT | FULLNAT | ratio | at most {NEAR_NAT:g} |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    return "\n".join([*head, *lines])


class Flood(NamedTuple):
    """Answered SYNs: ns each, ns of a packet that is sent back unread, million a second."""

    hook: str
    each: float
    turn: float

    @property
    def rate(self) -> float:
        """Million a second."""
        return 1e3 / self.each

    @property
    def share(self) -> float:
        """Of the rate at which packets are sent back unread."""
        return self.turn / self.each

    @property
    def met(self) -> bool:
        """As many as were asked for."""
        return self.rate >= ANSWERED or self.share >= OF_TURN


def floods(of: Mapping[Row, float]) -> list[Flood]:
    """By hook."""
    return [
        Flood(row.hook, value, of[Row(What.FLOOR, row.hook, program="bench_turn")])
        for row, value in of.items()
        if row.what is What.SYN
    ]


def _flood(of: Mapping[Row, float]) -> str:
    lines = [
        f"| {f.hook.upper()} | {f.each:.0f} | {f.turn:.0f} | {f.rate:.2f} | {1e3 / f.turn:.2f} "
        f"| {f.share:.2f} | {'yes' if f.met else 'no'} |"
        for f in floods(of)
    ]
    if not lines:
        return ""
    head = [
        "### A flood of SYNs, answered with cookies: one core",
        "",
        "| | ns, answered | ns, MAC swap + TX | M/s, answered | M/s, MAC swap + TX | ratio "
        f"| at least {ANSWERED:g} M/s, or {OF_TURN:g} |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    return "\n".join([*head, *lines])


def _features(of: Mapping[Row, float]) -> str:
    hooks = [hook for hook in HOOKS if any(row.hook == hook for row in of)]
    lines: dict[tuple[Feature, str], dict[str, str]] = {}
    for row, value in of.items():
        if row.feature is Feature.OFF or row.what is What.SYN:
            continue
        flows = f", {number(row.flows)}" if row.flows else ""
        off = of.get(row.off)
        more = f" ({value - off:+.0f})" if off else ""
        lines.setdefault((row.feature, f"{row.what}{flows}"), {})[row.hook] = f"{value:.0f}{more}"
    if not lines:
        return ""
    head = [
        "### Switched on: ns per packet (more than the same without)",
        "",
        f"| | packet, flows | {' | '.join(map(str.upper, hooks))} |",
        f"| --- | --- |{' ---: |' * len(hooks)}",
    ]
    body = [
        f"| {TITLES[feature]} | {what} | {' | '.join(cells.get(hook, '') for hook in hooks)} |"
        for (feature, what), cells in lines.items()
    ]
    return "\n".join([*head, *body])


# ---- running


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="script/bench-features",
        description="what TOA, PROXY protocol, lists, limits and SYN proxy cost, on and off",
    )
    common_arguments(parser, ROUNDS, QUICK_ROUNDS)
    parser.add_argument(
        "--feature",
        action="append",
        choices=[f.value for f in Feature],
        help="only this, and what it is compared with (repeatable; off: FULLNAT beside NAT)",
    )
    parser.add_argument("--write", action="store_true", help=f"into {DOCUMENT.name}, too")
    return parser.parse_args()


def into(document: str, figures: str) -> str:
    """The document with these figures in the place that it has for them."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n\n{figures}\n\n{end}{after}"


def chosen(options: argparse.Namespace) -> list[Row]:
    """The rows that are asked for."""
    every = list(rows(options.hook or HOOKS))
    if not options.feature:
        return every
    features = {Feature(name) for name in options.feature}
    asked = {
        row
        for row in every
        if row.what is What.FLOOR or (row.feature in features and (row.feature or row.room == MANY))
    }
    return [row for row in every if row in asked | {each.off for each in asked}]


def measure(
    wanted: Sequence[Row], effort: Effort, number_of_rounds: int, until: float
) -> tuple[dict[Row, list[float]], dict[Row, str]]:
    """Make the directors, run all rounds, remove everything."""
    with ExitStack() as stack:
        say("compiling the wrapper")
        objects = stack.enter_context(compiled())
        interfaces = stack.enter_context(network())
        harnesses = {hook: Harness(hook, objects, interfaces.eth0) for hook in HOOKS}
        for harness in harnesses.values():
            stack.callback(harness.close)
        worlds = {}
        for key in dict.fromkeys(row.key for row in wanted if row.what is not What.FLOOR):
            say(f"a director: {key.text}")
            make = partial(FeatureWorld, tc=harnesses["tc"], back=interfaces.eth1)
            sizes, xdp = room(key, effort.new), harnesses["xdp"]
            made = opened(key, interfaces, objects, xdp, make=make, sizes=sizes)
            worlds[key] = stack.enter_context(made)
        bench = Bench(harnesses, worlds, interfaces, effort)
        found = rounds(bench, wanted, number_of_rounds, say, until)
        print("removing the directors", file=sys.stderr, flush=True)
    return found


def main() -> int:
    """Measure and print; 1 if a row was not what it claims."""
    begin = time.monotonic()
    options = arguments()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, interrupt)
    cpu = max(os.sched_getaffinity(0)) if options.cpu is None else options.cpu
    os.sched_setaffinity(0, {cpu})
    about = machine(cpu)
    count = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    until = begin + (QUICK_SECONDS if options.quick else SECONDS)
    try:
        found, wrong = measure(chosen(options), QUICK if options.quick else FULL, count, until)
    except KeyboardInterrupt:
        print("interrupted; everything was removed", file=sys.stderr)
        return INTERRUPTED
    except (Problem, Wrong) as error:
        print(error, file=sys.stderr)
        return BAD_ROWS
    about |= {
        "rounds": max(map(len, found.values()), default=0),
        "seconds": round(time.monotonic() - begin),
        "load_after": round(os.getloadavg()[0], 2),
    }
    medians = {row: statistics.median(values) for row, values in found.items() if values}
    text = "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items())
    text += f"\n\n{tables(medians)}"
    print(text)
    if options.write and not wrong:
        document = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(into(document, text), encoding="utf-8")
    for text in wrong.values():
        print(f"ERROR {text}")
    if options.json:
        every = {
            **about,
            "errors": list(wrong.values()),
            "floods": [
                {**each._asdict(), "rate": each.rate, "share": each.share, "met": each.met}
                for each in floods(medians)
            ],
            "near_nat": [
                {"hook": row.hook, "flows": row.flows, "ratio": value / nat}
                for row, value, nat in near_nat(medians)
            ],
            "rows": [{**row._asdict(), "median": round(ns, 2)} for row, ns in medians.items()],
        }
        options.json.write_text(json.dumps(every, indent=2) + "\n", encoding="utf-8")
    return BAD_ROWS if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
