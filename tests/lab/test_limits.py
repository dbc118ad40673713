# SPDX-License-Identifier: Apache-2.0
"""Lists and limits, as an operator types them, and what clients meet then."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from tests.lab.small import CLIENT, REAL, VIP, Small, eventually

TITLE = f"{VIP}:80"
_HOLD = """
import socket, sys
found = []
for _ in range(int(sys.argv[2])):
    each = socket.socket()
    each.settimeout(0.5)
    try:
        each.connect((sys.argv[1], 80))
    except TimeoutError:
        break
    found.append(each)
print(len(found), flush=True)
sys.stdin.readline()
"""


@pytest.fixture(params=["tc", "xdp"])
def small(tmp_path, request):
    with Small(tmp_path, watched=True) as small:
        for host, device in (("c", "w0"), ("r", "w1")):
            # What XDP wants of veth: see docs/how-to/hooks-and-nics.md.
            command = small.within(host, "ethtool", "-K", device, "tx", "off", "gro", "on")
            subprocess.run(command, check=True, capture_output=True)
        small.start(hook=request.param)
        small.serve_both()
        yield small


def ipvsadm(small, *words):
    return subprocess.run(
        [sys.executable, "-m", "xlvs.cli.ipvsadm", *words],
        capture_output=True,
        text=True,
        env={**small.environment, "XLVS_INSTANCE": small.instance},
        check=True,
    ).stdout


def limit(small, *words):
    ipvsadm(small, "-E", "-t", TITLE, "-s", "rr", *words)


@contextmanager
def holding(small, count):
    """A client with as many connections as it gets, up to so many; how many it got."""
    client = subprocess.Popen(
        small.within("c", sys.executable, "-c", _HOLD, VIP, str(count)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield int(client.stdout.readline())
    finally:
        client.communicate("\n", timeout=10)


def refused(small):
    return small.service()["refused"]


def why(small, client=CLIENT):
    said = small.xlvs("explain", "--tcp", client, TITLE, "--json")
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)["reason"]


def test_a_list_is_loaded_shown_and_changed_while_clients_come(small, tmp_path):
    file = tmp_path / "bad.txt"
    file.write_text(f"# bad ones\n198.51.100.0/24\n{CLIENT}  # this one\n2001:db8::/32\n")
    assert small.xlvs("list", "load", "bad", str(file)).stdout == "3 prefixes\n"
    assert small.xlvs("list", "load", "bad", str(file)).stdout == "3 prefixes, as before\n"
    assert set(small.ask(2)) == {*REAL}
    limit(small, "--deny", "bad")
    assert why(small) == "drop_denied"
    assert small.ask() == [""]
    assert refused(small)["denied"] > 0
    assert f"-A -t {TITLE} -s rr --deny bad\n" in ipvsadm(small, "-Sn")
    assert small.xlvs("list", "show").stdout == "bad  3\n"
    done = small.xlvs("list", "delete", "bad")
    assert (done.returncode, done.stderr) == (
        1,
        f"xlvs list: the list 'bad' is named by the service tcp {TITLE}\n",
    )
    small.xlvs("list", "remove", "bad", CLIENT)
    assert small.xlvs("list", "show", "bad").stdout == "198.51.100.0/24\n2001:db8::/32\n"
    assert why(small) == "fwd_nat"
    assert small.ask() != [""]
    assert why(small, "198.51.100.7") == "drop_denied"
    file.write_text("192.0.2.0/24\n\nnobody\n")
    done = small.xlvs("list", "load", "bad", str(file))
    assert done.returncode == 2
    assert done.stderr.startswith(f"xlvs list: {file}:3: 'nobody' is no address or prefix")
    assert small.xlvs("list", "show", "bad").stdout == "198.51.100.0/24\n2001:db8::/32\n"
    # A daemon that was killed goes on with it.
    small.stop(signal.SIGKILL)
    assert small.ask() != [""]
    small.start()
    assert small.xlvs("list", "show").stdout == "bad  2\n"
    assert "restored" not in small.said()
    assert why(small, "198.51.100.7") == "drop_denied"


def test_a_client_has_so_many_connections_and_gets_more_when_they_end(small):
    limit(small, "--client-connections", "3", "--service-connections", "100")
    with holding(small, 5) as got:
        assert got == 3
        assert refused(small)["client_connections"] > 0
        assert small.service()["counted"] == 3
        assert why(small) == "drop_client_connections"
    words = ("--service", f"tcp/{TITLE}", "--close", "--forget", "--yes")
    assert small.xlvs("connections", *words).returncode == 0
    eventually(lambda: small.service()["counted"] == 0)
    assert small.ask() != [""]


def test_a_service_opens_so_many_per_second(small):
    limit(small, "--service-rate", "1:4")
    with holding(small, 12) as got:
        assert 4 <= got < 12
    assert refused(small)["service_rate"] > 0
    assert "service_rate" in small.xlvs("status").stdout
