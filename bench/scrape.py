# SPDX-License-Identifier: Apache-2.0
"""How long Prometheus waits for a director's metrics, and what others wait for meanwhile.

A real xlvsd runs in a network namespace with many services. It is scraped over TCP as
Prometheus does it, while another client keeps asking for something small. Everything is
removed at the end.

    .venv/bin/python -m bench.scrape [--services N] [--destinations N] [--times N]
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.beside import Beside
from bench.datapath import say
from bench.process import cpu_seconds, said
from bench.world import network

ADDRESS, PORT = "127.0.0.1", 9660
START = 60.0
ASKED_EVERY = 0.01  # seconds
CALM = 6.0  # seconds in which nobody scrapes: three runs of the estimator
PATIENCE = 120.0
TEXT = "text/plain;version=0.0.4"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
OK = 200


class Daemon:
    """xlvsd with so many services."""

    def __init__(self, folder: Path, detail: str) -> None:
        self.instance = f"scrape-{os.getpid()}"
        self._environment = {
            **os.environ,
            "XLVS_RUN": str(folder),
            "XLVS_INSTANCE": self.instance,
        }
        self._socket = folder / f"{self.instance}.sock"
        self._log = (folder / "log").open("w+b")
        words = ["--interfaces", "eth0,eth1", "--hook", "tc"]
        words += ["--metrics-listen", f"{ADDRESS}:{PORT}", "--metrics-detail", detail]
        self._process = subprocess.Popen(
            self._command("xlvs.daemon", "--instance", self.instance, *words),
            stdin=subprocess.DEVNULL,
            stderr=self._log,
            env=self._environment,
        )

    def _command(self, module: str, *words: str) -> list[str]:
        return [sys.executable, "-m", module, *words]

    def wait(self) -> None:
        """Until it is ready."""
        deadline = time.monotonic() + START
        while "xlvsd: ready" not in said(self._log):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"xlvsd did not start: {said(self._log)}")
            time.sleep(0.05)

    def restore(self, services: int, destinations: int) -> None:
        """So many services with so many real servers each."""
        lines = []
        for n in range(services):
            vip = f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}:80"
            lines.append(f"-A -t {vip} -s wlc")
            lines += [f"-a -t {vip} -r 192.168.200.{2 + i}:{8000 + i}" for i in range(destinations)]
        subprocess.run(
            self._command("xlvs.cli.ipvsadm", "-R"),
            input="\n".join(lines),
            text=True,
            check=True,
            env=self._environment,
        )

    def api(self) -> http.client.HTTPConnection:
        """A connection to the API that stays."""
        found = http.client.HTTPConnection("xlvs", timeout=PATIENCE)
        found.sock = socket.socket(socket.AF_UNIX)
        found.sock.connect(str(self._socket))
        return found

    def own_bytes(self) -> int:
        """Memory of the daemon itself: without files and the maps that it reads."""
        status = Path("/proc", str(self._process.pid), "status").read_text(encoding="ascii")
        (line,) = [line for line in status.splitlines() if line.startswith("RssAnon:")]
        return int(line.split()[1]) * 1024

    def cpu_seconds(self) -> float:
        """CPU time so far."""
        return cpu_seconds(self._process.pid)

    def close(self) -> None:
        """End it and remove its data path."""
        self._process.terminate()
        self._process.wait(30)
        down = self._command("xlvs.cli.main", "--instance", self.instance, "down")
        subprocess.run(down, check=False, env=self._environment, stdout=subprocess.DEVNULL)
        self._log.close()


class Meanwhile(Beside):
    """Asks for something small all the time, and notes how long that took."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__(ASKED_EVERY)
        self.waited: list[float] = []
        self.bytes_most = 0
        self._daemon = daemon
        self._api = daemon.api()

    def once(self) -> None:
        """One question."""
        begin = time.monotonic()
        self._api.request("GET", "/v1/timeouts")
        self._api.getresponse().read()
        self.waited.append(time.monotonic() - begin)
        self.bytes_most = max(self.bytes_most, self._daemon.own_bytes())

    def __exit__(self, *details: object) -> None:
        try:
            super().__exit__(*details)
        finally:
            self._api.close()


def scrape(accept: str) -> tuple[float, int]:
    """Seconds, and bytes on the wire."""
    begin = time.monotonic()
    with contextlib.closing(http.client.HTTPConnection(ADDRESS, PORT, timeout=PATIENCE)) as asked:
        asked.request("GET", "/metrics", headers={"Accept": accept, "Accept-Encoding": "gzip"})
        answer = asked.getresponse()
        body = answer.read()
    if answer.status != OK:
        raise RuntimeError(f"/metrics: {answer.status}")
    return time.monotonic() - begin, len(body)


def quiet(daemon: Daemon) -> dict[str, Any]:
    """What others wait for while nobody scrapes."""
    with Meanwhile(daemon) as others:
        time.sleep(CALM)
    return waits(others)


def waits(others: Meanwhile) -> dict[str, Any]:
    """In seconds."""
    waited = sorted(others.waited)
    return {
        "others_waited_median": round(statistics.median(waited), 4),
        "others_waited_99": round(waited[len(waited) * 99 // 100], 4),
        "others_waited_most": round(waited[-1], 4),
    }


def figures(daemon: Daemon, accept: str, times: int) -> dict[str, Any]:
    """Of one format."""
    spent, before = daemon.cpu_seconds(), daemon.own_bytes()
    with Meanwhile(daemon) as others:
        found = [scrape(accept) for _ in range(times)]
    return {
        "seconds": round(statistics.median(seconds for seconds, _ in found), 3),
        "cpu_seconds": round((daemon.cpu_seconds() - spent) / times, 3),
        "bytes": found[-1][1],
        "memory_before": before,
        "memory_most": others.bytes_most,
        **waits(others),
    }


@contextmanager
def _daemon(detail: str) -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="xlvs-scrape-") as folder:
        daemon = Daemon(Path(folder), detail)
        try:
            daemon.wait()
            yield daemon
        finally:
            daemon.close()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.scrape", description="metrics of many services")
    parser.add_argument("--services", type=int, default=10_000, metavar="N")
    parser.add_argument("--destinations", type=int, default=10, metavar="N", help="of each service")
    parser.add_argument("--times", type=int, default=5, metavar="N")
    options = parser.parse_args()
    found: dict[str, Any] = {"services": options.services, "destinations": options.destinations}
    with network():
        for detail in ("services", "destinations"):
            with _daemon(detail) as daemon:
                say(f"{options.services} services, --metrics-detail {detail}")
                daemon.restore(options.services, options.destinations)
                found[f"{detail} quiet"] = quiet(daemon)
                for name, accept in (("text", TEXT), ("openmetrics", OPENMETRICS)):
                    found[f"{detail} {name}"] = figures(daemon, accept, options.times)
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
