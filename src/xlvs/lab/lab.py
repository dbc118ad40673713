# SPDX-License-Identifier: Apache-2.0
"""Build the world, hand out its hosts, take it down again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from xlvs.lab import cgroups, commands, servers, state
from xlvs.lab.cleanup import remove
from xlvs.lab.director import Director
from xlvs.lab.namespace import Namespace, ip_batch
from xlvs.lab.plan import TOPOLOGIES, Plan
from xlvs.lab.problem import LabError
from xlvs.lab.processes import Process, end
from xlvs.lab.realserver import RealServer
from xlvs.lab.run import need, need_root

DEFAULT_PREFIX = "xlvs-lab"


class Lab:
    """A topology in network namespaces ``PREFIX-HOST``, for as long as the block lasts.

    It is removed whatever ends the block: its end, an exception, SIGINT, SIGTERM.
    With ``keep`` it stays when :meth:`up` returns (``xlvs lab up``).
    """

    def __init__(
        self,
        topology: str | Plan = "full",
        *,
        prefix: str | None = None,
        keep: bool = False,
    ) -> None:
        self.plan = topology if isinstance(topology, Plan) else _topology(topology)
        self.prefix = prefix or f"xlvs-t{os.getpid()}"
        self.instance = state.instance_of(self.prefix)
        self.hosts: dict[str, Namespace] = {}
        self.directors: list[Director] = []
        """The director, and in a pair the other one."""
        self._keep = keep
        self._record: state.Record | None = None
        self._children: list[tuple[Process, subprocess.Popen[bytes]]] = []
        self._signals: dict[int, Any] = {}
        self._leave_up = False
        if not re.fullmatch("xlvs-[a-z0-9]+", self.prefix):
            # One prefix must not be the beginning of another one's names.
            raise LabError(f"{self.prefix} is no name for a lab: xlvs- and letters or digits")

    # ---- hosts ---------------------------------------------------------------

    @property
    def client(self) -> Namespace:
        """Where requests come from."""
        return self.hosts["client"]

    @property
    def router(self) -> Namespace:
        """The way to the far servers, and of direct replies."""
        return self.hosts["router"]

    @property
    def switch(self) -> Namespace:
        """The namespace with the bridges; not a host."""
        return self.hosts[commands.SWITCH]

    @property
    def director(self) -> Director:
        """The director, with its daemon and commands."""
        return self.directors[0]

    @property
    def real_servers(self) -> list[RealServer]:
        """All real servers in the order of their numbers."""
        return list(self._real_servers)

    def servers_for(self, method: str) -> list[RealServer]:
        """The real servers that are wired for a forwarding method."""
        return [server for server in self._real_servers if method in server.methods]

    @property
    def folder(self) -> Path:
        """Where logs lie; gone with the lab."""
        if self._record is None:
            raise LabError("the lab is not up")
        return Path(self._record.directory)

    # ---- life ----------------------------------------------------------------

    def __enter__(self) -> Self:
        self._catch_signals()
        try:
            self.up()
        except BaseException:
            self._leave_up = False
            self.__exit__(None, None, None)
            raise
        return self

    def leave_up(self) -> None:
        """The end of the block does not remove the lab any more (it has to be a kept one)."""
        self._leave_up = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A second Ctrl-C must not leave half of it behind.
        for sign in self._signals:
            signal.signal(sign, signal.SIG_IGN)
        try:
            if kind is not None or not self._leave_up:
                self.down()
        finally:
            for sign, handler in self._signals.items():
                signal.signal(sign, handler)
            self._signals.clear()

    def up(self) -> None:
        """Build everything and wait until the real servers serve."""
        need_root()
        need("ip", "nsenter", "setpriv", "ethtool", "nginx")
        if state.load(self.prefix) is not None:
            raise LabError(f"{self.prefix} is up already: `xlvs lab down` removes it")
        remove(self.prefix)
        ensure_bpffs()
        folder = Path(tempfile.mkdtemp(prefix=f"{self.prefix}-"))
        self._record = state.Record(
            prefix=self.prefix,
            topology=self.plan.name,
            owner=state.owner(),
            kept=self._keep,
            directory=str(folder),
        )
        self._record.save()
        self._make_hosts(folder)
        self._make_namespaces()
        for server in self._real_servers:
            servers.start(server.namespace, folder / server.name, server.cgroup)
        for server in self._real_servers:
            servers.wait(server.namespace, folder / server.name)

    def prepare_real_servers(self) -> None:
        """``xlvs realserver up`` on every real server whose method needs it."""
        with ThreadPoolExecutor(max_workers=len(self._real_servers)) as pool:
            list(pool.map(self._prepare, self._real_servers))

    def _prepare(self, server: RealServer) -> None:
        for method in ("dr", "tun"):
            if method in server.methods:
                server.realserver(*realserver_up(self.plan, method))

    def attach(self) -> None:
        """Use a lab that another process built and kept."""
        record = state.load(self.prefix)
        if record is None:
            raise LabError(f"{self.prefix} is not up: `xlvs lab up` builds it")
        self._record = record
        self._keep = True
        self.plan = _topology(record.topology)
        self._make_hosts(Path(record.directory))

    def down(self) -> None:
        """Remove everything of this lab; harmless if there is nothing."""
        # Its own processes first, whatever became of the record about them.
        end([process for process, _ in self._children])
        remove(self.prefix)
        for _, child in self._children:
            child.wait()  # it has ended: take its exit status
        self._children.clear()
        self._record = None

    # ---- parts ---------------------------------------------------------------

    def _make_hosts(self, folder: Path) -> None:
        instances = state.instances_of(self.prefix)
        env = {"XLVS_INSTANCE": self.instance, "XLVS_LAB": self.prefix}
        none = ("", "")
        addresses = {host.name: host.addresses for host in self.plan.hosts}
        for name in (*addresses, commands.SWITCH):
            self.hosts[name] = Namespace(
                name,
                f"{self.prefix}-{name}",
                addresses.get(name, none),
                keep=self._keep,
                started=self._started,
                env=env | {"XLVS_INSTANCE": instances.get(name, self.instance)},
            )
        self.directors = [
            Director(self.hosts[name], self.switch, instance, _folder(folder / name))
            for name, instance in instances.items()
            if name in self.hosts
        ]
        self._real_servers = [
            RealServer(self.hosts[host.name], host.methods, cgroups.path(self.prefix, host.name))
            for host in self.plan.real_servers
        ]

    def _make_namespaces(self) -> None:
        names = {name: host.full_name for name, host in self.hosts.items()}
        ip_batch([f"netns add {name}" for name in names.values()])
        for host in self.plan.hosts:
            self.hosts[host.name].run(["sh", "-e"], stdin="\n".join(commands.sysctls(host)))
        ip_batch(commands.wires(self.plan, names))
        self.switch.ip(commands.switch(self.plan))
        for host in self.plan.hosts:
            self.hosts[host.name].ip(commands.addresses(host))
            v4, v6 = commands.reply_rules(host)
            self.hosts[host.name].ip(v4)
            self.hosts[host.name].ip(v6, "-6")

    def _started(self, process: Process, child: subprocess.Popen[bytes]) -> None:
        self._children.append((process, child))
        if self._record is None:
            raise LabError("the lab is not up")
        self._record.add(process)

    def _catch_signals(self) -> None:
        """SIGTERM and SIGHUP end the block as SIGINT does: by an exception."""
        if threading.current_thread() is not threading.main_thread():
            return
        for sign in (signal.SIGTERM, signal.SIGHUP):
            self._signals[sign] = signal.signal(sign, _leave)
        self._signals[signal.SIGINT] = signal.getsignal(signal.SIGINT)


def _folder(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def realserver_up(plan: Plan, method: str) -> list[str]:
    """What is typed after ``xlvs realserver`` on a real server of this method."""
    vips = [word for vip in plan.vips[method] for word in ("--vip", vip)]
    return ["up", *vips, "--method", method]


def client_address_up(plan: Plan, server: RealServer) -> list[str]:
    """What is typed after ``xlvs realserver`` on one of FULLNAT, to know clients."""
    believed = ",".join(plan.local_addresses)
    return ["up", "--client-address", "--from", believed, "--cgroup", server.cgroup]


class Interrupted(KeyboardInterrupt):
    """A signal other than Ctrl-C asked for the end; ``status`` is the exit status it wants."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.status = 128 + number


def _leave(number: int, _frame: FrameType | None) -> None:
    # As a KeyboardInterrupt nobody takes it for a failed test or a refused command.
    raise Interrupted(number)


def _topology(name: str) -> Plan:
    if name not in TOPOLOGIES:
        raise LabError(f"no topology {name}: there are {', '.join(TOPOLOGIES)}")
    return TOPOLOGIES[name]


def ensure_bpffs() -> None:
    """Mount the BPF file system where systemd would have done it."""
    where = Path("/sys/fs/bpf")
    if not where.is_mount():
        subprocess.run(["mount", "-t", "bpf", "bpf", str(where)], check=True)
