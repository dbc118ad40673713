# SPDX-License-Identifier: Apache-2.0
"""Two CPUs against one: what the director's program gains from a second CPU.

Two processes, each on a CPU of its own, send packets of disjoint flows through the
same loaded program (``BPF_PROG_TEST_RUN``), first each alone, then both at once.
Scaling is the rate of both together over the rate of one alone. Rates are packets per
second of CPU time: a neighbour on the machine slows no row, but a cache line that two
CPUs fight for does. Floors that share nothing say what the machine can do.

    python -m bench.two_cpus [--quick] [--rounds N] [--json FILE] [--hook xdp|tc]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, NamedTuple

from bench.datapath import interrupt, machine, say
from bench.frames import ACK, SYN, Kind, Template, right
from bench.harness import WRAPPER, Flows, Harness, Run, compiled
from bench.measure import ENDLESS, Wrong
from bench.rows import HOOKS, PROGRAMS, RETURN_DROP, number
from bench.world import Key, World, client, network, world
from xlvs.datapath import libbpf
from xlvs.model.problem import Problem
from xlvs.model.service import Method

ROUNDS, QUICK_ROUNDS = 7, 3
PER_CPU = (1, 1 << 15)
"""Established flows of each CPU."""
EFFORT, QUICK_EFFORT = (1 << 20, 1 << 17), (1 << 18, 1 << 15)
"""Packets of each CPU in a run: on established connections, of new ones."""
APART = 1 << 8
"""Addresses between the clients of one CPU and those of the next."""
TOGETHER, ATTEMPTS = 0.8, 3
TARGET, TARGET_NEW = 1.8, 1.6
BAD, INTERRUPTED = 1, 130


class Row(NamedTuple):
    """``method`` None: the floor of that name, a program of the benchmark's own."""

    name: str
    hook: str
    flows: int
    method: Method | None = None
    new: bool = False
    target: float = 0.0

    @property
    def title(self) -> str:
        """For messages."""
        return f"{self.name}, {self.hook}, {number(self.flows)} flows of each CPU"


class Job(NamedTuple):
    """What a worker runs: a program of the harness by name, or any by descriptor."""

    hook: str
    program: str | int
    template: Template
    flows: Flows
    packets: int
    alone: bool


class Done(NamedTuple):
    """A run, and when it was."""

    run: Run
    packets: int
    begin: float
    end: float

    @property
    def rate(self) -> float:
        """Packets per second of CPU time."""
        return self.packets * 1e9 / self.run.cpu_ns


class Figure(NamedTuple):
    """One round of a row: ns per packet alone and together, the scaling, the share together."""

    alone: float
    both: float
    scaling: float
    together: float


class Worker:
    """A process on one CPU that runs jobs with harnesses of its own."""

    def __init__(self, cpu: int, harnesses: dict[str, Harness], barrier: Barrier) -> None:
        self._pipe, theirs = mp.Pipe()
        self._process = mp.get_context("fork").Process(
            target=_work, args=(cpu, harnesses, barrier, theirs), daemon=True
        )
        self._process.start()
        theirs.close()

    def start(self, job: Job) -> None:
        """Begin; ``done`` waits for the end."""
        self._pipe.send(job)

    def done(self) -> Done:
        """What the job took. Raises EOFError if the worker has died."""
        done: Done = self._pipe.recv()
        return done

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(2)
        self._process.kill()


def _work(cpu: int, harnesses: dict[str, Harness], barrier: Barrier, pipe: Connection) -> None:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # the parent closes the pipe, or ends us
    os.sched_setaffinity(0, {cpu})
    # With neighbours on a CPU the two would seldom run at the same time.
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    while True:
        try:
            job: Job = pipe.recv()
        except EOFError:
            return
        harness, program = harnesses[job.hook], job.program
        if isinstance(program, str):
            program = harness.programs[program]
        if not job.alone:
            barrier.wait(10)
        begin = time.monotonic()
        run = harness.run(program, job.template, job.flows, job.packets)
        pipe.send(Done(run, job.packets, begin, time.monotonic()))


