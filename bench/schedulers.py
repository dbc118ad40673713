# SPDX-License-Identifier: Apache-2.0
"""What choosing a server costs: ns per new connection.

Against the number of destinations for each scheduler, and against the number of services.
Run by script/bench-schedulers. All services are in one director (but for the numbers of
services), and rounds are interleaved, so what is compared was measured in one run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NamedTuple

from bench.datapath import BAD_ROWS, INTERRUPTED, common_arguments, interrupt, machine, say
from bench.frames import SYN, Ends, Kind, Template, request
from bench.harness import Flows, Forget, Harness, compiled
from bench.measure import Wrong
from bench.rows import HOOKS, PROGRAMS, RETURN_DROP
from bench.world import CLIENT_MAC, DIRECTOR, MAC0, MAC1, PORT, SERVER_MAC, Interfaces, network
from xlvs.datapath import pins
from xlvs.datapath.effective import Options, effective
from xlvs.datapath.loader import DataPath, Sizes, remove
from xlvs.datapath.observed import NUD_PERMANENT, Link, Neighbour, Observed, Route
from xlvs.datapath.plan import diff
from xlvs.datapath.support import SCHEDULERS
from xlvs.io.kernel import Kernel
from xlvs.model.desired import Desired
from xlvs.model.problem import Problem
from xlvs.model.service import (
    Destination,
    DestinationKey,
    Method,
    Protocol,
    Service,
    ServiceKey,
)
from xlvs.schedulers import maglev

DESTINATIONS = (1, 10, 100, 1000)
SERVICES = (1, 100, 10_000)
PACKETS, QUICK_PACKETS = 1 << 14, 1 << 11
ROUNDS, QUICK_ROUNDS = 9, 2

_FIRST_VIP = IPv4Address("10.1.0.1")
_FIRST_SERVER = IPv4Address("172.16.0.1")
_WEIGHT = 1 << 16  # so much that ovf never overflows
_WEIGHTS = 4
_PORT_COUNTS = frozenset(("mh", "sh"))


class Row(NamedTuple):
    """One figure: new connections of one service. ``services``: of the director."""

    scheduler: str
    hook: str
    destinations: int
    services: int = 0

    @property
    def text(self) -> str:
        """For messages and tables."""
        what = f"{self.services} services" if self.services else f"{self.destinations} destinations"
        return f"{self.scheduler}, {what}, {self.hook}"


class Figure(NamedTuple):
    """ns per new connection; ``net``: less the wrapper's floor of the same run.

    ``times``: ``net`` as a multiple of rr's with one destination at the same hook.
    """

    median: float
    low: float
    high: float
    net: float
    times: float


def rows(hooks: Iterable[str], schedulers: Sequence[str]) -> list[Row]:
    """What is measured."""
    return [
        row
        for hook in hooks
        for row in (
            *(Row(name, hook, number) for name in schedulers for number in DESTINATIONS),
            *(Row("rr", hook, 1, number) for number in SERVICES),
        )
    ]


def figures(
    found: Mapping[Row, Sequence[float]], floors: Mapping[str, Sequence[float]]
) -> dict[Row, Figure]:
    """Medians and quartiles; a row without runs is left out."""
    base = {hook: statistics.median(values) for hook, values in floors.items() if values}
    nets = {
        row: statistics.median(values) - base[row.hook] for row, values in found.items() if values
    }
    result = {}
    for row, net in nets.items():
        values = found[row]
        median = statistics.median(values)
        low, high = median, median
        if len(values) > 1:
            low, _, high = statistics.quantiles(values, method="inclusive")
        one = nets.get(Row("rr", row.hook, 1), net)
        result[row] = Figure(median, low, high, net, net / one)
    return result


def tables(of: Mapping[Row, Figure]) -> str:
    """Markdown: a line for each scheduler and hook, a column for each number."""
    lines = ["### New connections by scheduler and destinations, ns without the floor (x rr of 1)"]
    lines += ["", "| scheduler | hook | " + " | ".join(map(str, DESTINATIONS)) + " |"]
    lines += ["| --- | --- |" + " ---: |" * len(DESTINATIONS)]
    for name, hook in dict.fromkeys((row.scheduler, row.hook) for row in of if not row.services):
        cells = [_cell(of.get(Row(name, hook, number))) for number in DESTINATIONS]
        lines.append(f"| {name} | {hook} | " + " | ".join(cells) + " |")
    lines += ["", "### New connections by services of the director (rr, one destination each)"]
    lines += ["", "| hook | " + " | ".join(map(str, SERVICES)) + " |"]
    lines += ["| --- |" + " ---: |" * len(SERVICES)]
    for hook in dict.fromkeys(row.hook for row in of if row.services):
        cells = [_cell(of.get(Row("rr", hook, 1, number))) for number in SERVICES]
        lines.append(f"| {hook} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(figure: Figure | None) -> str:
    return "" if figure is None else f"{figure.net:.0f} ({figure.times:.2f})"


def document(of: Mapping[Row, Figure], about: Mapping[str, Any]) -> dict[str, Any]:
    """All figures, for programs."""
    return {
        **about,
        "rows": [
            row._asdict() | {name: round(value, 3) for name, value in figure._asdict().items()}
            for row, figure in of.items()
        ],
    }


def service(
    scheduler: str, vip: IPv4Address, destinations: int
) -> tuple[Service, tuple[Destination, ...]]:
    """A service whose destinations have some different weights."""
    key = ServiceKey(protocol=Protocol.TCP, address=vip, port=PORT)
    flags = maglev.PORT if scheduler in _PORT_COUNTS else 0
    return Service(key=key, scheduler=scheduler, flags=flags), tuple(
        Destination(
            key=DestinationKey(address=_FIRST_SERVER + i, port=PORT),
            method=Method.DR,
            weight=_WEIGHT * (1 + i % _WEIGHTS),
        )
        for i in range(destinations)
    )


def surroundings(interfaces: Interfaces) -> Observed:
    """All servers behind eth1, resolved."""
    links = {
        interfaces.eth0: Link(interfaces.eth0, "eth0", MAC0, 1500, up=True),
        interfaces.eth1: Link(interfaces.eth1, "eth1", MAC1, 1500, up=True),
    }
    servers = [_FIRST_SERVER + i for i in range(max(DESTINATIONS))]
    hop = Neighbour(SERVER_MAC, NUD_PERMANENT)
    return Observed(
        links,
        {(interfaces.eth1, each): hop for each in servers},
        {each: Route(ifindex=interfaces.eth1, source=DIRECTOR) for each in servers},
    )


class Director:
    """A data path with services, each found by its row."""

    def __init__(self, path: DataPath, forget: Forget, vips: Mapping[Row, IPv4Address]) -> None:
        self._path = path
        self._kernel = Kernel(path)
        self._forget = forget
        self._vips = vips

    def configure(self, desired: Desired, interfaces: Interfaces) -> None:
        """Write the maps as the daemon would."""
        have, sizes = self._kernel.have(), self._path.sizes
        want = effective(desired, surroundings(interfaces), Options(), have, sizes)
        self._kernel.write(diff(have, want.tables, sizes))

    def run(self, row: Row, harness: Harness, packets: int) -> float:
        """So many new connections, each of another client; ns of one. Raises Wrong."""
        program = self._path.programs[PROGRAMS[row.hook]]
        before, created = self._reasons(), self._kernel.table().created
        run = harness.run(program, template(self._vips[row]), Flows(packets), packets)
        created = self._kernel.table().created - created
        counted = {
            name: n - before[name] for name, n in self._reasons().items() if n > before[name]
        }
        self._forget()
        if counted != {"fwd_dr": packets} or created != packets:
            raise Wrong(f"{row.text}: {packets} packets were {counted}, {created} connections")
        return run.cpu_ns / packets

    def _reasons(self) -> dict[str, int]:
        return {name: stats.packets for name, stats in self._kernel.reasons().items()}


def template(vip: IPv4Address) -> Template:
    """A client's SYN."""
    return request(Kind.TCP4, Ends(MAC0, CLIENT_MAC, vip, PORT), SYN)


