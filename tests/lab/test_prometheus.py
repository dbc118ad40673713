# SPDX-License-Identifier: Apache-2.0
"""Debian's Prometheus scrapes a director: what it knows is what ipvsadm says."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
from tests.lab.small import REAL, VIP, Small, eventually

PACKAGING = Path(__file__).parents[2] / "packaging/prometheus"
METRICS = "127.0.0.1:9660"
PROMETHEUS = "127.0.0.1:9090"
SERVICE = f"tcp {VIP}:80"
SERVER = """
    real_server %s 80 {
        TCP_CHECK {
            connect_timeout 1
        }
    }
"""
FILE = """
virtual_server %s 80 {
    delay_loop 0.3
    lb_algo rr
    lb_kind NAT
    protocol TCP
    %s
}
"""


class Watched(Small):
    """A director that follows a file, and a Prometheus beside it."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__(tmp_path)
        self.file = tmp_path / "keepalived.conf"
        self.file.write_text(FILE % (VIP, "".join(SERVER % address for address in REAL)))
        self._prometheus = None

    def __exit__(self, *failure):
        if self._prometheus is not None:
            self._prometheus.kill()
            self._prometheus.wait()
        super().__exit__(*failure)

    def start_watched(self):
        self.start("-f", str(self.file), "--metrics-listen", METRICS)

    def watch(self):
        folder = self.run_folder
        shutil.copy(PACKAGING / "xlvs.rules.yml", folder)
        example = (PACKAGING / "prometheus.yml").read_text()
        assert METRICS in example
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}\n"
            + example.replace("/etc/prometheus", str(folder))
        )
        command = [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/prometheus",
            f"--web.listen-address={PROMETHEUS}",
        ]
        with (folder / "prometheus.log").open("wb") as log:
            self._prometheus = subprocess.Popen(self.within("d", *command), stderr=log)

    def prometheus(self, path, **parameters):
        url = f"http://{PROMETHEUS}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        done = subprocess.run(
            self.within("d", "curl", "-s", url), capture_output=True, text=True, check=False
        )
        return json.loads(done.stdout)["data"] if done.stdout.startswith("{") else None

    def value(self, query):
        """The one sample's, None if there is none."""
        found = self.prometheus("query", query=query)
        samples = found["result"] if found else []
        assert len(samples) <= 1, query
        return float(samples[0]["value"][1]) if samples else None

    def metrics(self):
        return subprocess.run(
            self.within("d", "curl", "-sf", f"http://{METRICS}/metrics"),
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def ipvsadm(self, *words):
        return subprocess.run(
            [sys.executable, "-m", "xlvs.cli.ipvsadm", *words],
            env={**self.environment, "XLVS_INSTANCE": self.instance},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def listed(self):
        """``Conns InPkts OutPkts InBytes OutBytes`` of the service and its servers."""
        lines = self.ipvsadm("-Ln", "--stats", "--exact").splitlines()[3:]
        rows = [line.split() for line in lines]
        return {row[1].removesuffix(":80"): [int(each) for each in row[2:]] for row in rows}


COUNTERS = (
    "xlvs_{of}_connections_total{{{labels}}}",
    'xlvs_{of}_packets_total{{{labels}, direction="in"}}',
    'xlvs_{of}_packets_total{{{labels}, direction="out"}}',
    'xlvs_{of}_bytes_total{{{labels}, direction="in"}}',
    'xlvs_{of}_bytes_total{{{labels}, direction="out"}}',
)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    with Watched(tmp_path_factory.mktemp("watched")) as found:
        found.start_watched()
        found.watch()
        eventually(lambda: found.value('up{job="xlvs"}') == 1)
        yield found


def scraped(watched):
    """The same numbers as ``listed``, as Prometheus has them."""
    of = {VIP: ("service", f'service="{SERVICE}"')} | {
        address: ("destination", f'service="{SERVICE}", destination="{address}:80"')
        for address in REAL
    }
    return {
        name: [watched.value(each.format(of=kind, labels=labels)) for each in COUNTERS]
        for name, (kind, labels) in of.items()
    }


def test_prometheus_knows_what_ipvsadm_says(watched):
    watched.ipvsadm("-Z")
    eventually(lambda: all(None not in each for each in scraped(watched).values()))
    before = scraped(watched)
    assert set(watched.ask(6)) == set(REAL)

    def counted():
        now = scraped(watched)
        return {
            name: [after - earlier for after, earlier in zip(now[name], before[name], strict=True)]
            for name in now
        }

    # ipvsadm follows in two seconds, Prometheus in half of one.
    eventually(lambda: watched.listed()[VIP][0] == 6)
    eventually(lambda: counted() == watched.listed())
    for word, column in (("connections", 0), ("incoming_packets", 1), ("outgoing_bytes", 4)):
        assert watched.value(f"node_ipvs_{word}_total") == scraped(watched)[VIP][column]
    eventually(lambda: watched.value('xlvs_packets_total{reason="fwd_nat"}') >= 6)
    eventually(lambda: watched.value('xlvs_checks_total{check="TCP_CHECK", result="ok"}') > 2)
    assert watched.value("sum(xlvs_destination_up)") == 2
    # What is really served, not only what a test makes.
    said = subprocess.run(
        ["promtool", "check", "metrics"],
        input=watched.metrics(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_counters_outlive_what_zeroes_and_what_kills(watched):
    series = f'xlvs_service_connections_total{{service="{SERVICE}"}}'
    eventually(lambda: watched.value(series) is not None)
    then = watched.value(series)
    watched.ask(4)
    eventually(lambda: watched.value(series) == then + 4)
    watched.ipvsadm("-Z")
    assert watched.listed()[VIP][0] == 0
    watched.stop(signal.SIGKILL)
    eventually(lambda: watched.value('up{job="xlvs"}') == 0)
    watched.start_watched()
    eventually(lambda: watched.value(series) is not None)
    assert watched.value(series) == then + 4
    assert watched.value(f"resets({series}[1m])") == 0
    assert watched.value("resets(node_ipvs_connections_total[1m])") == 0


def test_a_wrong_file_rings(watched):
    def ringing():
        alerts = watched.prometheus("alerts")["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}

    refusals = watched.value("xlvs_config_refusals_total")
    assert "XlvsConfigRefused" not in ringing()
    good = watched.file.read_text()
    watched.file.write_text(good.replace("delay_loop", "delay_lop"))
    watched.daemon.send_signal(signal.SIGHUP)
    eventually(lambda: "XlvsConfigRefused" in ringing())
    assert watched.value("xlvs_config_refusals_total") == refusals + 1
    problems = watched.api("GET", "/v1/status")["problems"]
    assert watched.value("sum(xlvs_problems)") == len(problems) >= 1
    watched.file.write_text(good)
    watched.daemon.send_signal(signal.SIGHUP)
    eventually(lambda: "XlvsConfigRefused" not in ringing())
    groups = watched.prometheus("rules")["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}