class Pair:
    """Two workers, and the data paths that they share."""

    def __init__(
        self, workers: Sequence[Worker], worlds: dict[Key, World], effort: tuple[int, int]
    ) -> None:
        self._workers = workers
        self._worlds = worlds
        self._established, self._new = effort
        self._next_new = [0, 0]

    def figure(self, row: Row, *, both_first: bool) -> Figure:
        """One round: each alone and both. The later run finds warmer caches: take turns."""
        both = self._both(row) if both_first else None
        alone = [self._run(row, (n,))[0] for n in (0, 1)]
        both = both or self._both(row)
        one = statistics.mean(done.rate for done in alone)
        rate = sum(done.rate for done in both)
        return Figure(1e9 / one, 2e9 / rate, rate / one, _together(both))

    def _both(self, row: Row) -> list[Done]:
        """Both at the same time, as far as a few attempts bring that about."""
        best = self._run(row, (0, 1))
        for _ in range(ATTEMPTS - 1):
            if _together(best) >= TOGETHER:
                break
            best = max(best, self._run(row, (0, 1)), key=_together)
        return best

    def _run(self, row: Row, which: Sequence[int]) -> list[Done]:
        world = self._worlds[Key(row.method, row.flows)] if row.method else None
        jobs = [self._job(row, world, n, alone=len(which) == 1) for n in which]
        created, counted = (world.table().created, world.reasons()) if world else (0, {})
        for n, job in zip(which, jobs, strict=True):
            self._workers[n].start(job)
        done = [self._workers[n].done() for n in which]
        if world is None:
            if any(each.run.retval != RETURN_DROP[row.hook] for each in done):
                raise Wrong(f"{row.title}: returned {[each.run.retval for each in done]}")
            return done
        packets = sum(job.packets for job in jobs)
        reasons = {name: n - counted[name] for name, n in world.reasons().items()}
        _check(row, done, packets, {name: n for name, n in reasons.items() if n})
        created = world.table().created - created
        if created != packets * row.new:
            raise Wrong(f"{row.title}: {created} connections were opened by {packets} packets")
        if row.new:
            world.forget()
        return done

    def _job(self, row: Row, world: World | None, which: int, *, alone: bool) -> Job:
        template = clients(which, SYN if row.new else ACK)
        program = world.path.programs[PROGRAMS[row.hook]] if world else row.name
        if row.new:
            flows = Flows(ENDLESS, self._next_new[which], mixed=False)
            self._next_new[which] += self._new
            # Far from the established flows, and from the other CPU's.
            template = template._replace(address=template.address + (1 + which << 20))
            return Job(row.hook, program, template, flows, self._new, alone)
        return Job(row.hook, program, template, Flows(row.flows), self._established, alone)


def _check(row: Row, done: Sequence[Done], packets: int, reasons: dict[str, int]) -> None:
    if reasons != {f"fwd_{row.method}": packets}:
        raise Wrong(f"{row.title}: {packets} packets were {reasons}")
    if not all(right(each.run.out) for each in done):
        raise Wrong(f"{row.title}: a checksum of a packet that came out is wrong")


def _together(both: Sequence[Done]) -> float:
    """The share of the runs' time in which both had their CPUs."""
    first, second = both
    common = min(first.end, second.end) - max(first.begin, second.begin)
    whole = max(first.end, second.end) - min(first.begin, second.begin)
    busy = min(each.run.cpu_ns / 1e9 / (each.end - each.begin) for each in both)
    return max(common, 0.0) / whole * min(busy, 1.0)


def clients(which: int, flags: int) -> Template:
    """A packet of one CPU's clients."""
    template = client(Kind.TCP4, flags)
    return template._replace(address=template.address + which * APART)


def rows(hooks: Sequence[str]) -> list[Row]:
    """Floors, then each method's established and new connections."""
    found = []
    for hook in hooks:
        found.append(Row("bench_empty", hook, 1))
        found.append(Row("bench_find40", hook, PER_CPU[-1]))
        # The kernel does not encapsulate an skb twice: no repetition would be the same.
        for method in (m for m in Method if hook == "xdp" or m is not Method.TUN):
            row = Row(f"{method}, established", hook, 1, method, target=TARGET)
            found += [row._replace(flows=flows) for flows in PER_CPU]
            new = Row(f"{method}, new", hook, PER_CPU[-1], method, new=True, target=TARGET_NEW)
            found.append(new)
    return found


def establish(world: World, harness: Harness) -> None:
    """Open the second CPU's flows; the first one's are there."""
    flows = Flows(world.key.connections, mixed=False)
    for flags in (SYN, ACK):
        program = world.path.programs["xlvs_xdp"]
        harness.run(program, clients(1, flags), flows, flows.number)
    world.established += flows.number
    if world.table().used != world.established:
        raise Wrong(f"{world.table().used} connections instead of {world.established}")


def _known_to_the_dispatcher(harness: Harness, which: int) -> int:
    """A link that holds the wrapper on a device without packets.

    A test run enters its program into the kernel's XDP dispatcher first and waits for
    all CPUs then (6.18): the second run would begin when the first one ends. It does
    not wait for a program that is in use already.
    """
    name = f"idle{which}"
    subprocess.run(["ip", "link", "add", name, "type", "veth"], check=True)
    program = harness.programs[WRAPPER]
    return libbpf.xdp_link(program, socket.if_nametoindex(name), libbpf.XDP_FLAGS_SKB_MODE)


