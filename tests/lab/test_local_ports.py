# SPDX-License-Identifier: Apache-2.0
"""FULLNAT's local ports run out towards one real server: told before, and nobody else notices."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import contextmanager

import pytest
from tests.lab.small import CLIENT, REAL, VIP, Small, destination, eventually

from xlvs.datapath import libbpf, pins
from xlvs.datapath import records as r
from xlvs.datapath.btf import read
from xlvs.datapath.layout import Layout
from xlvs.datapath.loader import OBJECTS
from xlvs.datapath.maps import Map

PORTS = r.LOCAL_PORT_WORDS * 64
LIP, MORE = "192.168.200.101", "192.168.200.102"
FREE = 20
METRICS = 19187

# Opens connections and keeps them, as many as a line says; then prints what became of each.
_KEEPING = r"""
import socket, struct, sys
kept = []
for line in sys.stdin:
    found = []
    count = int(line)
    if not count:
        for channel in kept:
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
            channel.close()
        kept.clear()
    for _ in range(count):
        channel = socket.socket()
        channel.settimeout(0.7)
        try:
            channel.connect((sys.argv[1], 80))
            channel.sendall(b"GET / HTTP/1.0\r\n\r\n")
            found.append(channel.recv(65536).split()[-1].decode())
            kept.append(channel)
        except OSError as error:
            found.append(type(error).__name__)
            channel.close()
    print(*found, flush=True)
