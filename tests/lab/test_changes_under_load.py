# SPDX-License-Identifier: Apache-2.0
"""A hundred changes a second at full load: nothing is broken that IPVS would have kept.

What IPVS itself does to a connection: nothing at all if weights change; while its server is
removed its packets are dropped, and TCP sends them again; while its service is deleted they
meet the director's stack, which resets it, unless it says nothing in that time.

Each change is one ipvsadm command and a request of its own, one after the other, as a program
makes them that uses the API. The commands run in this process: ``ipvsadm`` itself starts an
interpreter each time, whose cost says nothing of the director's; a script with so many changes
gives them to one ``ipvsadm -R``.

A hundred a second are asked for. How many there were is printed (``pytest -s``) and no bound:
clients, servers and director share a machine, which other work may slow down. What is demanded
holds on any: nothing is broken, and each server was taken away and brought back many times.

XLVS_STORM_SECONDS says how long (15; the whole story is 60).
"""

from __future__ import annotations

import io
import itertools
import json
import os
import random
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from tests.lab import clients
from tests.lab.traffic import HTTP, NAT_HTTP, service

from xlvs.cli.ipvsadm.names import SystemNames
from xlvs.cli.ipvsadm.program import Program
from xlvs.client import Client

pytestmark = pytest.mark.alone  # it says how long things take

SECONDS = int(os.environ.get("XLVS_STORM_SECONDS", "15"))
RATE = 100
"""Changes per second."""
ROUNDS = 10
"""Each server is removed and comes back at least so many times."""
CONNECTIONS = 24
FLUSHES = 10
QUIET = 0.25
"""Seconds: longer than an acknowledgement may be delayed, which is a packet too (tcp(7): 0.2)."""


class Commands:
    """ipvsadm in this process: starting one takes longer than the time between two changes."""

    def __init__(self, instance):
        self._client = Client(instance)

    def __call__(self, line, stdin=""):
        streams = SimpleNamespace(
            stdin=io.StringIO(stdin), stdout=io.StringIO(), stderr=io.StringIO()
        )
        status = Program(self._client, SystemNames(), streams).run(line.split())
        assert status == 0, (line, streams.stderr.getvalue())
        return streams.stdout.getvalue()


def changes(address, servers):
    """For ever: weights, and one server after the other removed and added again."""
    chance = random.Random(4)
    name = f"-t {address}:{HTTP}"
    for server in itertools.cycle(servers):
        real = f"-r {server.v4}:{NAT_HTTP}"
        for other in servers:
            yield f"-e {name} -r {other.v4}:{NAT_HTTP} -m -w {chance.randrange(1, 9)}"
        yield f"-d {name} {real}"
        yield f"-a {name} {real} -m -w {chance.randrange(1, 9)}"


def storm(commands, lines, seconds):
    """So many changes a second; how many there were."""
    began = time.monotonic()
    for count, line in enumerate(lines):
        now = time.monotonic() - began
        if now > seconds and not line.startswith("-a"):  # all are there again
            return count
        time.sleep(max(0.0, count / RATE - now))
        commands(line)
    return None


def start_clients(world, address, seconds):
    """Clients that keep their connections: a process that prints what became of them."""
    argv = [sys.executable, "-I", "-S", clients.__file__, address, str(HTTP), str(seconds)]
    argv += [str(CONNECTIONS)]
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", *world.client.enter(argv)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def outcome(process):
    return json.loads(process.communicate(timeout=SECONDS + 30)[0])


def start_wrk(world, address, seconds):
    """Load with a connection for each request."""
    argv = ["wrk", "-t", "1", "-c", "16", "-d", f"{seconds}s", "--timeout", "8s"]
    argv += ["-H", "Connection: close", f"http://{address}/"]
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", *world.client.enter(argv)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_weights_removal_and_return(director, prepared):
    address = service(prepared, "nat", 4, "tcp", [1, 1, 1])
    commands = Commands(director.instance)
    kept = start_clients(prepared, address, SECONDS)
    once = start_wrk(prepared, address, SECONDS)
    made = storm(commands, changes(address, prepared.servers_for("nat")), SECONDS - 1)
    report = once.communicate(timeout=SECONDS + 30)[0]
    found = outcome(kept)
    print(f"{made / (SECONDS - 1):.0f} changes a second for {SECONDS - 1} s")  # noqa: T201
    print(report)  # noqa: T201
    servers = len(prepared.servers_for("nat"))
    assert made >= ROUNDS * servers * (servers + 2)
    assert found["broken"] == found["moved"] == 0, found
    assert found["requests"] > CONNECTIONS * SECONDS
    assert "Socket errors" not in report, report
    assert "Non-2xx" not in report, report


def quiet(world, address):
    """Connections that ask once for each line on the process' standard input."""
    argv = [
        sys.executable,
        "-I",
        "-S",
        clients.__file__,
        address,
        str(HTTP),
        "told",
        str(CONNECTIONS),
    ]
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", *world.client.enter(argv)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_clear_and_restore(director, prepared):
    """Connections that are quiet while there is no service are there again with it."""
    address = service(prepared, "nat", 4, "tcp", [1, 2, 3])
    commands = Commands(director.instance)
    saved = commands("-S -n")
    with quiet(prepared, address) as asking:
        try:
            first = json.loads(asking.stdout.readline())
            assert len(first) == CONNECTIONS
            assert len(set(first)) == len(prepared.servers_for("nat"))
            busy = start_clients(prepared, address, SECONDS / 3)
            for _ in range(FLUSHES):
                time.sleep(QUIET)
                for _ in range(SECONDS * RATE // 3 // FLUSHES // 8):
                    commands("-C")
                    commands("-R", stdin=saved)
                asking.stdin.write("\n")
                asking.stdin.flush()
                assert json.loads(asking.stdout.readline()) == first
            # What was busy in the meantime may have been reset, as beneath IPVS; it goes on.
            assert outcome(busy)["requests"] > CONNECTIONS
            assert commands("-S -n") == saved
        finally:
            asking.kill()
