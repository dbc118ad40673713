# SPDX-License-Identifier: Apache-2.0
"""The director of a lab: its daemon, its commands."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from xlvs.lab.commands import port
from xlvs.lab.namespace import Namespace
from xlvs.lab.plan import LOCAL_ADDRESSES
from xlvs.lab.problem import LabError
from xlvs.lab.run import program


class Director:
    """Starts, kills and restarts xlvsd, and gives it commands."""

    def __init__(
        self, namespace: Namespace, switch: Namespace, instance: str, folder: Path
    ) -> None:
        self.namespace = namespace
        self.instance = instance
        self.log = folder / "xlvsd.log"
        self._switch = switch
        self._notify = folder / "notify"
        self.daemon: subprocess.Popen[bytes] | None = None

    def run(
        self, argv: Sequence[str], *, check: bool = True, timeout: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on the director."""
        return self.namespace.run(argv, check=check, timeout=timeout)

    def start_xlvsd(
        self,
        hook: str = "tc",
        *,
        local_addresses: Sequence[str] = LOCAL_ADDRESSES,
        interfaces: Sequence[str] = ("eth0", "eth1"),
        extra: Sequence[str] = (),
        patience: float = 15.0,
    ) -> None:
        """Start the daemon and wait until it tells "systemd" that it is ready."""
        self.offloads(hook)
        argv = program("xlvsd") + self.arguments(hook, local_addresses, interfaces)
        self._notify.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(self._notify))
            self.daemon = self.namespace.start(
                [*argv, *extra], "xlvsd", self.log, {"NOTIFY_SOCKET": str(self._notify)}
            )
            self._wait_until_ready(notify, self.daemon, patience)

    def arguments(
        self,
        hook: str,
        local_addresses: Sequence[str] = LOCAL_ADDRESSES,
        interfaces: Sequence[str] = ("eth0", "eth1"),
    ) -> list[str]:
        """What follows ``xlvsd`` on the command line."""
        words = ["--instance", self.instance, "--interfaces", ",".join(interfaces), "--hook", hook]
        if local_addresses:
            words += ["--local-addresses", ",".join(local_addresses)]
        return words

    def _wait_until_ready(
        self, notify: socket.socket, daemon: subprocess.Popen[bytes], patience: float
    ) -> None:
        notify.settimeout(0.05)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                if "READY=1" in notify.recv(4096).decode().splitlines():
                    return
            if daemon.poll() is not None:
                raise LabError(f"xlvsd ended with {daemon.returncode}: {self.said()}")
        raise LabError(f"xlvsd is not ready after {patience:g} s: {self.said()}")

    def said(self) -> str:
        """The end of the daemon's log."""
        return self.log.read_text()[-2000:].strip() if self.log.exists() else "nothing"

    def end_xlvsd(self, sign: signal.Signals = signal.SIGTERM, patience: float = 10.0) -> int:
        """Send the daemon a signal, wait for its end, return its exit code.

        With SIGKILL nobody tidies up: the data path has to stand on its own.
        """
        daemon = self.daemon
        if daemon is None or daemon.poll() is not None:
            raise LabError(f"xlvsd does not run: {self.said()}")
        os.kill(daemon.pid, sign)
        self.daemon = None
        try:
            return daemon.wait(patience)
        except subprocess.TimeoutExpired as late:
            raise LabError(f"xlvsd does not end on {sign.name}: {self.said()}") from late

    def ipvsadm(
        self, arguments: str | Sequence[str], *, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Our ipvsadm, with arguments as typed."""
        words = shlex.split(arguments) if isinstance(arguments, str) else list(arguments)
        argv = [*program("ipvsadm"), *words]
        return self.namespace.run(argv, check=check, stdin=stdin)

    def xlvs(
        self, arguments: str | Sequence[str], *, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Our xlvs, with arguments as typed."""
        words = shlex.split(arguments) if isinstance(arguments, str) else list(arguments)
        return self.namespace.run([*program("xlvs"), *words], check=check)

    def down(self) -> None:
        """End the daemon and remove the data path with everything that is pinned."""
        if self.daemon is not None and self.daemon.poll() is None:
            self.end_xlvsd()
        self.xlvs(["--instance", self.instance, "down"])

    def offloads(self, hook: str) -> None:
        """Make the director's wires fit for a hook.

        XDP on veth: a frame sent into a veth is dropped unless its peer takes frames
        (GRO on), and a rewritten packet must arrive with a finished checksum, so the
        switch computes it on the way in. TC wants neither.
        """
        xdp = hook.startswith("xdp")
        for device in ("eth0", "eth1"):
            name = port(self.namespace.name, device)
            tx, gro = ("off", "on") if xdp else ("on", "off")
            self._switch.run(["ethtool", "-K", name, "gro", gro, "tx", tx])
