# SPDX-License-Identifier: Apache-2.0
"""Connections that are listed, counted and closed: what their two ends notice."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tests.lab.small import CLIENT, REAL, SERVICE, VIP, Small, eventually

PORT = 8080
KEY = {**SERVICE, "port": PORT}

# Says every tenth of a second that it is there, and prints how each connection ended.
_TICKING = """
import socket, sys, threading, time
def tick(channel):
    try:
        while True:
            channel.sendall(b".")
            time.sleep(0.1)
    except OSError as error:
        print(type(error).__name__, flush=True)
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("serving", flush=True)
while True:
    channel, _ = listener.accept()
    threading.Thread(target=tick, args=(channel,)).start()
"""


@pytest.fixture(params=["nat", "fullnat"])
def small(tmp_path, request):
    with Small(tmp_path) as world:
        local = "192.168.200.1"
        world.start()
        world.edit(
            {
                "op": "service.add",
                "service": {
                    "key": KEY,
                    "scheduler": "rr",
                    "local_addresses": [local] * (request.param == "fullnat"),
                },
            },
            {
                "op": "destination.add",
                "service": KEY,
                "destination": {
                    "key": {"address": REAL[0], "port": PORT},
                    "method": request.param,
                },
            },
        )
        yield world


@pytest.fixture
def server(small):
    command = small.within("r", sys.executable, "-c", _TICKING, REAL[0], str(PORT))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "serving\n"
        yield running
        running.kill()


def curl(small):
    """A client that only listens."""
    return subprocess.Popen(
        small.within("c", "curl", "-sS", "--no-buffer", f"telnet://{VIP}:{PORT}"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def load(small):
    (server,) = small.service()["destinations"]
    return server["active"], server["inactive"]


def table(small, *words):
    done = small.xlvs("connections", "-o", "json", *words)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_both_ends_notice(small, server):
    with curl(small) as client:
        eventually(lambda: load(small) == (1, 0))
        wanted = ("--service", f"tcp/{VIP}:{PORT}", "--client", CLIENT, "--state", "ESTABLISHED")
        (found,) = table(small, *wanted)
        assert table(small, "--client", "192.0.2.0/24") == []
        assert small.xlvs("connections", "--count", *wanted).stdout == "1\n"
        top = small.xlvs("connections", "--top", "destinations").stdout.split()
        assert top[:2] == ["1", f"{REAL[0]}:{PORT}"]

        end = f"{CLIENT}:{found['client_port']}"
        done = small.xlvs("connection", "close", end, f"{VIP}:{PORT}")
        assert (done.returncode, done.stderr) == (0, "")
        assert "reset" in client.communicate(timeout=30)[1].lower()
    assert server.stdout.readline() in {"ConnectionResetError\n", "BrokenPipeError\n"}
    assert load(small) == (0, 1)
    assert small.api("GET", "/v1/status")["reasons"]["reply_reset"]["packets"] >= 1
    assert [each["state"] for each in table(small)] == ["CLOSE"]
    told = small.xlvs("explain", "--tcp", end, f"{VIP}:{PORT}", "--flags", "A")
    assert "reply_reset" in told.stdout, told.stderr
    done = small.xlvs("connection", "close", f"{CLIENT}:1", f"{VIP}:{PORT}", "-o", "json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["reset"] == 0

    with curl(small) as client:
        eventually(lambda: load(small)[0] == 1)
        wanted = ("--virtual", VIP, "--close", "--yes")
        assert small.xlvs("connections", *wanted, "--forget").stdout == "2 ended\n"
        assert load(small) == (0, 0)
        assert table(small) == []
        ports = small.api("GET", "/v1/status")["local_ports"]
        assert all(each["used"] == 0 for each in ports)
        client.kill()


@pytest.mark.usefixtures("server")
def test_a_template_has_its_servers_method(small):
    (service,) = small.api("GET", "/v1/services")["services"]
    persistent = {**service["service"], "persistence_timeout": 60}
    small.edit({"op": "service.edit", "service": persistent})
    with curl(small) as client:
        eventually(lambda: load(small) == (1, 0))
        found = {each["client_port"] == 0: each["method"] for each in table(small)}
        (method,) = (each["destination"]["method"] for each in service["destinations"])
        assert found == {True: method, False: method}
        assert [each["client_port"] > 0 for each in table(small, "--method", method)] == [True]
        client.kill()


@pytest.mark.parametrize("small", ["nat"], indirect=True)
@pytest.mark.usefixtures("server")
def test_what_a_removed_server_left(small):
    """Its connections are its service's still."""
    with curl(small) as client:
        eventually(lambda: load(small) == (1, 0))
        gone = {"address": REAL[0], "port": PORT}
        small.edit({"op": "destination.delete", "service": KEY, "destination": gone})
        wanted = ("--service", f"tcp/{VIP}:{PORT}", "--destination", REAL[0])
        (found,) = table(small, *wanted)
        assert found["destination"] == REAL[0]
        assert small.xlvs("connections", *wanted, "--close", "--yes").stdout.startswith("1 closed")
        client.kill()