@contextmanager
def director(
    name: str,
    wanted: Mapping[Row, IPv4Address],
    desired: Desired,
    interfaces: Interfaces,
    objects: Path,
) -> Iterator[Director]:
    """A director that is gone afterwards."""
    place = pins.folder(f"bench-{os.getpid()}-{name}")
    with ExitStack() as stack:
        stack.callback(remove, place)
        path = DataPath.open(place, Sizes())
        stack.callback(path.close)
        forget = Forget(path, objects)
        stack.callback(forget.close)
        made = Director(path, forget, wanted)
        made.configure(desired, interfaces)
        yield made


def _desired(services: Iterable[tuple[Service, tuple[Destination, ...]]]) -> Desired:
    return Desired(services={each.key: (each, destinations) for each, destinations in services})


def _by_destinations(all_rows: Sequence[Row]) -> tuple[dict[Row, IPv4Address], Desired]:
    """A service for each scheduler and number; both hooks use the same."""
    kinds = dict.fromkeys((row.scheduler, row.destinations) for row in all_rows if not row.services)
    vips = {kind: _FIRST_VIP + place for place, kind in enumerate(kinds)}
    desired = _desired(service(name, vips[name, number], number) for name, number in kinds)
    return {
        row: vips[row.scheduler, row.destinations] for row in all_rows if not row.services
    }, desired