@contextmanager
def pair(wanted: Sequence[Row], cpus: Sequence[int], effort: tuple[int, int]) -> Iterator[Pair]:
    """Everything loaded, for as long as it is needed."""
    with ExitStack() as stack:
        say("compiling the wrapper")
        objects = stack.enter_context(compiled())
        interfaces = stack.enter_context(network())
        sets: list[dict[str, Harness]] = [{}, {}]
        for which, hook in product((0, 1), dict.fromkeys(row.hook for row in wanted)):
            harness = Harness(hook, objects, interfaces.eth0, PER_CPU[-1])
            stack.callback(harness.close)
            sets[which][hook] = harness
            fill, flows = harness.programs["bench_fill40"], Flows(PER_CPU[-1], mixed=False)
            harness.run(fill, clients(which, ACK), flows, flows.number)
            if harness.misses:
                raise Wrong(f"{harness.misses} flows did not fit into the floor's map")
            if hook == "xdp":
                stack.callback(os.close, _known_to_the_dispatcher(harness, which))
        opener = Harness("xdp", objects, interfaces.eth0)
        stack.callback(opener.close)
        worlds = {}
        for key in dict.fromkeys(Key(row.method, row.flows) for row in wanted if row.method):
            say(f"a director with 2 x {key.connections} established {key.method} connections")
            room = 2 * effort[1] + key.connections
            worlds[key] = stack.enter_context(world(key, room, interfaces, objects, opener))
            establish(worlds[key], opener)
        barrier = mp.get_context("fork").Barrier(2)
        workers = []
        for cpu, harnesses in zip(cpus, sets, strict=True):
            workers.append(Worker(cpu, harnesses, barrier))
            stack.callback(workers[-1].close)
        yield Pair(workers, worlds, effort)


def measure(
    wanted: Sequence[Row], cpus: Sequence[int], effort: tuple[int, int], rounds: int
) -> tuple[dict[Row, list[Figure]], list[str]]:
    """All rounds, rows in another order in each, after one to warm up."""
    found: dict[Row, list[Figure]] = {row: [] for row in wanted}
    wrong: dict[Row, str] = {}
    shuffled = random.Random(1)  # noqa: S311 - an order that repeats is wanted
    with pair(wanted, cpus, effort) as running:
        for turn in range(rounds + 1):
            say(f"round {turn} of {rounds}" if turn else "warming up")
            order = list(wanted)
            shuffled.shuffle(order)
            for row in (row for row in order if row not in wrong):
                try:
                    figure = running.figure(row, both_first=bool(turn % 2))
                except Wrong as error:
                    wrong[row] = str(error)
                    continue
                if turn:
                    found[row].append(figure)
    good = {row: each for row, each in found.items() if each and row not in wrong}
    return good, list(wrong.values())


def document(found: dict[Row, list[Figure]]) -> list[dict[str, Any]]:
    """Medians in plain values."""
    result = []
    for row, figures in found.items():
        alone, both, scaling, together = (statistics.median(v) for v in zip(*figures, strict=True))
        result.append(
            {
                "name": row.name,
                "hook": row.hook,
                "flows_of_each_cpu": row.flows,
                "ns_alone": round(alone, 1),
                "ns_both": round(both, 1),
                "scaling": round(scaling, 3),
                "scaling_low": round(min(f.scaling for f in figures), 3),
                "scaling_high": round(max(f.scaling for f in figures), 3),
                "target": row.target or None,
                "together": round(together, 2),
            }
        )
    return result


def table(lines: Sequence[dict[str, Any]]) -> str:
    """The same as Markdown."""
    text = [
        "| case | hook | flows per CPU | ns alone | ns, both run | scaling (low .. high) | target |"
        " | ran together |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- | ---: |",
    ]
    for line in lines:
        target = line["target"]
        met = "" if not target else "met" if line["scaling"] >= target else "**missed**"
        text.append(
            f"| {line['name']} | {line['hook']} | {number(line['flows_of_each_cpu'])} "
            f"| {line['ns_alone']:.0f} | {line['ns_both']:.0f} "
            f"| {line['scaling']:.2f} ({line['scaling_low']:.2f} .. {line['scaling_high']:.2f}) "
            f"| {target or ''} | {met} | {line['together']:.0%} |"
        )
    return "\n".join(text)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.two_cpus",
        description="what the director's program gains from a second CPU",
    )
    parser.add_argument("--quick", action="store_true", help="few short rounds: less exact")
    parser.add_argument("--rounds", type=int, help=f"default {ROUNDS}, quick {QUICK_ROUNDS}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--hook", action="append", choices=HOOKS, help="only this one (repeatable)")
    parser.add_argument("--only", default="", help="only rows whose name has this in it")
    return parser.parse_args()


def main() -> int:
    """Measure and print; 1 if a row was not what it claims."""
    options = arguments()
    cpus = sorted(os.sched_getaffinity(0))[-2:]
    if len(cpus) == 1:
        print("two CPUs are needed", file=sys.stderr)
        return BAD
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, interrupt)
    wanted = [row for row in rows(options.hook or HOOKS) if options.only in row.name]
    about = machine(cpus[0])
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    effort = QUICK_EFFORT if options.quick else EFFORT
    try:
        found, wrong = measure(wanted, cpus, effort, rounds)
    except KeyboardInterrupt:
        print("interrupted; everything was removed", file=sys.stderr)
        return INTERRUPTED
    except (Problem, Wrong, EOFError) as error:
        print(error, file=sys.stderr)
        return BAD
    lines = document(found)
    about |= {"rounds": rounds, "load_after": round(os.getloadavg()[0], 2)}
    print("; ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items()))
    print(f"\n{table(lines)}")
    for text in wrong:
        print(f"ERROR {text}")
    if options.json:
        text = json.dumps(about | {"errors": wrong, "rows": lines}, indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")
    return BAD if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
