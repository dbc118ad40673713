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
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.harness import Harness, compiled
from bench.measure import Bench, Effort, Wrong, rounds
from bench.report import document, figures, tables
from bench.rows import FLOWS, HOOKS, Group, Row, select
from bench.world import Key, network, world
from xlvs.model.problem import Problem
from xlvs.model.service import Method

FULL = Effort(established=1 << 19, new=1 << 17, singly=1 << 14)
QUICK = Effort(established=1 << 17, new=1 << 15, singly=1 << 12, whole=False)
ROUNDS, QUICK_ROUNDS = 9, 3
BAD_ROWS, INTERRUPTED = 1, 130


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="script/bench",
        description="ns per packet of the director's XDP and TC programs, beside floors",
    )
    parser.add_argument("--quick", action="store_true", help="few short rounds: less exact")
    parser.add_argument("--rounds", type=int, help=f"default {ROUNDS}, quick {QUICK_ROUNDS}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--cpu", type=int, help="the CPU to run on (default: the last one)")
    parser.add_argument(
        "--hook", action="append", choices=HOOKS, help="only this hook (may be repeated)"
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
        help="so many flows, a power of two up to 1048576 (repeatable; default 1, 65536, 1048576)",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[g.value for g in Group],
        help="only these tables besides the floors (repeatable)",
    )
    return parser.parse_args(argv)


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


def measure(
    rows: Sequence[Row], effort: Effort, turns: int
) -> tuple[dict[Row, list[float]], dict[Row, str]]:
    """Make the directors, run all rounds, remove everything."""
    with ExitStack() as stack:
        say("compiling the wrapper")
        objects = stack.enter_context(compiled())
        interfaces = stack.enter_context(network())
        harnesses = {}
        numbers = dict.fromkeys((1, *(row.flows for row in rows)))
        for hook, number in product(HOOKS, numbers):
            harnesses[hook, number] = Harness(hook, objects, interfaces.eth0, number)
            stack.callback(harnesses[hook, number].close)
        worlds = {}
        for key in dict.fromkeys(Key(r.method, r.connections) for r in rows if not r.floor):
            say(f"a director with {key.connections} established {key.method} connections")
            made = world(key, effort.new, interfaces, objects, harnesses["xdp", 1])
            worlds[key] = stack.enter_context(made)
        bench = Bench(harnesses, worlds, interfaces, effort)
        say("filling the hash maps of the floors")
        bench.fill()
        found = rounds(bench, rows, turns, say)
        print("removing the directors", file=sys.stderr, flush=True)
    return found


def main() -> int:
    """Measure and print; 1 if a row was not what it claims."""
    options = arguments()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, interrupt)
    cpu = max(os.sched_getaffinity(0)) if options.cpu is None else options.cpu
    os.sched_setaffinity(0, {cpu})
    about = machine(cpu)
    rows = select(
        options.hook or HOOKS,
        [Method(m) for m in options.method or Method],
        sorted(set(options.flows or FLOWS)),
        [Group(g) for g in options.only or Group],
    )
    effort = QUICK if options.quick else FULL
    number = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    try:
        found, wrong = measure(rows, effort, number)
    except KeyboardInterrupt:
        print("interrupted; everything was removed", file=sys.stderr)
        return INTERRUPTED
    except (Problem, Wrong) as error:
        print(error, file=sys.stderr)
        return BAD_ROWS
    about |= {"rounds": number, "load_after": round(os.getloadavg()[0], 2)}
    result = figures(found)
    print("; ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items()))
    print(f"\n{tables(result)}")
    for text in wrong.values():
        print(f"ERROR {text}")
    if options.json:
        all_figures = document(result, about | {"errors": list(wrong.values())})
        options.json.write_text(json.dumps(all_figures, indent=2) + "\n", encoding="utf-8")
    return BAD_ROWS if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
