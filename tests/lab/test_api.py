# SPDX-License-Identifier: Apache-2.0
"""The API of a real daemon: events, a file applied, TCP with TLS; and what the how-to says."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.lab.small import REAL, VIP, Small, eventually
from tests.unit.api.serving import certificate

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "api.md"
TOKEN = "w" * 32
PLAIN = f"""
virtual_server {VIP} 80 {{
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server {REAL[0]} 80 {{
        weight 3
        CHECK
    }}
}}
"""

INSTANCE = """
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 7
    virtual_ipaddress {
        10.0.0.9/32
    }
}
"""


@pytest.fixture
def small(tmp_path):
    with Small(tmp_path) as world:
        yield world


class Watching:
    """``xlvs watch -o json`` beside the test."""

    def __init__(self, world, path):
        self._path = path
        with path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "xlvs.cli.main", "--instance", world.instance, "watch",
                 "--after", "0", "-o", "json"],
                stdout=log, env=world.environment,
            )  # fmt: skip

    def until(self, **wanted):
        """The first event with these members."""
        found = []

        def is_there():
            for line in self._path.read_text().splitlines():
                event = json.loads(line)
                if event.items() >= wanted.items():
                    found.append(event)
            return found

        eventually(is_there)
        return found[0]

    def wait(self):
        return self._process.wait(15)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()


def xlvs(world, *words):
    return subprocess.run(
        [sys.executable, "-m", "xlvs.cli.main", "--instance", world.instance, *words],
        capture_output=True,
        text=True,
        env=world.environment,
        check=False,
    )


def test_a_director_without_a_file(small, tmp_path):
    small.start()
    with Watching(small, tmp_path / "events") as watching:
        file = tmp_path / "keepalived.conf"
        file.write_text(PLAIN.replace("CHECK", "TCP_CHECK {\n }"))
        refused = xlvs(small, "apply", str(file))
        assert (refused.returncode, "health checks" in refused.stderr) == (1, True)
        assert small.api("GET", "/v1/services")["services"] == []
        assert xlvs(small, "apply", "--services-only", str(file)).returncode == 0
        assert set(small.ask(2)) == {REAL[0]}
        told = watching.until(kind="edit")
        assert told["by"].startswith("root (pid ")
        assert xlvs(small, "apply", "--services-only", str(file)).stdout == "nothing changes\n"
        drain = f"/v1/services/tcp/{VIP}:80/destinations/{REAL[0]}:80/drain"
        assert small.api("PUT", drain, {"seconds": 1})["weight"] == 0
        watching.until(kind="drained", about=f"tcp {VIP}:80")
        small.stop(signal.SIGTERM)
        assert watching.wait() == 0


def test_a_director_with_a_file(small, tmp_path):
    file, other = tmp_path / "keepalived.conf", tmp_path / "other.conf"
    file.write_text(PLAIN.replace("CHECK", ""))
    other.write_text(
        INSTANCE + PLAIN.replace("CHECK", "TCP_CHECK {\n connect_port 9\n connect_timeout 1\n }")
    )
    small.start("-f", str(file))
    with Watching(small, tmp_path / "events") as watching:
        assert xlvs(small, "apply", str(other)).returncode == 0
        watching.until(kind="reload", about=str(file))
        watching.until(kind="server.down")
        watching.until(kind="quorum.down")
        assert watching.until(kind="vrrp", about="VI_1")
        eventually(lambda: small.api("GET", "/v1/vrrp")["instances"][0]["state"] == "MASTER")
        assert "does not say" in "".join(small.api("GET", "/v1/status")["problems"])
        assert not small.api("GET", "/v1/health")["services"][0]["up"]
        file.write_text("nonsense")
        small.daemon.send_signal(signal.SIGHUP)
        watching.until(kind="refused")
        file.write_text(PLAIN.replace("CHECK", ""))
        small.daemon.send_signal(signal.SIGHUP)
        watching.until(kind="reload", text="read again")
        eventually(lambda: small.ask() == [REAL[0]])
        watching.until(kind="vrrp", text="it is not configured any more")
        assert small.api("GET", "/v1/vrrp") == {"instances": []}
        assert not small.api("GET", "/v1/status")["file"]["applied"]


def test_what_the_how_to_says(small, tmp_path):
    """Every command and program of docs/how-to/api.md, in its order."""
    tokens = tmp_path / "tokens"
    tokens.touch(0o600)
    tokens.write_text(f"deploy write {TOKEN}\n")
    paths = certificate(tmp_path)
    options = ["--api-listen", "127.0.0.1:8443", "--api-token-file", str(tokens)]
    options += ["--api-tls-certificate", paths[0], "--api-tls-key", paths[1]]
    small.start(*options)
    # The how-to's places, and those of this test.
    places = {
        "/run/xlvs/default.sock": f"{tmp_path}/run/{small.instance}.sock",
        "https://edge1.example:8443": "https://127.0.0.1:8443",
        "/etc/xlvs/ca.pem": paths[0],
        'Client("default")': f'Client("{small.instance}")',
        "10.2.0.11": REAL[0],
        "10.2.0.12": REAL[1],
    }
    environment = small.environment | {"TOKEN": TOKEN}
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```", HOW_TO.read_text(), re.DOTALL | re.MULTILINE)
    assert {language for language, _ in blocks} == {"sh", "python"}
    for language, text in blocks:
        for there, here in places.items():
            text = text.replace(there, here)  # noqa: PLW2901 - the same text, of this place
        run = ["bash", "-euo", "pipefail", "-c"] if language == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            small.within("d", *run, text),
            capture_output=True, text=True, env=environment, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        assert '"code"' not in done.stdout, f"{text}\n{done.stdout}"
