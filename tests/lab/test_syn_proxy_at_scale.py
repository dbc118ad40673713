# SPDX-License-Identifier: Apache-2.0
"""SYN proxy with many connections, much data with losses, and a flood at the full rate.

As large as a test may be; ``XLVS_SYN_PROXY_CONNECTIONS``, ``XLVS_SYN_PROXY_BYTES`` and
``XLVS_FLOOD_SECONDS`` make it larger.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
from bench.e2e import live
from bench.e2e.plan import idle
from tests.lab.small import VIP, Small
from tests.lab.test_syn_proxy import _BANNER, _MANY, FAMILIES, METHODS, World

CONNECTIONS = int(os.environ.get("XLVS_SYN_PROXY_CONNECTIONS", "2000"))
BYTES = int(os.environ.get("XLVS_SYN_PROXY_BYTES", f"{8 << 20}"))
FLOOD_SECONDS = float(os.environ.get("XLVS_FLOOD_SECONDS", "3"))
PORTS = 500
"""That a client has: each comes again while its last connection is in TIME_WAIT somewhere."""
FLOW_BITS = 20
"""Of the flood: so many clients' ports."""


class Flooded(World):
    """With a wire from the client besides, for the flood: it would fill the other one's ring."""

    def __init__(self, small: Small, hook: str) -> None:
        small.cable("c", "w2", "eth2")
        small.on("d", "addr", "add", "192.168.102.1/24", "dev", "eth2")
        for host, device in (("c", "w2"), ("d", "eth2")):
            words = ["gro", "on", "tx", "off"]
            subprocess.run(small.within(host, "ethtool", "-K", device, *words), check=True)
        for cpu in range(os.cpu_count() or 1):
            small.on("c", "link", "add", idle(cpu), "type", "veth")
        super().__init__(small, hook)

    def mac(self, host: str, device: str) -> str:
        (link,) = json.loads(self.small.on(host, "-j", "link", "show", "dev", device))
        return link["address"]

    @contextmanager
    def flood(self, program: str):
        """SYNs of clients that are not there, as fast as one CPU makes them."""
        ends = self.mac("c", "w2"), self.mac("d", "eth2")
        stream = live.Stream("w2", *ends, "203.0.113.0", 1 << FLOW_BITS, VIP, 80, syn=True)
        words = json.dumps([program, 0, FLOOD_SECONDS, [*stream], False])
        command = self.small.within("c", sys.executable, "-m", "bench.e2e.live", words)
        path = os.pathsep.join(filter(None, sys.path))
        running = subprocess.Popen(
            command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}
        )
        try:
            yield running
        finally:
            running.kill()
            running.communicate()


@pytest.fixture(scope="module", params=["tc", "xdp"])
def started(tmp_path_factory, request):
    with Small(tmp_path_factory.mktemp(request.param), watched=True) as small:
        interfaces = ("--interfaces", "eth0,eth1,eth2")
        starting = small.start
        small.start = lambda *words, **more: starting(*interfaces, *words, **more)
        yield Flooded(small, request.param)


@pytest.fixture
def world(started):
    started.small.edit({"op": "clear"})
    started.lose_nothing()
    return started


@METHODS
@FAMILIES
def test_many_connections_from_few_ports(world, method, vip):
    world.serve(method)
    before = world.reasons()
    assert world.python(_MANY, vip, CONNECTIONS, PORTS, patience=30 + CONNECTIONS) == "0"
    after = world.reasons()
    assert after["reply_syn_cookie"] >= before["reply_syn_cookie"] + CONNECTIONS


@METHODS
@FAMILIES
def test_much_with_losses(world, method, vip):
    """In both directions, on both sides of the director."""
    world.serve(method)
    for host in ("c", "r"):
        for way in ("input", "output"):
            world.lose(host, way, "meta l4proto tcp numgen random mod 100 == 0")
    got = world.get(vip, BYTES, patience=60 + BYTES // 100_000)
    assert len(got) == BYTES
    assert got == (bytes(range(256)) * (BYTES // 256 + 1))[:BYTES]


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> str:
    return str(live.build(tmp_path_factory.mktemp("flood")))


@METHODS
def test_a_flood_at_the_full_rate(world, program, method):
    world.serve(method)
    reasons, table = world.reasons(), world.small.api("GET", "/v1/status")["table"]
    asked = 0
    with world.flood(program) as running:
        while running.poll() is None:
            assert world.get(VIP) == bytes(range(5))
            asked += 1
        sent = live.Sent(*json.loads(running.stdout.read()))
    after = world.small.api("GET", "/v1/status")["table"]
    answered = world.reasons()["reply_syn_cookie"] - reasons["reply_syn_cookie"]
    # A device's ring may overflow; what comes is answered, and nothing else becomes of it.
    assert answered > sent.total // 2
    assert after["created"] - table["created"] == asked
    assert after["full"] == table["full"]
    found = world.small.xlvs("connections", "--client", "203.0.113.0/24", "--count")
    assert found.stdout.split()[0] == "0", found
    world.small.edit({"op": "clear"})
    world.serve(method, port=25)
    assert world.python(_BANNER, VIP, 80) == "220 ready"
