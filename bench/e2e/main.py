# SPDX-License-Identifier: Apache-2.0
"""End-to-end benchmarks beside other balancers. Run by script/bench-e2e; see README.md."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from bench.datapath import interrupt, machine, say
from bench.e2e import balancers, leftovers, live, report
from bench.e2e.flood import HELD, Flood, flood, truth
from bench.e2e.hosts import Failed, network
from bench.e2e.plan import DIRECTORS
from bench.e2e.rows import Row, Test, rows
from bench.e2e.traffic import Sample, Setting, measure
from bench.measure import Wrong
from xlvs.lab.lab import ensure_bpffs
from xlvs.lab.problem import LabError

ROUNDS, SECONDS, BUDGET = 5, 1, 480.0
BAD, INTERRUPTED = 1, 130
TABLE_SIZE = 1 << 19
"""Room for all connections of a run: requests of two minutes, flows of five."""
_LAST = 20.0  # seconds that the end takes


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="script/bench-e2e",
        description="requests and packets through whole networks, beside other balancers",
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument(
        "--seconds", type=int, default=SECONDS, help=f"of a measurement, default {SECONDS}"
    )
    parser.add_argument(
        "--budget",
        type=float,
        default=BUDGET,
        help=f"seconds after which no measurement begins, default {BUDGET:g}",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help="only rows whose title has this in it, and what they are compared with (repeatable)",
    )
    parser.add_argument("--list", action="store_true", help="print the titles of all rows")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--flood-table-size", type=int, default=0, help="of xlvs in the floods; default: xlvsd's"
    )
    return parser.parse_args()


def chosen(only: list[str]) -> list[Row]:
    """The rows that are asked for, with the rows that their ratios need."""
    every = rows()
    if not only:
        return every
    asked = [row for row in every if any(text in row.title for text in only)]
    needed = {(row.test, row.flows, row.base) for row in asked if row.base}
    return [r for r in every if r in asked or (r.test, r.flows, r.name) in needed]


class Run:
    """All measurements of one call, and what went wrong."""

    def __init__(self, at: Setting, wanted: list[Row], until: float) -> None:
        self._at = at
        self._wanted = wanted
        self._until = until
        self.found: dict[Row, list[Sample]] = {row: [] for row in wanted}
        self.floods: dict[Row, tuple[Flood, str]] = {}
        self.wrong: list[str] = []
        self.left_out = 0

    def floods_first(self) -> None:
        """The floods: their connections take two minutes to go, the rounds are meanwhile."""
        for row in (row for row in self._wanted if row.test is Test.FLOOD):
            say(row.title)
            try:
                self.floods[row] = flood(self._at, row), ""
            except (Failed, Wrong) as error:
                self.wrong.append(f"{error}")
                continue
            came = self.floods[row][0]
            if came.held != HELD:
                self.wrong.append(f"{row.title}: only {came.held} open connections still work")
            if came.fresh != HELD:
                self.wrong.append(f"{row.title}: only {came.fresh} new connections were served")
            if row.at.syn_proxy and came.opened:
                self.wrong.append(f"{row.title}: {came.opened} connections of the flood's")
            if came.errors:
                self.wrong.append(f"{row.title}: requests failed: {came.errors}")

    def rounds(self, number: int) -> None:
        """All other rows, in another order in each round."""
        shuffled = random.Random(1)  # noqa: S311 - an order that repeats is wanted
        for turn in range(1, number + 1):
            say(f"round {turn} of {number}")
            order = [row for row in self._wanted if row.test is not Test.FLOOD]
            shuffled.shuffle(order)
            for row in order:
                if time.monotonic() > self._until:
                    self.left_out += 1
                    continue
                try:
                    self.found[row].append(measure(self._at, row))
                except (Failed, Wrong) as error:
                    self.wrong.append(f"{error}")

    def ends(self) -> None:
        """No row may have met a full table, and the floods may leave nothing behind."""
        for name, xlvs in self._at.xlvs.items():
            try:
                if "flood" not in name and (full := xlvs.status()["table"]["full"]):
                    self.wrong.append(f"the table of {name} was full: {full} refused")
            except Failed as error:
                self.wrong.append(f"{error}")
        for row in (row for row in self.floods if row.director in self._at.xlvs):
            came, _ = self.floods[row]
            say(f"{row.title}: until its connections are gone")
            try:
                left = truth(self._at.xlvs[row.director], came.end)
            except Failed as error:
                left = f"{error}"
            self.floods[row] = came, left or "nothing"
            if left:
                self.wrong.append(f"{row.title}: left behind: {left}")


def run(options: argparse.Namespace, wanted: list[Row]) -> Run:
    """Build the network, measure, remove it."""
    until = time.monotonic() + options.budget - _LAST
    ensure_bpffs()
    if swept := leftovers.sweep():
        say(f"removed what earlier runs left: {', '.join(swept)}")
    with ExitStack() as stack:
        say("building the network")
        net = stack.enter_context(network())
        objects = live.build(net.folder)
        balancers.start_servers(net)
        balancers.start_others(net)
        xlvs = {}
        for name in dict.fromkeys(row.director for row in wanted if row.at.hook):
            say(f"xlvsd on director {name}")
            size = options.flood_table_size if "flood" in name else TABLE_SIZE
            xlvs[name] = balancers.Xlvs(net, DIRECTORS[name], size)
            stack.callback(xlvs[name].stop)
            xlvs[name].start()
        running = Run(Setting(net, xlvs, objects, options.seconds), wanted, until)
        running.floods_first()
        running.rounds(options.rounds)
        running.ends()
        print("removing the network", file=sys.stderr, flush=True)
    return running


def main() -> int:
    """Measure and print; 1 if a row was not what it claims."""
    options = arguments()
    wanted = chosen(options.only)
    if options.list:
        print("\n".join(row.title for row in wanted))
        return 0
    if lacking := balancers.missing():
        print(f"programs are missing: {lacking}", file=sys.stderr)
        return BAD
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, interrupt)
    about = machine(min(os.sched_getaffinity(0)))
    begin = time.monotonic()
    try:
        done = run(options, wanted)
    except KeyboardInterrupt:
        print("interrupted; everything was removed", file=sys.stderr)
        return INTERRUPTED
    except (Failed, Wrong, LabError) as error:
        print(error, file=sys.stderr)
        return BAD
    about |= {
        "load_after": round(os.getloadavg()[0], 2),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "took": round(time.monotonic() - begin),
    }
    lines = report.figures({row: each for row, each in done.found.items() if each})
    floods = report.flood_figures(done.floods)
    print("; ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items()))
    print(f"\n{report.tables(lines, floods)}")
    if done.left_out:
        print(f"\n{done.left_out} measurements were left out: the time was over")
    for text in done.wrong:
        print(f"ERROR {text}")
    if options.json:
        every = about | {"errors": done.wrong, "rows": lines, "floods": floods}
        options.json.write_text(json.dumps(every, indent=2) + "\n", encoding="utf-8")
    return BAD if done.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
