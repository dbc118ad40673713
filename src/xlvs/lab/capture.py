# SPDX-License-Identifier: Apache-2.0
"""tcpdump around a piece of a test."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from xlvs.lab.problem import LabError


class Capture:
    """``with host.capture("tcp port 80") as seen: ...``, then ``seen.lines``.

    One line per packet, with its Ethernet header, as ``tcpdump -nn -t -e`` prints it.
    """

    def __init__(
        self, enter: Callable[[Sequence[str]], list[str]], device: str, expression: str
    ) -> None:
        self.lines: list[str] = []
        argv = ["tcpdump", "-nn", "-t", "-e", "-l", "-s", "256", "--immediate-mode"]
        # -Z root: tcpdump would become another user, whom the lab could not end.
        self._argv = enter([*argv, "-Z", "root", "-i", device, *expression.split()])
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._child = child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *self._argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._wait_until_it_listens(child)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        child = self._child
        if child is None:
            return
        if kind is None:
            time.sleep(0.2)  # what was sent last is on its way through tcpdump
        child.send_signal(signal.SIGINT)
        try:
            text, _ = child.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            child.kill()
            text, _ = child.communicate()
        lines = text.decode(errors="replace").splitlines()
        self.lines = [line for line in lines if line]

    def with_word(self, *words: str) -> list[str]:
        """The lines that contain every word."""
        return [line for line in self.lines if all(word in line for word in words)]

    @staticmethod
    def _wait_until_it_listens(child: subprocess.Popen[bytes]) -> None:
        stderr = child.stderr
        if stderr is None:
            return
        said = b""
        deadline = time.monotonic() + 5
        while b"listening on" not in said:
            ready, _, _ = select.select([stderr], [], [], max(0, deadline - time.monotonic()))
            # Unbuffered: what a buffered reader holds, select does not see.
            chunk = os.read(stderr.fileno(), 4096) if ready else b""
            if not chunk:
                child.kill()
                child.communicate()
                raise LabError(f"tcpdump does not start: {said.decode(errors='replace').strip()}")
            said += chunk
