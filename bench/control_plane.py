# SPDX-License-Identifier: Apache-2.0
"""What commands and changes take with ten services, and with ten thousand.

A real xlvsd runs in a network namespace, without packets. Each figure is the median of some
rounds. While commands run, somebody asks the daemon a trifle again and again: the longest
answer tells how long its event loop stood still.

    script/bench-control-plane [--services N,N] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from bench.beside import Beside
from bench.datapath import interrupt, machine, say
from bench.measure import Wrong
from bench.scale import BAD, INTERRUPTED, Daemon
from bench.world import network
from xlvs.datapath import records
from xlvs.datapath.btf import read
from xlvs.datapath.layout import Layout
from xlvs.datapath.loader import OBJECTS, Sizes
from xlvs.model.edit import (
    AddDestination,
    AnyEdit,
    DeleteDestination,
    EditDestination,
)
from xlvs.model.service import Destination, DestinationKey, Method, Protocol, ServiceKey

SERVICES = (10, 100, 1000, 10000)
EACH = 10  # destinations of a service
SERVERS = 1000  # addresses; a server has as many ports as services want it
ROUNDS = 5
CHANGES = 30
FIRST_VIP, FIRST_SERVER = IPv4Address("10.1.0.1"), IPv4Address("10.64.0.1")
PORT = 8000
ASKED_EVERY = 0.005  # seconds
CALM = 6.0  # seconds: three runs of the estimator, one of the reaper
MARK = 40000  # weights that no rule has
MEGA = 1_000_000
LINES_AROUND = 3  # heads of a listing

LISTINGS: Mapping[str, Sequence[str]] = {
    "ipvsadm -Ln, ms": ("-Ln",),
    "ipvsadm -Ln --stats, ms": ("-Ln", "--stats"),
    "ipvsadm -Sn, ms": ("-Sn",),
}

LIMITS: Sequence[tuple[str, int, float]] = (
    ("ipvsadm -Ln, ms", 10, 100),
    ("ipvsadm -Ln, ms", 10000, 1000),
    ("ipvsadm-restore, s", 10000, 5),
    ("one change (API), ms", 10000, 20),
    ("xlvsd, MB", 10000, 500),
)
"""Figures, at how many services each is judged, and what it may be."""


def vip(service: int) -> ServiceKey:
    """The service of that number."""
    return ServiceKey(protocol=Protocol.TCP, address=FIRST_VIP + service, port=80)


def server(service: int, place: int) -> Destination:
    """Of a service the destination of that number."""
    number = service * EACH + place
    key = DestinationKey(address=FIRST_SERVER + number % SERVERS, port=PORT + number // SERVERS)
    return Destination(key=key, method=Method.NAT, weight=1 + place % 3)


def rules(services: int) -> str:
    """What ``ipvsadm-restore`` reads."""
    lines = []
    for service in range(services):
        key = vip(service)
        name = f"-t {key.address}:{key.port}"
        lines.append(f"-A {name} -s wrr\n")
        for place in range(EACH):
            each = server(service, place)
            address = f"{each.key.address}:{each.key.port}"
            lines.append(f"-a {name} -r {address} -m -w {each.weight}\n")
    return "".join(lines)


class Asking(Beside):
    """Asks the daemon for its time-outs; the longest answer, in seconds."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__(ASKED_EVERY)
        self.longest = 0.0
        self._daemon = daemon

    def once(self) -> None:
        """One question."""
        begin = time.monotonic()
        self._daemon.api.timeouts()
        self.longest = max(self.longest, time.monotonic() - begin)


