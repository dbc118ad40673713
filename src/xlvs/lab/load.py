# SPDX-License-Identifier: Apache-2.0
"""wrk: HTTP load, and what became of it."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from xlvs.lab.namespace import Namespace
from xlvs.lab.problem import LabError


@dataclass(frozen=True)
class Outcome:
    """``failed``: socket errors (connect, read, write, timeout) and answers other than 2xx."""

    requests: int
    failed: int
    seconds: float
    text: str


def parse(text: str) -> Outcome:
    """What the report of wrk says."""
    total = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m),", text)
    if not total:
        raise LabError(f"wrk did not report: {text.strip()}")
    failed = 0
    if errors := re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text
    ):
        failed += sum(int(number) for number in errors.groups())
    if other := re.search(r"Non-2xx or 3xx responses: (\d+)", text):
        failed += int(other[1])
    unit = {"ms": 0.001, "s": 1.0, "m": 60.0}[total[3]]
    return Outcome(int(total[1]), failed, float(total[2]) * unit, text)


class Load:
    """``with Load(client, url, seconds=6) as load: ...`` then ``load.outcome``.

    The block's end waits for wrk's.
    """

    def __init__(
        self,
        client: Namespace,
        url: str,
        *,
        seconds: int,
        connections: int = 32,
        threads: int = 1,
        headers: Sequence[str] = (),
    ) -> None:
        self.argv = [
            "wrk", "-t", str(threads), "-c", str(connections), "-d", f"{seconds}s",
            "--timeout", "2s", *(word for header in headers for word in ("-H", header)), url,
        ]  # fmt: skip
        self.seconds = seconds
        self._command = ["setpriv", "--pdeathsig", "KILL", "--", *client.enter(self.argv)]
        self._outcome: Outcome | None = None

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._child = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._child.kill()
        text, _ = self._child.communicate()
        if kind is None:
            self._outcome = parse(text)

    def wait_until(self, second: float) -> None:
        """Sleep until the load has run for so long."""
        time.sleep(max(0.0, self._began + second - time.monotonic()))

    @property
    def outcome(self) -> Outcome:
        """What wrk reported."""
        if self._outcome is None:
            raise LabError("the load has not ended yet")
        return self._outcome
