# SPDX-License-Identifier: Apache-2.0
"""What the two profiles do to clients of a removed server (docs/how-to/profiles.md)."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from tests.lab.small import REAL, VIP, Small, eventually

DNS = {"protocol": "udp", "address": VIP, "port": 53}

_ECHO = """
import select, socket, sys
sockets = {}
for address in sys.argv[1:]:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, 53))
    sockets[s] = address
print("serving", flush=True)
while True:
    for s in select.select(list(sockets), [], [])[0]:
        data, peer = s.recvfrom(2048)
        s.sendto(sockets[s].encode(), peer)
"""

# One flow that never stops: a line per datagram, who answered it.
_ASK = f"""
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("{VIP}", 53))
s.settimeout(0.15)
while True:
    s.send(b"?")
    try:
        print(s.recv(2048).decode(), flush=True)
    except OSError:
        print("-", flush=True)
    time.sleep(0.05)
"""


@pytest.fixture(params=["ipvs", "modern"])
def world(tmp_path, request):
    with Small(tmp_path) as small:
        small.start("--profile", request.param)
        yield small, request.param


def remove(small, key, address):
    port = key["port"]
    small.edit(
        {
            "op": "destination.delete",
            "service": key,
            "destination": {"address": address, "port": port},
        }
    )


def test_a_tcp_client_of_a_removed_server(world):
    small, profile = world
    small.serve_both()
    curl = subprocess.Popen(
        small.within("c", "curl", "-sS", "--no-buffer", f"telnet://{VIP}:80"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: any(each["active"] for each in small.service()["destinations"]))
    (server,) = [
        each["destination"]["key"]["address"]
        for each in small.service()["destinations"]
        if each["active"]
    ]
    remove(small, {"protocol": "tcp", "address": VIP, "port": 80}, server)
    curl.stdin.write("anything\n")
    curl.stdin.flush()
    if profile == "modern":
        # It knows at once, and does not wait for retransmissions.
        assert "reset" in curl.communicate(timeout=5)[1].lower()
        reasons = small.api("GET", "/v1/status")["reasons"]
        assert reasons["reply_reset"]["packets"] == 1
    else:
        time.sleep(1)
        assert curl.poll() is None
        reasons = small.api("GET", "/v1/status")["reasons"]
        assert reasons["drop_destination_removed"]["packets"] >= 1
        curl.kill()
        curl.communicate()


def test_a_udp_client_that_never_stops(world):
    small, profile = world
    echo = subprocess.Popen(
        small.within("r", sys.executable, "-c", _ECHO, *REAL), stdout=subprocess.PIPE, text=True
    )
    echo.stdout.readline()
    servers = [{"key": {"address": address, "port": 53}, "method": "nat"} for address in REAL]
    small.edit(
        {"op": "service.add", "service": {"key": DNS, "scheduler": "rr"}},
        *({"op": "destination.add", "service": DNS, "destination": each} for each in servers),
    )
    client = subprocess.Popen(
        small.within("c", sys.executable, "-c", _ASK), stdout=subprocess.PIPE, text=True
    )
    try:
        first = client.stdout.readline().strip()
        assert first in REAL
        remove(small, DNS, first)
        answers = [client.stdout.readline().strip() for _ in range(8)]
        other = next(address for address in REAL if address != first)
        # Some may have been answered before the removal.
        assert answers[3:] == [other if profile == "modern" else "-"] * 5
    finally:
        for process in (client, echo):
            process.kill()
            process.communicate()


@pytest.mark.parametrize("world", ["ipvs"], indirect=True)
def test_a_service_with_time_outs_of_its_own(world):
    small, _ = world
    key = {"protocol": "tcp", "address": VIP, "port": 80}
    own = {"tcp": 2, "tcp_fin": 1}
    server = {"key": {"address": REAL[0], "port": 80}, "method": "nat"}
    small.edit(
        {"op": "service.add", "service": {"key": key, "scheduler": "rr", "timeouts": own}},
        {"op": "destination.add", "service": key, "destination": server},
    )
    curl = subprocess.Popen(
        small.within("c", "curl", "-s", f"telnet://{VIP}:80"), stdin=subprocess.PIPE
    )
    try:
        eventually(lambda: small.api("GET", "/v1/connections"))
        (connection,) = small.api("GET", "/v1/connections")
        assert connection["state"] == "ESTABLISHED"
        assert connection["expires"] <= own["tcp"]
        eventually(lambda: not small.api("GET", "/v1/connections"))
        eventually(lambda: small.service()["destinations"][0]["active"] == 0)
    finally:
        curl.kill()
        curl.communicate()