def _by_services(all_rows: Sequence[Row], number: int) -> tuple[dict[Row, IPv4Address], Desired]:
    """As many services; one in the middle is measured."""
    desired = _desired(service("rr", _FIRST_VIP + i, 1) for i in range(number))
    vip = _FIRST_VIP + number // 2
    return {row: vip for row in all_rows if row.services == number}, desired


class Found(NamedTuple):
    """ns by rounds, of rows and of the wrapper alone, and what went wrong."""

    values: dict[Row, list[float]]
    floors: dict[str, list[float]]
    wrong: dict[Row, str]


def measure(
    all_rows: Sequence[Row], packets: int, number: int, report: Callable[[str], None]
) -> Found:
    """Make the directors, run interleaved rounds after one to warm up, remove everything."""
    hooks = list(dict.fromkeys(row.hook for row in all_rows))
    found = Found({row: [] for row in all_rows}, {hook: [] for hook in hooks}, {})
    with ExitStack() as stack:
        report("compiling the wrapper")
        objects = stack.enter_context(compiled())
        interfaces = stack.enter_context(network())
        harnesses = {hook: Harness(hook, objects, interfaces.eth0) for hook in HOOKS}
        for harness in harnesses.values():
            stack.callback(harness.close)
        directors: dict[Row, Director] = {}
        plans = {"destinations": _by_destinations(all_rows)}
        plans |= {f"services-{count}": _by_services(all_rows, count) for count in SERVICES}
        for name, (vips, desired) in plans.items():
            report(f"a director: {name}, {len(desired.services)} services")
            made = director(name, vips, desired, interfaces, objects)
            directors |= dict.fromkeys(vips, stack.enter_context(made))
        shuffled = random.Random(1)  # noqa: S311 - an order that repeats is wanted
        for turn in range(number + 1):
            report(f"round {turn} of {number}" if turn else "warming up")
            order: list[Row | str] = [*all_rows, *hooks]
            shuffled.shuffle(order)
            for row in order:
                if isinstance(row, str):
                    each = _floor(harnesses[row], packets)
                    values = found.floors[row]
                elif row in found.wrong:
                    continue
                else:
                    try:
                        each = directors[row].run(row, harnesses[row.hook], packets)
                    except Wrong as error:
                        found.wrong[row] = str(error)
                        continue
                    values = found.values[row]
                if turn:
                    values.append(each)
        report("removing the directors")
    return found


def _floor(harness: Harness, packets: int) -> float:
    run = harness.run(
        harness.programs["bench_empty"], template(_FIRST_VIP), Flows(packets), packets
    )
    if run.retval != RETURN_DROP[harness.hook]:
        raise Wrong(f"the floor of {harness.hook} returned {run.retval}")
    return run.cpu_ns / packets


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="script/bench-schedulers",
        description="ns per new connection against the numbers of destinations and services",
    )
    common_arguments(parser, ROUNDS, QUICK_ROUNDS)
    parser.add_argument(
        "--scheduler",
        action="append",
        choices=sorted(SCHEDULERS),
        help="only this one (repeatable)",
    )
    return parser.parse_args(argv)


def main() -> int:
    """Measure and print; 1 if a row was not what it claims."""
    begin = time.monotonic()
    options = arguments()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, interrupt)
    cpu = max(os.sched_getaffinity(0)) if options.cpu is None else options.cpu
    os.sched_setaffinity(0, {cpu})
    about = machine(cpu)
    names = list(dict.fromkeys(("rr", *(options.scheduler or SCHEDULERS))))
    packets = QUICK_PACKETS if options.quick else PACKETS
    number = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    try:
        found = measure(rows(options.hook or HOOKS, names), packets, number, say)
    except KeyboardInterrupt:
        print("interrupted; everything was removed", file=sys.stderr)
        return INTERRUPTED
    except (Problem, Wrong) as error:
        print(error, file=sys.stderr)
        return BAD_ROWS
    about |= {
        "rounds": number,
        "packets": packets,
        "seconds": round(time.monotonic() - begin),
        "load_after": round(os.getloadavg()[0], 2),
        "floors": {hook: statistics.median(values) for hook, values in found.floors.items()},
        "errors": list(found.wrong.values()),
    }
    result = figures(found.values, found.floors)
    print("; ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items()))
    print(f"\n{tables(result)}")
    for text in found.wrong.values():
        print(f"ERROR {text}")
    if options.json:
        text = json.dumps(document(result, about), indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")
    return BAD_ROWS if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