class Measuring:
    """Figures of one size."""

    def __init__(self, daemon: Daemon, services: int, rounds: int) -> None:
        self._daemon = daemon
        self._services = services
        self._rounds = rounds
        self._weight = MARK
        self._layout = Layout(read((OBJECTS / "xdp.bpf.o").read_bytes()))

    def all(self) -> dict[str, float]:
        """Name -> figure."""
        text = rules(self._services)
        found: dict[str, float] = {}
        with self._cpu(found, "… CPU time of both processes, s", 1):
            found["ipvsadm-restore, s"] = self._restored(text)
        found["… of the same over the same, s"] = self._median(lambda: self._restored(text))
        for name, words in LISTINGS.items():
            with self._cpu(found, f"… CPU time of both processes, {name[8:]}", 1e3 / self._rounds):
                found[name] = 1e3 * self._median(partial(self._listed, *words))
        for name, edits in (
            ("one change (API), ms", self._changes),
            ("one server less, one more (API), ms", self._replacements),
        ):
            found[name] = 1e3 * statistics.median(self._edited(edits(CHANGES)))
        found["the longest change, ms"] = 1e3 * max(self._edited(self._changes(CHANGES)))
        found["ipvsadm -e, ms"] = 1e3 * self._median(self._command)
        # Being asked all the time slows them down, so these runs are others.
        for name, work in (
            ("longest pause at rest, ms", lambda: time.sleep(CALM)),
            ("… in a restore, ms", lambda: self._restored(text)),
            ("… in a listing, ms", lambda: self._listed("-Ln")),
        ):
            with Asking(self._daemon) as asking:
                work()
            found[name] = asking.longest * 1e3
        found["xlvsd, MB"] = self._daemon.own_bytes() / MEGA
        found["a new xlvsd after kill -9, s"] = self._daemon.again()
        return found

    @contextmanager
    def _cpu(self, found: dict[str, float], name: str, scale: float) -> Iterator[None]:
        """CPU time of the daemon and of the commands that ran, under that name."""
        before = self._spent()
        yield
        found[name] = scale * (self._spent() - before)

    def _spent(self) -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime + self._daemon.cpu_seconds()

    def _median(self, work: Callable[[], float]) -> float:
        return statistics.median(work() for _ in range(self._rounds))

    def _restored(self, text: str) -> float:
        return self._daemon.timed("ipvsadm-restore", given=text)[0]

    def _listed(self, *words: str) -> float:
        seconds, lines = self._daemon.timed("ipvsadm", *words)
        heads = 0 if "-Sn" in words else LINES_AROUND
        if lines != heads + self._services * (1 + EACH):
            raise Wrong(f"ipvsadm {' '.join(words)}: {lines} lines")
        return seconds

    def _some(self, count: int) -> Iterator[int]:
        """So many services, here and there."""
        return (place * 7919 % self._services for place in range(count))

    def _changes(self, count: int) -> Iterator[list[AnyEdit]]:
        for service in self._some(count):
            self._weight += 1
            each = server(service, 3)
            changed = Destination(key=each.key, method=each.method, weight=self._weight)
            yield [EditDestination(service=vip(service), destination=changed)]

    def _replacements(self, count: int) -> Iterator[list[AnyEdit]]:
        for service in self._some(count):
            gone = server(service, 5)
            yield [DeleteDestination(service=vip(service), destination=gone.key)]
            yield [AddDestination(service=vip(service), destination=gone)]

    def _edited(self, requests: Iterator[list[AnyEdit]]) -> list[float]:
        """Seconds of each, until the answer; and the maps say what was asked for last."""
        found = []
        for edits in requests:
            begin = time.monotonic()
            self._daemon.api.edit(edits)
            found.append(time.monotonic() - begin)
        if self._weight > MARK:
            self._visible(self._weight)
        return found

    def _visible(self, weight: int) -> None:
        codec = self._layout.codec(records.Destination)
        for _, value in self._daemon.map("destinations").items():  # noqa: PERF102 - no values()
            if codec.unpack(value).weight == weight:
                return
        raise Wrong(f"no destination has the weight {weight} in the maps")

    def _command(self) -> float:
        self._weight += 1
        key, each = vip(self._services // 2), server(self._services // 2, 3)
        words = ["-e", "-t", f"{key.address}:{key.port}", "-m", "-w", str(self._weight)]
        words += ["-r", f"{each.key.address}:{each.key.port}"]
        seconds, _ = self._daemon.timed("ipvsadm", *words)
        self._visible(self._weight)
        return seconds


def floors(rounds: int) -> dict[str, float]:
    """What Python itself takes to start, ms."""

    def took(*words: str) -> float:
        begin = time.monotonic()
        subprocess.run([sys.executable, *words], check=True)
        return (time.monotonic() - begin) * 1e3

    return {
        "python -c pass, ms": statistics.median(took("-c", "pass") for _ in range(2 * rounds)),
        "python -I -S -c pass, ms": statistics.median(
            took("-I", "-S", "-c", "pass") for _ in range(2 * rounds)
        ),
    }


@contextmanager
def _director() -> Iterator[Daemon]:
    with network(), tempfile.TemporaryDirectory(prefix="xlvs-control-") as folder:
        daemon = Daemon(Sizes().connections, Path(folder))
        try:
            daemon.wait()
            yield daemon
        finally:
            daemon.close()


def measure(sizes: Sequence[int], rounds: int) -> dict[str, Any]:
    """All figures. Raises Wrong if something is not what it has to be."""
    found: dict[str, Any] = {"floors": floors(rounds), "services": {}}
    for services in sizes:
        say(f"{services} services with {EACH} destinations each")
        with _director() as daemon:
            figures = Measuring(daemon, services, rounds).all()
        found["services"][services] = {name: round(value, 2) for name, value in figures.items()}
    return found


def judged(found: Mapping[str, Any]) -> dict[str, bool]:
    """Which limits were met, of those that were measured."""
    met = {}
    for name, services, limit in LIMITS:
        figures = found["services"].get(services)
        if figures is not None:
            met[f"{name}, {services} services: at most {limit:g}"] = figures[name] <= limit
    return met


def table(found: Mapping[str, Any]) -> str:
    """The figures in Markdown."""
    by_size = found["services"]
    rows = [
        ["", *(f"{size:,}".replace(",", " ") for size in by_size)],
        ["---", *("---:" for _ in by_size)],
    ]
    for name in next(iter(by_size.values())):
        cells = [figures[name] for figures in by_size.values()]
        digits = 1 if max(cells) < 100 else 0  # noqa: PLR2004 - three digits are enough
        rows.append([name, *(f"{cell:.{digits}f}" for cell in cells)])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", *(f"{name}: {value:.1f}" for name, value in found["floors"].items())]
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="script/bench-control-plane",
        description="commands and changes, by the number of services",
    )
    parser.add_argument(
        "--services",
        type=lambda text: tuple(map(int, text.split(","))),
        default=SERVICES,
        metavar="N,N",
        help="how many services (default %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    return parser.parse_args()


def main() -> int:
    """Measure and print; 1 if something is wrong or a limit is missed."""
    options = arguments()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, interrupt)
    try:
        found = measure(options.services, options.rounds)
    except KeyboardInterrupt:
        print("interrupted; everything was removed", file=sys.stderr)
        return INTERRUPTED
    except (Wrong, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return BAD
    met = judged(found)
    found |= {"met": met, "machine": machine(max(os.sched_getaffinity(0)))}
    print(table(found))
    for name, good in met.items():
        print(f"{'met   ' if good else 'MISSED'} {name}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0 if all(met.values()) else BAD


if __name__ == "__main__":
    sys.exit(main())
