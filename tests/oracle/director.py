# SPDX-License-Identifier: Apache-2.0
"""A real ``xlvsd`` in the facts' network, driven by the commands that an operator types."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.process import said

from xlvs.cli.ipvsadm.main import main
from xlvs.wire.codec import decode
from xlvs.wire.messages import SettingList

from .topology import Topology, inside

# "call": ipvsadm's main function in this process. "process": the command itself, as
# outside tests run it; the same answers, some 60 ms slower each.
COMMANDS = os.environ.get("XLVS_ORACLE_COMMANDS", "call")

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True)
class Surroundings:
    """What a director is started with. ``settings`` as ``net.ipv4.vs.name=value``.

    ``marks``: a firewall mark and the network whose packets get it.
    """

    hook: str
    settings: tuple[str, ...] = ()
    mtu1: int | None = None
    marks: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a command printed and its exit status."""

    stdout: str
    stderr: str
    status: int


@dataclass(frozen=True)
class Connection:
    """One line of ``ipvsadm -Lnc``; addresses as it prints them, ``expires`` in seconds.

    ``engine``: name and data of a template's persistence engine.
    """

    protocol: str
    client: str
    virtual: str
    server: str
    state: str
    expires: int
    engine: str = ""


@dataclass(frozen=True)
class Load:
    """Weight and counters of a real server as ``ipvsadm -Ln`` shows them."""

    weight: int
    active: int
    inactive: int


class Director:
    """A network with a running ``xlvsd``; all of it goes with ``close``."""

    def __init__(self, surroundings: Surroundings, virtual: tuple[str, ...] = ()) -> None:
        self.surroundings = surroundings
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the director)
        self.network = Topology(mtu1=surroundings.mtu1, virtual=virtual)
        self.instance = self.network.director
        try:
            self._start()
            for mark, network in surroundings.marks:
                self.mark(mark, network)
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        command = [str(_PROGRAMS / "xlvsd"), "--instance", self.instance]
        command += ["--interfaces", "eth0,eth1", "--hook", self.surroundings.hook]
        for setting in self.surroundings.settings:
            command += ["--set", setting]
        with tempfile.TemporaryDirectory(prefix="xlvs-oracle-") as folder:
            address = f"{folder}/notify"
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
                listener.bind(address)
                self._process = subprocess.Popen(
                    (*inside(self.network.director), *command),
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=self._log,
                    env={**os.environ, "NOTIFY_SOCKET": address},
                )
                self._wait_until_ready(listener)

    def _wait_until_ready(self, listener: socket.socket) -> None:
        assert self._process is not None
        listener.settimeout(0.1)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in listener.recv(4096):
                    return
            if self._process.poll() is not None:
                raise RuntimeError(f"xlvsd ended with {self._process.returncode}:\n{self.log()}")
        raise RuntimeError(f"xlvsd was not ready after {_START_SECONDS:.0f} s:\n{self.log()}")

    def log(self) -> str:
        """What the daemon has said so far."""
        return said(self._log)

    def close(self) -> None:
        """End the daemon, remove its data path and the network."""
        try:
            if self._process is not None:
                self._process.terminate()
                try:
                    self._process.wait(_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
                self._take_down()
        finally:
            self.network.close()
            self._log.close()

    def mark(self, mark: int, network: str) -> None:
        """From now on packets to this network have this mark."""
        self._xlvs("mark", "add", str(mark), "--to", network)

    def _take_down(self) -> None:
        self._xlvs("down")

    def settings(self) -> dict[str, str]:
        """Every setting under its whole name, as sysctl writes it."""
        answer = decode(self._xlvs("settings", "--json").encode(), SettingList)
        return {each.name: each.value for each in answer.settings}

    def _xlvs(self, *words: str) -> str:
        done = subprocess.run(
            (
                *inside(self.network.director),
                str(_PROGRAMS / "xlvs"),
                "--instance",
                self.instance,
                *words,
            ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"xlvs {words} failed: {done.stdout}{done.stderr}\n{self.log()}")
        return done.stdout

    def ipvsadm(self, line: str, stdin: str = "") -> Answer:
        """Run ``ipvsadm`` with the words of ``line`` against this director."""
        arguments = shlex.split(line)
        if COMMANDS == "process":
            done = subprocess.run(
                [str(_PROGRAMS / "ipvsadm"), *arguments],
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "XLVS_INSTANCE": self.instance},
            )
            return Answer(done.stdout, done.stderr, done.returncode)
        return _call_ipvsadm(arguments, stdin, self.instance)

    def configure(self, lines: Sequence[str]) -> None:
        """Run command lines that must succeed without a word."""
        for line in lines:
            answer = self.ipvsadm(line)
            if answer.status or answer.stderr or answer.stdout:
                raise RuntimeError(f"ipvsadm {line}: {answer}\n{self.log()}")

    def clear(self) -> None:
        """An empty configuration with the default time-outs; connections stay."""
        self.configure(["-C", "--set 900 120 300"])
        self.network.drain()

    def connections(self) -> list[Connection]:
        """The connection table, sorted."""
        lines = self.ipvsadm("-Lnc --persistent-conn").stdout.splitlines()[2:]
        return sorted((_connection(line) for line in lines), key=repr)

    def loads(self) -> dict[str, Load]:
        """The counters of every real server, by its address.

        A server of several services appears once, with its last service's counters,
        as in the facts.
        """
        found: dict[str, Load] = {}
        for line in self.ipvsadm("-Ln").stdout.splitlines()[3:]:
            words = line.split()
            if words[0] == "->":
                address = words[1].rsplit(":", 1)[0].strip("[]")
                found[address] = Load(*map(int, words[3:6]))
        return found


def _call_ipvsadm(arguments: list[str], stdin: str, instance: str) -> Answer:
    out, err = io.StringIO(), io.StringIO()
    with (
        _environment("XLVS_INSTANCE", instance),
        _standard_input(stdin),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            status = main(arguments)
        except SystemExit as exit_:
            status = exit_.code if isinstance(exit_.code, int) else int(bool(exit_.code))
    return Answer(out.getvalue(), err.getvalue(), status)


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextlib.contextmanager
def _standard_input(text: str) -> Iterator[None]:
    before, sys.stdin = sys.stdin, io.StringIO(text)
    try:
        yield
    finally:
        sys.stdin = before


_CONNECTION = re.compile(r"(\S+) +(\d+):(\d+) +(\S+) +(\S+) +(\S+) +(\S+)(?: +(\S.*))?")


def _connection(line: str) -> Connection:
    match = _CONNECTION.fullmatch(line)
    if match is None:
        raise ValueError(f"not a line of ipvsadm -Lnc: {line!r}")
    protocol, minutes, seconds, state, client, virtual, server, engine = match.groups()
    expires = int(minutes) * 60 + int(seconds)
    engine = " ".join((engine or "").split())
    return Connection(protocol, client, virtual, server, state, expires, engine)
