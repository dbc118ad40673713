# SPDX-License-Identifier: Apache-2.0
"""What a packet costs: ns per packet of the director's programs, beside floors.

Run by script/bench. The method is described in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.harness import Harness, compiled
from bench.measure import Bench, Effort, Wrong, key_of, rounds
from bench.memory import Use
from bench.memory import measure as memory
from bench.report import document, figures, plots, tables
from bench.rows import FLOWS, FLOWS6, HOOKS, Group, Row, select
from bench.world import network, world
from xlvs.model.problem import Problem
from xlvs.model.service import Method

FULL = Effort(established=1 << 19, new=1 << 17, singly=1 << 14)
QUICK = Effort(established=1 << 17, new=1 << 15, singly=1 << 12, whole=False)
ROUNDS, QUICK_ROUNDS = 9, 3
QUICK_FLOWS, QUICK_FLOWS6 = (1, 1 << 20), (1,)
LIMIT, QUICK_LIMIT = 570, 52
"""Seconds, not counting the end, which takes about five: rounds that do not fit are left out."""
BAD_ROWS, INTERRUPTED = 1, 130


def common_arguments(parser: argparse.ArgumentParser, rounds: int, quick_rounds: int) -> None:
    """What every benchmark of programs is asked: how long, where, and where the figures go."""
    parser.add_argument("--quick", action="store_true", help="few short rounds: less exact")
    parser.add_argument("--rounds", type=int, help=f"default {rounds}, quick {quick_rounds}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--cpu", type=int, help="the CPU to run on (default: the last one)")
    parser.add_argument(
        "--hook", action="append", choices=HOOKS, help="only this hook (may be repeated)"
    )


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="script/bench",
        description="ns per packet of the director's XDP and TC programs, beside floors",
    )
    common_arguments(parser, ROUNDS, QUICK_ROUNDS)
    parser.add_argument("--plot", type=Path, metavar="DIR", help="write plots there (SVG)")
    parser.add_argument(
        "--seconds",
        type=int,
        help=f"rounds that take longer are left out (default {LIMIT}, quick {QUICK_LIMIT})",
    )
    parser.add_argument(
        "--method",
        action="append",
        choices=[m.value for m in Method],
        help="only this method (repeatable)",
    )
    parser.add_argument(
        "--flows",
        action="append",
        type=flows,
        metavar="N",
        help="so many flows, a power of two up to 1048576 (repeatable; "
        f"default {listed(FLOWS)}, IPv6 {listed(FLOWS6)}; "
        f"quick {listed(QUICK_FLOWS)}, IPv6 {listed(QUICK_FLOWS6)})",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[g.value for g in Group],
        help="only these tables besides the floors (repeatable)",
    )
    return parser.parse_args(argv)


def listed(numbers: Sequence[int]) -> str:
    """For the help."""
    return " ".join(map(str, numbers))


def flows(text: str) -> int:
    """A number of flows from the command line."""
    value = int(text)
    if not 1 <= value <= max(FLOWS) or value & (value - 1):
        raise argparse.ArgumentTypeError(f"{text} is no power of two from 1 to {max(FLOWS)}")
    return value


def machine(cpu: int) -> dict[str, Any]:
    """What the figures depend on."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu_model": models[0] if models else "unknown",
        "cpus": os.cpu_count(),
        "cpu": cpu,
        "load_before": round(os.getloadavg()[0], 2),
    }


asked_to_stop = False


def say(text: str) -> None:
    """Progress; the figures alone go to stdout."""
    if asked_to_stop:
        raise KeyboardInterrupt
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Undo everything once, undisturbed.

    An exception that is raised while libbpf logs is lost: ``say`` raises it again.
    """
    global asked_to_stop  # noqa: PLW0603 - a signal handler has nothing else
    asked_to_stop = True
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


class Plan(NamedTuple):
    """What to do. ``memory``: the methods whose connections' memory is looked at.

    ``until``: by then, of the monotonic clock, the rounds are over.
    """

    rows: Sequence[Row]
    memory: Sequence[Method]
    effort: Effort
    rounds: int
    until: float


class Found(NamedTuple):
    """ns per packet of each row by rounds, rows that were not what they claim, memory."""

    values: dict[Row, list[float]]
    wrong: dict[Row, str]
    memory: list[Use]


def plan(options: argparse.Namespace, begin: float) -> Plan:
    """From the command line, and when the program began."""
    quick = options.quick
    methods = [Method(m) for m in options.method or Method]
    asked = sorted(set(options.flows or ()))
    rows = select(
        options.hook or HOOKS,
        methods,
        asked or (QUICK_FLOWS if quick else FLOWS),
        [Group(g) for g in options.only or Group],
        asked or (QUICK_FLOWS6 if quick else FLOWS6),
    )
    return Plan(
        rows,
        [] if options.only else methods,
        QUICK if quick else FULL,
        options.rounds or (QUICK_ROUNDS if quick else ROUNDS),
        begin + (options.seconds or (QUICK_LIMIT if quick else LIMIT)),
    )


def measure(plan: Plan) -> Found:
    """Make the directors, run all rounds, remove everything."""
    rows, effort = plan.rows, plan.effort
    with ExitStack() as stack:
        say("compiling the wrapper")
        objects = stack.enter_context(compiled())
        interfaces = stack.enter_context(network())
        harnesses = {}
        numbers = dict.fromkeys((1, *(row.flows for row in rows)))
        for hook, number in product(HOOKS, numbers):
            harnesses[hook, number] = Harness(hook, objects, interfaces.eth0, number)
            stack.callback(harnesses[hook, number].close)
        opener = harnesses["xdp", 1]
        used = memory(plan.memory, interfaces, objects, opener, say)
        worlds = {}
        for key in dict.fromkeys(key_of(row) for row in rows if not row.floor):
            say(f"a director: {key.text}")
            made = world(key, effort.new, interfaces, objects, opener)
            worlds[key] = stack.enter_context(made)
        bench = Bench(harnesses, worlds, interfaces, effort)
        say("filling the hash maps of the floors")
        bench.fill()
        values, wrong = rounds(bench, rows, plan.rounds, say, plan.until)
        print("removing the directors", file=sys.stderr, flush=True)
    return Found(values, wrong, used)


def main() -> int:
    """Measure and print; 1 if a row was not what it claims."""
    begin = time.monotonic()
    options = arguments()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, interrupt)
    cpu = max(os.sched_getaffinity(0)) if options.cpu is None else options.cpu
    os.sched_setaffinity(0, {cpu})
    about = machine(cpu)
    try:
        found = measure(plan(options, begin))
    except KeyboardInterrupt:
        print("interrupted; everything was removed", file=sys.stderr)
        return INTERRUPTED
    except (Problem, Wrong) as error:
        print(error, file=sys.stderr)
        return BAD_ROWS
    about |= {
        "rounds": max(map(len, found.values.values()), default=0),
        "seconds": round(time.monotonic() - begin),
        "load_after": round(os.getloadavg()[0], 2),
    }
    result = figures(found.values)
    wrong = list(found.wrong.values())
    print("; ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items()))
    print(f"\n{tables(result, found.memory)}")
    for text in wrong:
        print(f"ERROR {text}")
    if options.plot:
        options.plot.mkdir(parents=True, exist_ok=True)
        for name, text in plots(result).items():
            (options.plot / name).write_text(text, encoding="utf-8")
    if options.json:
        all_figures = document(result, found.memory, about | {"errors": wrong})
        options.json.write_text(json.dumps(all_figures, indent=2) + "\n", encoding="utf-8")
    return BAD_ROWS if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
