# SPDX-License-Identifier: Apache-2.0
"""One network namespace: run something in it, listen to it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from xlvs.lab.capture import Capture
from xlvs.lab.problem import LabError
from xlvs.lab.processes import Process, spawn

Started = Callable[[Process, "subprocess.Popen[bytes]"], None]


class Namespace:
    """A host of the lab.

    Programs enter by ``nsenter --net``, not by ``ip netns exec``: the latter hides
    /sys/fs/bpf behind a /sys of its own.
    """

    def __init__(
        self,
        name: str,
        full_name: str,
        addresses: tuple[str, str],
        *,
        keep: bool,
        started: Started,
        env: dict[str, str],
    ) -> None:
        self.name = name
        self.full_name = full_name
        self.addresses = addresses
        self.env = env
        self._keep = keep
        self._started = started

    @property
    def v4(self) -> str:
        """IPv4 address of the first card."""
        return self.addresses[0]

    @property
    def v6(self) -> str:
        """IPv6 address of the first card."""
        return self.addresses[1]

    def address(self, family: int) -> str:
        """Address of the first card in family 4 or 6."""
        return self.v4 if family == 4 else self.v6  # noqa: PLR2004

    @property
    def path(self) -> Path:
        """The file that stands for it."""
        return namespace_path(self.full_name)

    def enter(self, argv: Sequence[str]) -> list[str]:
        """The argv that runs ``argv`` in this namespace."""
        return ["nsenter", f"--net={self.path}", "--", *argv]

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        timeout: float = 30.0,
        stdin: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end, text in and out. With ``check`` a failure is a LabError."""
        try:
            done = subprocess.run(
                self.enter(argv),
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                timeout=timeout,
                env=self.environment(),
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise LabError(
                f"in {self.name}: {' '.join(argv)}: no end after {timeout:g} s"
            ) from late
        if check and done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise LabError(f"in {self.name}: {' '.join(argv)}: exit {done.returncode}: {said}")
        return done

    def start(
        self, argv: Sequence[str], what: str, log: Path, env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process that goes on; the lab ends it. Its output goes to ``log``."""
        with log.open("ab") as output:
            child, process = spawn(
                self.enter(argv),
                f"{self.name}: {what}",
                output=output,
                env=self.environment() | (env or {}),
                keep=self._keep,
            )
        self._started(process, child)
        return child

    def wait_for_port(self, port: int, *, patience: float = 5.0) -> None:
        """Somebody listens on a TCP port."""
        deadline = time.monotonic() + patience
        while not self.run(["ss", "-Hltn", f"sport = :{port}"]).stdout:
            if time.monotonic() > deadline:
                raise LabError(f"in {self.name}: nobody listens on port {port}")
            time.sleep(0.02)

    def capture(self, expression: str = "", *, device: str = "eth0") -> Capture:
        """Listen with tcpdump for as long as the ``with`` block lasts."""
        return Capture(self.enter, device, expression)

    def ip(self, lines: Sequence[str], *options: str) -> None:
        """Give iproute2 a batch of lines."""
        ip_batch(lines, self.full_name, *options)

    def environment(self) -> dict[str, str]:
        """What programs find in their environment here."""
        return os.environ | self.env


def namespace_path(full_name: str) -> Path:
    """Where iproute2 keeps a named namespace."""
    return Path("/run/netns") / full_name


def ip_batch(lines: Sequence[str], namespace: str | None = None, *options: str) -> None:
    """``ip -batch``: all lines in one process; the first failure ends it."""
    if not lines:
        return
    argv = ["ip", *(["-n", namespace] if namespace else []), *options, "-batch", "-"]
    done = subprocess.run(
        argv, input="\n".join(lines) + "\n", text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise LabError(f"{' '.join(argv[:-2])}: {done.stderr.strip()}")
