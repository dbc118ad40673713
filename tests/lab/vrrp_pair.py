# SPDX-License-Identifier: Apache-2.0
"""Two directors on a switch: real keepalived on "a", ours on "b" (or on both)."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from xlvs.io.vrrp import messages as m

PATIENCE = 12.0

T = TypeVar("T")


def wait(until: Callable[[], T], what: Callable[[], object], patience: float = PATIENCE) -> T:
    deadline = time.monotonic() + patience
    while not (found := until()):
        assert time.monotonic() < deadline, f"not within {patience} s: {what()}"
        time.sleep(0.02)
    return found


class Pair:
    """Namespaces PREFIX-a, PREFIX-b and a switch; ``eth0`` of both is plugged into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = f"xlvs-vr{os.getpid()}"
        self._children: list[subprocess.Popen[bytes]] = []
        self.daemons: list[Ours] = []

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _build(self) -> None:
        for host in ("a", "b", "sw"):
            self._ip(f"netns add {self.prefix}-{host}")
            self.sh(
                host,
                "echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad;"
                "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad; ip link set lo up",
            )
        self.sh("sw", "ip link add br0 type bridge forward_delay 0 mcast_snooping 0")
        self.sh("sw", "ip link set br0 up")
        for number, host in ((1, "a"), (2, "b")):
            self._ip(
                f"link add eth0 netns {self.prefix}-{host} type veth"
                f" peer name port-{host} netns {self.prefix}-sw"
            )
            self.sh("sw", f"ip link set port-{host} master br0 up")
            self.sh(
                host,
                f"ip addr add 10.9.0.{number}/24 dev eth0;"
                f"ip addr add 2001:db8:9::{number}/64 dev eth0 nodad; ip link set eth0 up;"
                f"ip addr add fe80::{number}/64 dev eth0 nodad",
            )

    def __exit__(self, *_: object) -> None:
        for daemon in self.daemons:
            daemon.kill()
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        for host in ("a", "b", "sw"):
            argv = ["ip", "netns", "delete", f"{self.prefix}-{host}"]
            subprocess.run(argv, check=False, capture_output=True)

    def _ip(self, words: str) -> None:
        subprocess.run(["ip", *words.split()], check=True, capture_output=True)

    def enter(self, host: str) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.prefix}-{host}", "--"]

    def sh(self, host: str, script: str) -> str:
        argv = [*self.enter(host), "sh", "-ec", script]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def addresses(self, host: str) -> set[str]:
        """All addresses of a host, without prefixes."""
        return set(re.findall(r"inet6? ([0-9a-f.:]+)", self.sh(host, "ip addr show")))

    def cut(self, host: str) -> None:
        """The switch forwards nothing of this port, which keeps its carrier."""
        self.sh("sw", f"bridge link set dev port-{host} state 0")

    def heal(self, host: str) -> None:
        self.sh("sw", f"bridge link set dev port-{host} state 3")

    def spawn(
        self, host: str, argv: Sequence[str], log: Path, **more: Any
    ) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self.enter(host), *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **more,
            )
        self._children.append(child)
        return child

    def capture(
        self, host: str, name: str = "capture.pcap"
    ) -> tuple[Path, subprocess.Popen[bytes]]:
        path = self.folder / name
        argv = ["tcpdump", "-U", "--immediate-mode", "-s256", "-B8192", "-Z", "root"]
        argv += ["-w", str(path), "-i", "eth0"]
        child = self.spawn(host, argv, self.folder / "tcpdump.log")
        wait(lambda: path.exists() and path.stat().st_size, lambda: "tcpdump")
        return path, child

    def captured(self, child: subprocess.Popen[bytes]) -> None:
        time.sleep(0.2)  # what was sent last is on its way through tcpdump
        child.send_signal(signal.SIGINT)
        child.wait(PATIENCE)

    def keepalived(self, text: str, host: str = "a") -> Keepalived:
        return Keepalived(self, text, host)

    def ours(self, network: m.Network, host: str = "b", **more: Any) -> Ours:
        return Ours(self, network, host, **more)