"""


@pytest.fixture
def small(tmp_path):
    with Small(tmp_path, watched=True) as world:
        for address in (LIP, MORE):
            world.on("d", "addr", "add", f"{address}/32", "dev", "eth1")
        world.start("--local-addresses", LIP, "--metrics-listen", f"127.0.0.1:{METRICS}")
        world.serve_both()
        world.edit(*(destination(each, op="destination.edit", method="fullnat") for each in REAL))
        yield world


@contextmanager
def keeper(small):
    """A client: ``ask(n)`` opens n connections more, and says who answered on each."""
    command = small.within("c", sys.executable, "-c", _KEEPING, VIP)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as running:

        def ask(count):
            running.stdin.write(f"{count}\n")
            return running.stdout.readline().split()

        yield ask
        running.kill()


def occupy(small, server, free):
    """Of the ports towards a real server all are taken but some, as by so many connections."""
    place = pins.reach(pins.folder(small.instance)) / "maps"
    layout = Layout(read((OBJECTS / "xdp.bpf.o").read_bytes()))
    ports, blocks = (
        Map(name, libbpf.get(str(place / name))) for name in ("local_ports", "port_blocks")
    )
    for key, raw in blocks.items():
        whose = layout.unpack(r.PortBlock, raw)
        if whose.server.endswith(bytes(map(int, server.split(".")))):
            word = 2**64 - 1
            taken = [word] * r.LOCAL_PORT_WORDS
            taken[500] = word & ~((1 << free) - 1)
            full = [word] * (r.LOCAL_PORT_SUMMARY - 1) + [2 ** (r.LOCAL_PORT_WORDS % 64) - 1]
            full[500 // 64] &= ~(1 << 500 % 64)
            record = r.LocalPorts(PORTS - free, 77, 0, tuple(full), tuple(taken))
            ports.update(int.from_bytes(key, "little"), layout.pack(record))
    ports.close()
    blocks.close()


def servers(small):
    """Used ports and refused searches, by real server."""
    found = small.api("GET", "/v1/local-ports")["servers"]
    return {each["destination"]: (each["used"], each["exhausted"]) for each in found}


def reason(small, name):
    return small.api("GET", "/v1/status")["reasons"].get(name, {"packets": 0})["packets"]


def scraped(small):
    command = small.within("d", "curl", "-s", f"http://127.0.0.1:{METRICS}/metrics")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def ports(small, server):
    """Free ones and refused searches, as the metrics tell them."""
    label = re.escape(f'{{destination="{server}:80",local="{LIP}",protocol="tcp"}}')
    found = [
        re.search(rf"^xlvs_local_ports_{name}{label} (\S+)$", scraped(small), re.MULTILINE)
        for name in ("free", "exhausted_total")
    ]
    return tuple(float(each[1]) for each in found)


def refused_to_all(small):
    """What those are told who ask why nobody is served."""
    dropped = reason(small, "drop_local_ports")
    assert dropped > 0
    assert f'xlvs_packets_total{{reason="drop_local_ports"}} {dropped}.0' in scraped(small)
    explained = small.xlvs("explain", "--tcp", CLIENT, f"{VIP}:80", "--json")
    assert json.loads(explained.stdout)["reason"] == "drop_local_ports"


def problems(small):
    return [each for each in small.api("GET", "/v1/status")["problems"] if "local ports" in each]


@pytest.fixture
def heard(small, tmp_path):
    """What ``xlvs watch`` says meanwhile."""
    file = tmp_path / "events"
    command = [sys.executable, "-m", "xlvs.cli.main", "--instance", small.instance, "watch"]
    with file.open("wb") as out:
        running = subprocess.Popen(command, stdout=out, env=small.environment)
    yield file
    running.kill()
    running.wait()


def test_one_servers_ports_run_out(small, heard):
    with keeper(small) as ask:
        assert sorted(ask(4)) == sorted(REAL * 2)
        assert problems(small) == []
        # Nearly none left: that is told before anybody is refused, by all that tell.
        occupy(small, REAL[0], FREE)
        (told,) = problems(small)
        assert told.startswith(
            f"fullnat to tcp {REAL[0]}:80: {PORTS - FREE} of {PORTS} local ports"
        )
        eventually(lambda: told in small.said() and told in heard.read_text())
        assert REAL[1] not in told
        assert reason(small, "drop_local_ports") == 0
        assert ports(small, REAL[0]) == (FREE, 0)
        shown = small.xlvs("local-ports").stdout
        assert f"tcp {REAL[0]}:80" in shown
        assert json.loads(small.xlvs("local-ports", "-o", "json").stdout)["servers"][0] == {
            "destination": REAL[0],
            "destination_port": 80,
            "protocol": "tcp",
            "local_addresses": [LIP],
            "used": PORTS - FREE,
            "free": FREE,
            "exhausted": 0,
        }
        # More than there are ports: every client is served, by the other one if need be.
        answered = ask(4 * FREE)
        assert answered.count(REAL[0]) == FREE
        assert answered.count(REAL[1]) == 3 * FREE
        used, refused = servers(small)[REAL[0]]
        assert used == PORTS
        assert refused > 0
        assert servers(small)[REAL[1]] == (2 + 3 * FREE, 0)
        assert reason(small, "drop_local_ports") == 0
        assert ports(small, REAL[0]) == (0, refused)
        assert ports(small, REAL[1]) == (PORTS - 2 - 3 * FREE, 0)
        # Without another one: a reason, and no answer that would tell the client to give up.
        small.edit(destination(REAL[1], weight=0, op="destination.edit", method="fullnat"))
        assert ask(1) == ["TimeoutError"]
        refused_to_all(small)
        # One local address more, and it goes on; the connections keep what they have.
        done = small.xlvs("pool", "set", "default", LIP, MORE)
        assert (done.returncode, done.stderr) == (0, "")
        eventually(lambda: ask(1) == [REAL[0]])
        over = f"no longer: fullnat to tcp {REAL[0]}:80: "
        eventually(lambda: over in heard.read_text())
        assert problems(small) == []
        assert small.xlvs("pool", "remove", "default", MORE).returncode == 0
        retired = [p for p in small.api("GET", "/v1/local-ports")["ports"] if p["retired"]]
        assert [(p["local"], p["destination"], p["free"]) for p in retired] == [(MORE, REAL[0], 0)]
        assert ask(1) == ["TimeoutError"]
        # Connections end, and their ports come back.
        small.edit({"op": "timeouts.set", "tcp_fin": 1})
        ask(0)
        eventually(lambda: ask(1) == [REAL[0]], patience=40)
        eventually(lambda: servers(small)[REAL[1]][0] == 0, patience=40)
        eventually(lambda: MORE not in small.xlvs("local-ports").stdout, patience=40)
    connections = small.api("GET", "/v1/connections")
    ends = [(c["local"], c["local_port"], c["destination"]) for c in connections]
    assert len(set(ends)) == len(ends)
