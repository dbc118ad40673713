# SPDX-License-Identifier: Apache-2.0
"""``xlvs explain`` against a running director: it says what then happens, and sends nothing."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack, contextmanager

import pytest
from tests.lab.small import CLIENT, REAL, SERVICE, VIP, Small, destination

from xlvs.lab.capture import Capture


@pytest.fixture
def small(tmp_path):
    with Small(tmp_path) as world:
        for host, device in (("c", "w0"), ("r", "w1")):
            # What XDP wants of veth: see docs/how-to/hooks-and-nics.md.
            command = world.within(host, "ethtool", "-K", device, "tx", "off", "gro", "on")
            subprocess.run(command, check=True, capture_output=True)
        yield world


@contextmanager
def nothing_leaves(world):
    """Neither a frame with the explained packet's port nor an ICMP error about it."""
    expression = "port 40000 or icmp"
    with ExitStack() as stack:
        seen = [
            stack.enter_context(
                Capture(lambda argv, host=host: world.within(host, *argv), device, expression)
            )
            for host, device in (("c", "w0"), ("r", "w1"))
        ]
        yield
    assert [each.lines for each in seen] == [[], []]


@pytest.mark.parametrize("hook", ["tc", "xdp"])
def test_what_is_explained_happens_then(small, hook):
    small.start(hook=hook)
    small.serve_both()
    assert small.ask() != [""]  # neighbours are known now
    for _ in range(3):
        before = small.api("GET", "/v1/services")["services"][0]["live"]
        with nothing_leaves(small):
            done = small.xlvs("explain", "--tcp", CLIENT, f"{VIP}:80", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        told = json.loads(done.stdout)
        assert small.api("GET", "/v1/services")["services"][0]["live"] == before
        assert (told["reason"], told["verdict"]) == ("fwd_nat", "send")
        assert told["packet"]["hook"] == hook
        assert told["packet"]["interface"] == "eth0"
        assert told["server"] == f"{small.ask()[0]}:80"
    words = small.xlvs("explain", "--tcp", f"{CLIENT}:5000", f"{VIP}:80").stdout
    assert f"tcp {CLIENT}:5000 > {VIP}:80 [S]" in words
    assert "rr: the next server after the last choice" in words
    assert "eth0: the route to 192.168.100.254 leads there" in words
    assert "ipv4: destination 10.0.0.1 to 192.168.200.1" in words
    small.edit(*(destination(each, 0, "destination.edit") for each in REAL))
    with nothing_leaves(small):
        words = small.xlvs("explain", "--tcp", CLIENT, f"{VIP}:80").stdout
    assert "not fit, weight 0" in words
    assert "answered with port unreachable" in words


def test_what_cannot_be_explained_is_said(small):
    small.start()
    small.edit({"op": "service.add", "service": {"key": SERVICE, "scheduler": "rr"}})
    for words, status, said in (
        (("--tcp", CLIENT, VIP), 2, f"{VIP}: a port is missing"),
        (("--tcp", "nobody", f"{VIP}:80"), 2, "'nobody' is no address"),
        (("--tcp", "fd00::1", f"{VIP}:80"), 2, "not of one family"),
        (("--tcp", CLIENT, f"{VIP}:80", "--flags", "X"), 2, "no TCP flags"),
        (("--tcp", CLIENT, f"{VIP}:80", "--length", "9000"), 2, "eth0 takes 1500 IP bytes"),
        (("--tcp", CLIENT, f"{VIP}:80", "--interface", "eth7"), 2, "no interface eth7"),
        (("--tcp", VIP, f"{VIP}:80"), 2, "the director's own address"),
        (("--udp", CLIENT, f"{VIP}:70000"), 2, "'70000' is no port"),
        (("--tcp", VIP, f"{CLIENT}:5", "--error", "too-big"), 2, f"{VIP}: a port is missing"),
        (("--tcp", CLIENT, f"{VIP}:80", "--sender", CLIENT), 2, "only an ICMP error has a sender"),
    ):
        done = small.xlvs("explain", *words)
        assert (done.returncode, done.stdout) == (status, ""), words
        assert said in done.stderr
    done = small.xlvs("explain", "--tcp", CLIENT, "10.9.9.9:80")
    assert "neither 192.168.100.254 nor 10.9.9.9 is an address of a service" in done.stdout
    assert "(pass_no_service)" in done.stdout
    rule = {"mark": 7, "to": f"{VIP}/32", "protocol": 6, "ports": [[80, 80]]}
    fwm = {"protocol": "fwm", "fwmark": 7}
    small.edit(
        {"op": "mark.add", "rule": rule},
        {"op": "service.add", "service": {"key": fwm, "scheduler": "rr"}},
    )
    done = small.xlvs("explain", "--tcp", CLIENT, f"{VIP}:80")
    assert "7 (0x7), by xlvs mark's rules 1" in done.stdout
    assert "fwm 7, by the packet's mark" in done.stdout
    error = ("--tcp", f"{VIP}:80", f"{CLIENT}:5000", "--error", "too-big")
    done = small.xlvs("explain", *error)
    assert f"icmp too-big from {CLIENT} about tcp {VIP}:80 > {CLIENT}:5000" in done.stdout
    assert "(pass_icmp_no_connection)" in done.stdout
    # Marked as the answer to what it quotes.
    small.edit({"op": "settings.set", "values": {"net.ipv4.vs.schedule_icmp": "1"}})
    done = small.xlvs("explain", *error)
    assert "7 (0x7), by xlvs mark's rules 1" in done.stdout
    assert "(drop_icmp_not_forwarded)" in done.stdout
