# SPDX-License-Identifier: Apache-2.0
"""Ten million connections in one director: memory, counting, listing, idling, expiry.

A real xlvsd runs in a network namespace; the connections are opened by test runs of the
XDP program that it has loaded. Everything is removed at the end.

    script/bench-scale [--connections N] [--idle SECONDS] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.beside import Beside
from bench.datapath import interrupt, machine, say
from bench.frames import ACK, CLIENTS4, SYN, Kind
from bench.harness import Flows, Harness, compiled
from bench.measure import Wrong
from bench.process import cpu_seconds, said
from bench.world import PORT, SERVER, SERVER_MAC, SERVERS, VIP, client, network
from xlvs.client import Client, UnixSocket
from xlvs.datapath import libbpf, pins
from xlvs.datapath.maps import Map
from xlvs.wire.connections import CLOSE_MAX, CloseRequest, ConnectionFilterText, CountQuery

CONNECTIONS = 10_000_000
CHUNK = 1 << 20
LIMIT_BYTES = 1_000_000_000
LIMIT_SMALL = 64_000_000
LIMIT_SHARE = 0.03
LIMIT_LINES = 200_000  # per second of listing, if both processes shared one CPU
LIMIT_WAIT = 1.0  # seconds that the daemon may need for any other answer meanwhile
LIMIT_GROWTH = 64_000_000  # bytes that listing may take in the daemon and in ipvsadm
REFUSED_MAX = 1e-6  # of all: a table filled to the last place that it is rated for
LONG, SHORT = 86400, 20
TICKS_PER_SECOND = 50  # SWEEP_TICK_NS of bpf/sweep.h
SYN_RECV = 60.0  # seconds: then every region is read once
START = 60.0
ASKED_EVERY = 0.3  # seconds
CALM = 5.0  # seconds in which nothing is listed
COMMANDS = Path(sys.executable).parent
BAD, INTERRUPTED = 1, 130
COUNTS = struct.Struct("=6Q")
CLIENTS = 1 << 30  # addresses and ports, of which connections are some by chance
HEAD_LINES = 2


class Daemon:
    """xlvsd with a table of that size, and its maps."""

    def __init__(self, connections: int, folder: Path) -> None:
        self.instance = f"scale-{os.getpid()}"
        self.api = Client(UnixSocket(self.instance, str(folder)))
        self._environment = {
            **os.environ,
            "XLVS_RUN": str(folder),
            "XLVS_INSTANCE": self.instance,
        }
        self._log = (folder / "log").open("w+b")
        self._command = [str(COMMANDS / "xlvsd"), "--instance", self.instance]
        self._command += ["--interfaces", "eth0,eth1", "--hook", "tc"]
        self._command += ["--table-size", str(connections)]
        self._process = self._begun()
        self._maps: dict[str, Map] = {}
        self._folder = Path()

    def _begun(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stderr=self._log, env=self._environment
        )

    def again(self) -> float:
        """Kill it, start another, wait until that is ready: seconds of the last two."""
        self._process.kill()
        self._process.wait()
        self._log.truncate(0)
        for each in self._maps.values():
            each.close()
        begin = time.monotonic()
        self._process = self._begun()
        self.wait()
        return time.monotonic() - begin

    def map(self, name: str) -> Map:
        """One of its maps."""
        return self._maps[name]

    def timed(self, name: str, *words: str, given: str | None = None) -> tuple[float, int]:
        """Seconds that a command takes, which must succeed, and the lines that it says."""
        begin = time.monotonic()
        done = subprocess.run(
            [str(COMMANDS / name), *words],
            check=True,
            env=self._environment,
            input=given,
            stdout=subprocess.PIPE,
            text=True,
        )
        return time.monotonic() - begin, done.stdout.count("\n")

    def wait(self) -> None:
        """Until it is ready."""
        deadline = time.monotonic() + START
        while "xlvsd: ready" not in said(self._log):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Wrong(f"xlvsd did not start: {said(self._log)}")
            time.sleep(0.05)
        self._folder = pins.reach(pins.folder(self.instance))
        for path in sorted((self._folder / "maps").iterdir()):
            self._maps[path.name] = Map(path.name, libbpf.get(str(path)))

    def program(self, name: str) -> int:
        """A descriptor of one of its programs."""
        return libbpf.get(str(self._folder / "progs" / name))

    def run(self, name: str, *words: str) -> str:
        """What a command says that must succeed."""
        command = [str(COMMANDS / name), *words]
        return subprocess.run(
            command, check=True, env=self._environment, stdout=subprocess.PIPE, text=True
        ).stdout

    def shown(self) -> tuple[int, int, int]:
        """ActiveConn and InActConn in ``ipvsadm -Ln``, and the table's use in ``xlvs status``."""
        rows = [line.split() for line in self.run("ipvsadm", "-Ln").splitlines()]
        servers = [row for row in rows if row[:1] == ["->"] and row[-1].isdigit()]
        status = json.loads(self.run("xlvs", "--instance", self.instance, "status", "--json"))
        used: int = status["table"]["used"]
        return sum(int(row[-2]) for row in servers), sum(int(row[-1]) for row in servers), used

    def listed(self, expected: int) -> dict[str, float]:
        """``ipvsadm -Lnc | wc -l``: lines without the two of the head, times, memory."""
        spent, begin = self.cpu_seconds(), time.monotonic()
        with subprocess.Popen(
            [str(COMMANDS / "ipvsadm"), "-Lnc"], env=self._environment, stdout=subprocess.PIPE
        ) as listing:
            done = subprocess.run(
                ["wc", "-l"], stdin=listing.stdout, capture_output=True, check=True
            )
            _, status, usage = os.wait4(listing.pid, 0)
            listing.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begin
        if listing.returncode:
            raise Wrong("ipvsadm -Lnc failed")
        lines = int(done.stdout) - HEAD_LINES
        _check("lines listed", lines, expected)
        daemon, ipvsadm = self.cpu_seconds() - spent, usage.ru_utime + usage.ru_stime
        return {
            "lines": lines,
            "seconds": round(seconds, 1),
            "lines_per_second": round(lines / seconds),
            "daemon_cpu_seconds": round(daemon, 2),
            "ipvsadm_cpu_seconds": round(ipvsadm, 2),
            "lines_per_cpu_second": round(lines / (daemon + ipvsadm)),
            "ipvsadm_bytes": usage.ru_maxrss * 1024,
        }

    def memory(self) -> dict[str, int]:
        """Bytes of maps of more than a megabyte, and of all and programs, as the kernel says."""
        sizes = {name: _memlock(each.fd) for name, each in self._maps.items()}
        programs = 0
        for name in sorted(path.name for path in (self._folder / "progs").iterdir()):
            program = self.program(name)
            programs += _memlock(program)
            os.close(program)
        return {n: size for n, size in sizes.items() if size > 1 << 20} | {
            "programs": programs,
            "all": sum(sizes.values()) + programs,
        }

    def counts(self) -> tuple[int, int, int]:
        """Connections, half-open ones, and refused ones."""
        each = [COUNTS.unpack_from(v) for v in self._maps["table_counts"].lookup_percpu(0)]
        created, ended, half_opened, half_closed, _, full = (
            sum(column) for column in zip(*each, strict=True)
        )
        return created - ended, half_opened - half_closed, full

    def loads(self) -> tuple[int, int]:
        """ActiveConn and InActConn of all destinations."""
        active = inactive = 0
        loads = self._maps["destination_load"]
        for _, value in loads.items():  # noqa: PERF102 - a Map has no values()
            one, other = struct.unpack_from("=II", value)
            active += one
            inactive += other
        return active, inactive

    def ticks(self) -> int:
        """Ticks of the sweep so far."""
        raw = self._maps["table"].lookup(0) or b""
        return int(struct.unpack_from("=4IQ", raw)[4])

    def sweep(self, objects: Path) -> Sweep:
        """The sweep's tick, to be run from here."""
        return Sweep(self._folder / "maps", objects, self._maps)

    def own_bytes(self) -> int:
        """Memory of the daemon itself: without files, and without the maps that it reads."""
        return self.status_bytes("RssAnon")

    def status_bytes(self, name: str) -> int:
        """A figure of the daemon's memory by the kernel's name for it."""
        status = Path("/proc", str(self._process.pid), "status").read_text(encoding="ascii")
        for line in status.splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise Wrong("the kernel does not say how much memory a process has")

    def cpu_seconds(self) -> float:
        """CPU time of the daemon so far."""
        return cpu_seconds(self._process.pid)

    def leftovers(self) -> int:
        """Lines with a lock or a mark that something was put further on."""
        found, stride = 0, self._maps["connections4"].stride
        lines = self._maps["connections4"].view()
        try:
            words = lines.cast("Q")
            found = sum(map(bool, words[:: stride // words.itemsize]))
            words.release()
        finally:
            lines.release()
        return found

    def close(self) -> None:
        """End it and remove its data path."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for each in self._maps.values():
            each.close()
        command = [str(COMMANDS / "xlvs"), "--instance", self.instance, "down"]
        subprocess.run(command, check=False, env=self._environment, stdout=subprocess.DEVNULL)
        self._log.close()


_SWEEP = struct.Struct("=III")  # struct bench_sweep of bpf/bench_sweep.bpf.c


class Sweep:
    """Ticks of the sweep, run and timed as a program: nobody accounts for a timer's time."""

    def __init__(self, place: Path, objects: Path, maps: Mapping[str, Map]) -> None:
        self._object = libbpf.Object(str(objects / "bench_sweep.bpf.o"), str(place))
        try:
            for definition in self._object.maps():
                if definition.pinned:
                    entries = maps[definition.name].info.max_entries
                    self._object.set_max_entries(definition, entries)
            self._object.load()
        except BaseException:
            self._object.close()
            raise
        self._program = self._object.program_fds()["bench_sweep"]

    def share(self) -> dict[str, float]:
        """CPU time of a second's ticks: the share of one CPU, the longest tick, lines read."""
        at, asked, lines, times = 0, 0, 0, []
        for _ in range(TICKS_PER_SECOND):
            begin = time.thread_time_ns()
            run = libbpf.test_run(self._program, None, _SWEEP.pack(at, 0, 0), 0, 0)
            times.append(time.thread_time_ns() - begin)
            if run.retval:
                raise Wrong("there is no table to sweep")
            at, some, read = _SWEEP.unpack(run.ctx_out)
            asked += some
            lines += read
        return {
            "share": round(sum(times) / 1e9, 5),
            "longest_us": round(max(times) / 1e3, 1),
            "regions_asked": asked,
            "lines_read": lines,
        }

    def close(self) -> None:
        """Free it."""
        self._object.close()


class Meanwhile(Beside):
    """Other requests, one after the other, and the daemon's memory, until the end."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__(ASKED_EVERY)
        self.slowest = {"services": 0.0, "status": 0.0, "ipvsadm -Ln": 0.0}
        self.bytes = 0
        self.asked = 0
        self._daemon = daemon

    def once(self) -> None:
        """One of each."""
        self._took("services", self._daemon.api.services)
        self._took("status", self._daemon.api.status)
        self._took("ipvsadm -Ln", lambda: self._daemon.run("ipvsadm", "-Ln"))
        self.bytes = max(self.bytes, self._daemon.own_bytes())
        self.asked += 1

    def _took(self, what: str, work: Callable[[], object]) -> None:
        begin = time.monotonic()
        work()
        self.slowest[what] = max(self.slowest[what], round(time.monotonic() - begin, 3))


def _memlock(fd: int) -> int:
    for line in Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii").splitlines():
        if line.startswith("memlock:"):
            return int(line.split()[1])
    raise Wrong("the kernel does not say how much memory a map or program takes")


def _cpu() -> tuple[int, int]:
    """Ticks of softirq and of everything but idling, of all CPUs."""
    first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    user, nice, system, _, _, irq, softirq, steal = map(int, first.split()[1:9])
    return softirq, user + nice + system + irq + softirq + steal


@contextmanager
def _daemon(connections: int) -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="xlvs-scale-") as folder:
        daemon = Daemon(connections, Path(folder))
        try:
            daemon.wait()
            yield daemon
        finally:
            daemon.close()


def _configure(daemon: Daemon) -> None:
    daemon.run("ipvsadm", "--set", str(LONG), str(LONG), str(LONG))
    service = f"{VIP}:{PORT}"
    daemon.run("ipvsadm", "-A", "-t", service, "-s", "rr")
    for i in range(SERVERS):
        address = str(SERVER + i)
        neighbour = ["neigh", "add", address, "lladdr", SERVER_MAC.hex(":"), "dev", "eth1"]
        subprocess.run(["ip", *neighbour, "nud", "permanent"], check=True)
        daemon.run("ipvsadm", "-a", "-t", service, "-r", f"{address}:{PORT}", "-g")


def _send(
    harness: Harness, program: int, kinds: Sequence[int], connections: int
) -> dict[int, float]:
    """Packets with these flags, one of each for each connection; ns of CPU time of each.

    In parts that are far below the number of half-open connections at which they begin
    to take each other's places.
    """
    spent = dict.fromkeys(kinds, 0)
    part = min(CHUNK, connections // 16)
    for first in range(0, connections, part):
        count = min(part, connections - first)
        for flags in kinds:
            flows = Flows(CLIENTS, first)
            spent[flags] += harness.run(program, client(Kind.TCP4, flags), flows, count).cpu_ns
    return {flags: ns / connections for flags, ns in spent.items()}


def _idle(daemon: Daemon, seconds: float) -> dict[str, float]:
    """Shares of one CPU while nothing happens: of softirq, and of everything."""
    hz = os.sysconf("SC_CLK_TCK")
    time.sleep(2)
    before, begin, ticks = _cpu(), time.monotonic(), daemon.ticks()
    time.sleep(seconds)
    after, took, ticks = _cpu(), time.monotonic() - begin, daemon.ticks() - ticks
    softirq, everything = ((b - a) / hz / took for a, b in zip(before, after, strict=True))
    return {
        "seconds": round(took, 1),
        "sweeps_per_second": round(ticks / took, 1),
        "softirq_share": round(softirq, 4),
        "everything_share": round(everything, 4),
    }


def _expire(daemon: Daemon, harness: Harness, program: int, connections: int) -> dict[str, float]:
    daemon.run("ipvsadm", "--set", str(SHORT), str(SHORT), str(SHORT))
    begin = time.monotonic()
    _send(harness, program, (ACK,), connections)
    renewed = time.monotonic()
    say(f"every connection has {SHORT} s more now ({renewed - begin:.1f} s)")
    started = 0.0
    hz, before = os.sysconf("SC_CLK_TCK"), _cpu()
    deadline = renewed + SHORT + 60
    while (left := daemon.counts()[0]) and time.monotonic() < deadline:
        if not started and left < connections:
            started, before = time.monotonic(), _cpu()
        time.sleep(0.05)
    end, after = time.monotonic(), _cpu()
    if left:
        raise Wrong(f"{left} connections do not end")
    return {
        "first_to_last_seconds": round(end - started, 2),
        "late_seconds": round(end - (renewed + SHORT), 2),
        "softirq_share": round((after[0] - before[0]) / hz / max(end - started, 0.01), 3),
    }


def _check(what: str, have: object, wanted: object) -> None:
    if have != wanted:
        raise Wrong(f"{what}: {have}, not {wanted}")


def _opened(daemon: Daemon, connections: int) -> int:
    """How many of them there are: all, if need be without a few that found no place."""
    used, half_open, full = daemon.counts()
    if half_open or used + full != connections or full > connections * REFUSED_MAX:
        raise Wrong(f"{used} of {connections} opened, {half_open} half-open, {full} refused")
    _check("counters of destinations", daemon.loads(), (used, 0))
    _check("ipvsadm -Ln and xlvs status", daemon.shown(), (used, 0, used))
    return used


def _listing(daemon: Daemon, used: int) -> dict[str, Any]:
    found: dict[str, Any] = {"bytes_before": daemon.own_bytes()}
    with Meanwhile(daemon) as others:
        time.sleep(CALM)
    found["seconds_of_others_before"] = others.slowest
    with Meanwhile(daemon) as others:
        found |= daemon.listed(used)
    found |= {"seconds_of_others": others.slowest, "others": others.asked}
    found["daemon_bytes"] = max(others.bytes, daemon.own_bytes())
    return found


def _picked(daemon: Daemon, used: int) -> dict[str, Any]:
    """Seconds of what the daemon finds in the whole table, and of others meanwhile."""
    client = f"{CLIENTS4}/24"
    works: dict[str, Callable[[], object]] = {
        "count": lambda: _check("counted", _count(daemon, CountQuery()), used),
        "count_state": lambda: _check("half-open", _count(daemon, CountQuery(state="SYN_RECV")), 0),
        "top_clients": lambda: _count(daemon, CountQuery(by="client")),
        "one_network": lambda: _check(
            "clients of one network",
            sum(1 for _ in daemon.api.connections(ConnectionFilterText(client=client))),
            _count(daemon, CountQuery(client=client)),
        ),
    }
    found: dict[str, Any] = {}
    with Meanwhile(daemon) as others:
        for name, work in works.items():
            begin = time.monotonic()
            work()
            found[name] = round(time.monotonic() - begin, 2)
    return found | {"seconds_of_others": others.slowest, "others": others.asked}


def _count(daemon: Daemon, query: CountQuery) -> int:
    return daemon.api.count_connections(query).connections


def _closed(daemon: Daemon, used: int) -> dict[str, Any]:
    """All of them closed by one filter; TCP's ends would be told, then they are forgotten."""
    found: dict[str, Any] = {}
    with Meanwhile(daemon) as others:
        for name, reset in (("reset", True), ("forget", False)):
            wanted = CloseRequest(
                filter=ConnectionFilterText(virtual=str(VIP)), limit=CLOSE_MAX, reset=reset
            )
            begin, closed, more = time.monotonic(), 0, True
            while more:
                result = daemon.api.close_connections(wanted)
                closed += result.reset + result.ended
                more = result.more
            found[name] = round(time.monotonic() - begin, 2)
            _check(f"closed ({name})", closed, used)
    _check("after all were closed", (daemon.counts()[:2], daemon.loads()), ((0, 0), (0, 0)))
    return found | {"seconds_of_others": others.slowest, "others": others.asked}


def measure(connections: int, idle: float) -> dict[str, Any]:
    """All figures. Raises Wrong if a number is not what it has to be."""
    with ExitStack() as stack:
        objects = stack.enter_context(compiled())
        interfaces = stack.enter_context(network())
        harness = Harness("xdp", objects, interfaces.eth0)
        stack.callback(harness.close)
        say(f"xlvsd with a table of {connections}")
        daemon = stack.enter_context(_daemon(connections))
        _configure(daemon)
        program = daemon.program("xlvs_xdp")
        stack.callback(os.close, program)
        found: dict[str, Any] = {"connections": connections, "memory": daemon.memory()}
        found["memory"]["daemon"] = daemon.own_bytes()
        found["bytes_each_full"] = round(found["memory"]["all"] / connections, 1)
        found["idle_empty"] = _idle(daemon, idle)
        say("opening them")
        spent = _send(harness, program, (SYN, ACK), connections)
        found |= {"ns_open": round(spent[SYN]), "ns_establish": round(spent[ACK])}
        found["opened"] = used = _opened(daemon, connections)
        say("idling")
        sweep = daemon.sweep(objects)
        stack.callback(sweep.close)
        opened = time.monotonic()
        found["tick_full"] = sweep.share()
        found["idle_full"] = _idle(daemon, idle)
        time.sleep(max(opened + SYN_RECV + 5 - time.monotonic(), 0))
        found["tick_full_later"] = sweep.share()
        found["idle_full_later"] = _idle(daemon, idle)
        say("listing them")
        found["listing"] = _listing(daemon, used)
        say("picking some")
        found["picking"] = _picked(daemon, used)
        say("expiring them")
        found["expire"] = _expire(daemon, harness, program, connections)
        _check("after all have ended", (daemon.counts()[:2], daemon.loads()), ((0, 0), (0, 0)))
        _check("ipvsadm -Ln and xlvs status", daemon.shown(), (0, 0, 0))
        found["listing_nothing"] = daemon.listed(0)
        _check("lines with something left", daemon.leftovers(), 0)
        say("opening them again, and closing them")
        _send(harness, program, (SYN, ACK), connections)
        found["closing"] = _closed(daemon, daemon.counts()[0])
        _check("lines with something left", daemon.leftovers(), 0)
        return found


def judged(found: Mapping[str, Any]) -> dict[str, bool]:
    """Which limits were met."""
    listing = found["listing"]
    share = max(found[name]["share"] for name in ("tick_full", "tick_full_later"))
    grown = max(listing["daemon_bytes"] - listing["bytes_before"], listing["ipvsadm_bytes"])
    others = listing["seconds_of_others"]
    limit = max(LIMIT_BYTES * found["connections"] // CONNECTIONS, LIMIT_SMALL)
    return {
        "memory": found["memory"]["all"] < limit,
        "idle": share < LIMIT_SHARE,
        "listing": listing["lines_per_cpu_second"] >= LIMIT_LINES,
        "listing_memory": grown < LIMIT_GROWTH,
        "others_meanwhile": max(others["services"], others["status"]) < LIMIT_WAIT,
    }


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="script/bench-scale", description="millions of connections in one director"
    )
    parser.add_argument("--connections", type=int, default=CONNECTIONS, metavar="N")
    parser.add_argument("--idle", type=float, default=20, metavar="SECONDS")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    return parser.parse_args()


def main() -> int:
    """Measure and print; 1 if something is wrong or a limit is missed."""
    options = arguments()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, interrupt)
    try:
        found = measure(options.connections, options.idle)
    except KeyboardInterrupt:
        print("interrupted; everything was removed", file=sys.stderr)
        return INTERRUPTED
    except (Wrong, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return BAD
    met = judged(found)
    found |= {"met": met, "machine": machine(max(os.sched_getaffinity(0)))}
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    return 0 if all(met.values()) else BAD


if __name__ == "__main__":
    sys.exit(main())
