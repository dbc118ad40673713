# SPDX-License-Identifier: Apache-2.0
"""The network of the plan in network namespaces, for as long as a block lasts."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pyroute2 import netns

from bench.e2e import plan
from bench.e2e.leftovers import NAME
from bench.e2e.plan import DIRECTORS, SERVERS, Director, Wires
from xlvs.lab.namespace import ip_batch, namespace_path
from xlvs.lab.processes import Process, end, identify

_SYSCTLS = {
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/arp_ignore": "1",
    "net/ipv4/conf/all/arp_announce": "2",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv4/ip_local_port_range": "1024 65000",
    "net/ipv4/tcp_tw_reuse": "1",
    "net/core/somaxconn": "4096",
    "net/ipv4/fib_multipath_hash_policy": "1",
}
# Processes of a session share one group of the scheduler: a neighbour on the machine
# counts little beside ours, and among ourselves all is as ever.
_FIRST = ["sh", "-c", 'echo -20 >/proc/self/autogroup 2>/dev/null; exec "$@"', "sh"]


class Failed(Exception):  # noqa: N818 - it names what became of the command
    """A program did not do what was asked; the message is what it said."""


class TooLate(Failed):
    """A program did not end."""


class Host:
    """One namespace."""

    def __init__(self, name: str, full_name: str, keep: Callable[[Process], None]) -> None:
        self.name = name
        self.full_name = full_name
        self._keep = keep

    def enter(self, argv: Sequence[str]) -> list[str]:
        """The argv that runs ``argv`` here."""
        return [*_FIRST, "nsenter", f"--net={namespace_path(self.full_name)}", "--", *argv]

    def run(
        self,
        argv: Sequence[str],
        *,
        text: str | None = None,
        check: bool = True,
        env: dict[str, str] | None = None,
        timeout: float = 60,
    ) -> str:
        """Run to the end; gives the output. Raises Failed."""
        done = self.start(argv, env=env, stdin=subprocess.PIPE)
        try:
            out, said = done.communicate(text, timeout=timeout)
        except subprocess.TimeoutExpired as late:
            end([identify(done.pid, argv[0])], patience=1)
            done.communicate()
            raise TooLate(f"{self.name}: {' '.join(argv)}: no end after {timeout:g} s") from late
        if check and done.returncode:
            raise Failed(f"{self.name}: {' '.join(argv)}: {(said or out).strip()[-500:]}")
        return out

    def start(
        self,
        argv: Sequence[str],
        *,
        env: dict[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """Start a program that goes on; it ends with the network."""
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *self.enter(argv)],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE if stdout == subprocess.PIPE else stdout,
            env=os.environ | (env or {}),
            text=True,
            start_new_session=True,
        )
        self._keep(identify(child.pid, argv[0]))
        return child

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """This process is in the namespace meanwhile."""
        netns.pushns(self.full_name)
        try:
            yield
        finally:
            netns.popns()

    def received(self) -> dict[str, int]:
        """Packets received by each device."""
        links = json.loads(self.run(["ip", "-s", "-j", "link"]))
        return {link["ifname"]: int(link["stats64"]["rx"]["packets"]) for link in links}

    def mac(self, device: str) -> str:
        """A device's hardware address."""
        (link,) = json.loads(self.run(["ip", "-j", "link", "show", "dev", device]))
        return str(link["address"])


class Network:
    """All hosts, and what has to be undone before they are removed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid = os.getpid()
        self.hosts = {
            name: Host(name, f"{NAME}{self.pid}-{name}", self._started)
            for name in ("client", *(f"server{n}" for n in SERVERS), *DIRECTORS)
        }
        self._processes: list[Process] = []

    @property
    def client(self) -> Host:
        """Where requests and packets come from."""
        return self.hosts["client"]

    @property
    def servers(self) -> list[Host]:
        """The real servers."""
        return [self.hosts[f"server{n}"] for n in SERVERS]

    def director(self, name: str) -> Host:
        """A director's host."""
        return self.hosts[name]

    def _started(self, process: Process) -> None:
        self._processes = [p for p in self._processes if p.alive]
        self._processes.append(process)

    def build(self) -> None:
        """Make namespaces, wires, addresses."""
        names = {name: host.full_name for name, host in self.hosts.items()}
        ip_batch([f"netns add {name}" for name in names.values()])
        for name, host in self.hosts.items():
            wanted = _SYSCTLS | ({"net/ipv4/ip_forward": "1"} if name in DIRECTORS else {})
            lines = [f"echo {value} >/proc/sys/{path}" for path, value in wanted.items()]
            host.run(["sh", "-e"], text="\n".join(lines))
        ip_batch(plan.wires(names, os.cpu_count() or 1))
        ip_batch(plan.client(os.cpu_count() or 1), names["client"])
        for d in DIRECTORS.values():
            ip_batch(plan.director(d), names[d.name])
        for n, host in zip(SERVERS, self.servers, strict=True):
            ip_batch(plan.server(n), host.full_name)
        for d in DIRECTORS.values():
            self._offloads(d)
            for n in SERVERS:  # neighbours are known before anything is measured
                self.client.run(["ping", "-qc1", "-W2", d.server(n)])

    def _offloads(self, d: Director) -> None:
        ends = [(self.client, d.at_client), *((host, d.at_server) for host in self.servers)]
        if d.flooded:
            ends.append((self.client, d.at_flood))
        own = [(self.director(d.name), device) for device in d.devices]
        if d.wires is Wires.OFF:
            for host, device in (*ends, *own):
                words = [word for each in ("tso", "gso", "tx", "gro") for word in (each, "off")]
                host.run(["ethtool", "-K", device, *words])
        elif d.wires is Wires.XDP:
            for host, device in ends:
                host.run(["ethtool", "-K", device, "gro", "on", "tx", "off"])

    def cpu_seconds(self) -> float:
        """CPU time of everything that was started, with the packets handled meanwhile."""
        sessions = {process.pid for process in self._processes}
        every = map(_session_and_ticks, Path("/proc").glob("[0-9]*/stat"))
        ticks = sum(number for session, number in every if session in sessions)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return ticks / os.sysconf("SC_CLK_TCK") + ended.ru_utime + ended.ru_stime

    def remove(self) -> None:
        """End all processes, delete the namespaces; harmless if there are none."""
        end(self._processes, patience=2)
        for host in self.hosts.values():
            if namespace_path(host.full_name).exists():
                subprocess.run(["ip", "netns", "delete", host.full_name], check=False)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """The network; it is removed whatever ends the block."""
    folder = Path(tempfile.mkdtemp(prefix=f"{NAME}{os.getpid()}-"))
    made = Network(folder)
    try:
        made.build()
        yield made
    finally:
        made.remove()
        shutil.rmtree(folder, ignore_errors=True)


def _session_and_ticks(path: Path) -> tuple[int, int]:
    """Session of a process, and its CPU time; nothing of one that is gone."""
    try:
        fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0, 0
    return int(fields[3]), int(fields[11]) + int(fields[12])


def wait_for(ready: Callable[[], bool], what: str, patience: float = 10) -> None:
    """Until it is so. Raises Failed."""
    deadline = time.monotonic() + patience
    while not ready():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not after {patience:g} s")
        time.sleep(0.05)