class Keepalived:
    """Debian's, with a configuration of this test."""

    def __init__(self, pair: Pair, text: str, host: str) -> None:
        self._pair = pair
        name = f"keepalived-{host}-{len(list(pair.folder.glob('*.conf')))}"
        self.config = pair.folder / f"{name}.conf"
        self.config.write_text(text)
        self.log = pair.folder / f"{name}.log"
        self._pid = pair.folder / f"{name}.pid"
        self._vrrp_pid = pair.folder / f"{name}-vrrp.pid"
        argv = ["keepalived", "-n", "-l", "-P", "-R", "-f", str(self.config)]
        argv += ["-p", str(self._pid), "-r", str(self._vrrp_pid)]
        self._child = pair.spawn(host, argv, self.log)

    def states(self) -> dict[str, str]:
        """The last state that its log says of each instance."""
        text = self.log.read_text() if self.log.exists() else ""
        return dict(re.findall(r"\((\w+)\) Entering (\w+) STATE", text))

    def wait(self, **wanted: str) -> None:
        wait(
            lambda: all(self.states().get(name) == state for name, state in wanted.items()),
            lambda: f"{wanted}, but {self.states()}: {self.log.read_text()[-1500:]}",
        )

    def reload(self, text: str) -> None:
        self.config.write_text(text)
        os.kill(int(self._pid.read_text()), signal.SIGHUP)

    def stop(self) -> None:
        os.kill(int(self._pid.read_text()), signal.SIGTERM)
        self._child.wait(PATIENCE)

    def kill(self) -> None:
        """As if its machine had no power any more."""
        for path in (self._pid, self._vrrp_pid):
            with contextlib.suppress(OSError):
                os.kill(int(path.read_text()), signal.SIGKILL)
        self._child.wait(PATIENCE)


class Ours:
    """``python -m xlvs.vrrpd`` with this test as its daemon."""

    def __init__(self, pair: Pair, network: m.Network, host: str, **more: Any) -> None:
        self._socket, theirs = socket.socketpair()
        self.log = pair.folder / f"vrrpd-{host}.log"
        argv = [sys.executable, "-m", "xlvs.vrrpd", "--fd", str(theirs.fileno())]
        self.child = pair.spawn(host, argv, self.log, pass_fds=(theirs.fileno(),), **more)
        theirs.close()
        self._data = b""
        self.messages: list[m.Up] = []
        self.states: dict[str, m.StateNow] = {}
        pair.daemons.append(self)
        self.tell(network)
        self.until(lambda: any(isinstance(one, m.Ready) for one in self.messages), "Ready")

    def tell(self, message: m.Down) -> None:
        self._socket.sendall(m.line(message))

    def read(self) -> None:
        while select.select([self._socket], [], [], 0)[0]:
            data = self._socket.recv(1 << 20)
            if not data:
                return
            self._data += data
            *lines, self._data = self._data.split(b"\n")
            for line in lines:
                message = m.up(line)
                self.messages.append(message)
                if isinstance(message, m.StateNow):
                    self.states[message.instance] = message

    def until(self, condition: Callable[[], T], what: object, patience: float = PATIENCE) -> T:
        def done() -> T:
            self.read()
            return condition()

        return wait(done, lambda: f"{what}: {self.log.read_text()[-1500:]}", patience)

    def wait(self, patience: float = PATIENCE, **wanted: str) -> None:
        self.until(
            lambda: all(
                name in self.states and self.states[name].state == state
                for name, state in wanted.items()
            ),
            wanted,
            patience,
        )

    def sentences(self) -> list[str]:
        self.read()
        return [one.sentence for one in self.messages if isinstance(one, m.Remark)]

    def statistics(self) -> m.StatisticsNow:
        self.read()
        self.messages = [one for one in self.messages if not isinstance(one, m.StatisticsNow)]
        self.tell(m.AskStatistics())
        found = self.until(
            lambda: [one for one in self.messages if isinstance(one, m.StatisticsNow)],
            "statistics",
        )
        return found[0]

    def stop(self) -> int:
        self.tell(m.Stop())
        return self.child.wait(PATIENCE)

    def abandon(self) -> int:
        """The daemon dies."""
        self._socket.close()
        return self.child.wait(PATIENCE)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        self._socket.close()


def tshark(path: Path, *options: str, fields: Sequence[str]) -> list[list[str]]:
    argv = ["tshark", "-r", str(path), *options, "-T", "fields"]
    for field in fields:
        argv += ["-e", field]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return [line.split("\t") for line in done.stdout.splitlines()]
