# SPDX-License-Identifier: Apache-2.0
"""``xlvs realserver`` on a real host: what it changes, what it restores, what it opens."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from xlvs.lab import Lab
from xlvs.lab.realserver import RealServer
from xlvs.realserver.decap import OBJECT

TUNNEL = Path(__file__).with_name("tunnel.py")
VIP4, VIP6 = "10.0.0.3", "fd00::3"
TUN = ("up", "--vip", VIP4, "--vip", VIP6, "--method", "tun")
_ports = itertools.count(20000)


def snapshot(server: RealServer) -> str:
    """Everything that the command may change."""
    script = (
        "ip -o addr; tc qdisc show dev eth0; tc filter show dev eth0 ingress;"
        " tc filter show dev eth0 egress;"
        " ip -d link show eth0; cd /proc/sys/net/ipv4/conf;"
        " grep . */arp_ignore */arp_announce */rp_filter"
    )
    text = server.run(["sh", "-c", script]).stdout
    return re.sub(r"(valid|preferred)_lft \w+", "", text)


@pytest.fixture
def server(world: Lab) -> Iterator[RealServer]:
    """A far real server, as it was before afterwards."""
    server = world.servers_for("tun")[0]
    before = snapshot(server)
    yield server
    server.realserver("down")
    assert snapshot(server) == before


def through_tunnel(world: Lab, outer: str, vip: str, tos: str = "0") -> str:
    """Send one tunnel packet from the director; who answers the client, and what."""
    client = world.client.v6 if ":" in vip else world.client.v4
    port = str(next(_ports))
    listener = subprocess.Popen(
        world.client.enter([sys.executable, str(TUNNEL), "hear", client, port]),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert listener.stdout is not None
    assert listener.stdout.readline() == "listening\n"
    world.director.run([sys.executable, str(TUNNEL), "send", outer, client, vip, port, tos])
    return listener.communicate(timeout=5)[0].strip()


@pytest.mark.parametrize("hook", ["auto", "xdp"])
@pytest.mark.parametrize("vip", [VIP4, VIP6])
@pytest.mark.parametrize("outer", [4, 6])
def test_opens_the_directors_tunnel(
    world: Lab, server: RealServer, hook: str, vip: str, outer: int
) -> None:
    server.realserver(*TUN, "--hook", hook)
    client = world.client.v6 if ":" in vip else world.client.v4
    answer = through_tunnel(world, server.address(outer), vip)
    assert answer == f"{vip}: {server.name} saw {client}"


@pytest.mark.parametrize("hook", ["auto", "xdp"])
def test_opens_nobody_elses(world: Lab, server: RealServer, hook: str) -> None:
    """Inner destination not a VIP; outer destination not this host's."""
    server.realserver(*TUN, "--hook", hook)
    server.run(["ip", "addr", "add", "10.9.9.9/32", "dev", "lo"])
    try:
        assert through_tunnel(world, server.v4, "10.9.9.9") == ""
        assert through_tunnel(world, server.v4, server.v4) == ""
    finally:
        server.run(["ip", "addr", "del", "10.9.9.9/32", "dev", "lo"])
    assert through_tunnel(world, server.v4, VIP4) != ""


@pytest.mark.parametrize("hook", ["auto", "xdp"])
@pytest.mark.parametrize("vip", [VIP4, VIP6])
def test_carries_congestion_inwards(world: Lab, server: RealServer, hook: str, vip: str) -> None:
    """RFC 6040: outer CE makes an ECT(0) packet CE, and drops one that does not know ECN."""
    server.realserver(*TUN, "--hook", hook)
    assert through_tunnel(world, server.v4, vip, "0/3") == ""
    assert through_tunnel(world, server.v4, vip, "2/3") != ""
    assert through_tunnel(world, server.v6, vip, "2/3") != ""


def test_up_twice_is_up_once_and_down_restores(server: RealServer) -> None:
    before = snapshot(server)
    server.realserver(*TUN)
    once = re.sub(r"\bid \d+|:\[\d+\]", "", snapshot(server))
    assert once != before
    server.realserver(*TUN)
    assert re.sub(r"\bid \d+|:\[\d+\]", "", snapshot(server)) == once
    server.realserver("down", "--vip", VIP4)
    assert VIP6 in server.realserver("check", "--client", "fd00:1::2").stdout
    server.realserver("down")
    assert snapshot(server) == before
    assert "nothing was set up" in server.realserver("down").stdout


def test_keeps_what_was_there_before(server: RealServer) -> None:
    """A VIP, a setting and a qdisc of the operator's own survive ``down``."""
    own = [
        "ip addr add 10.0.0.3/32 dev lo",
        "echo 1 > /proc/sys/net/ipv4/conf/eth0/arp_ignore",
        "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter",
        "tc qdisc add dev eth0 clsact",
    ]
    undo = [
        "ip addr del 10.0.0.3/32 dev lo",
        "echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_ignore",
        "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter",
        "tc qdisc del dev eth0 clsact",
    ]
    server.run(["sh", "-ec", "; ".join(own)])
    try:
        before = snapshot(server)
        server.realserver(*TUN)
        assert "eth0/rp_filter:2" in snapshot(server)
        server.realserver("down")
        assert snapshot(server) == before
    finally:
        server.run(["sh", "-ec", "; ".join(undo)])


def test_a_virtual_address_is_not_answered_for_by_arp(world: Lab, server: RealServer) -> None:
    """The router, on the same wire, asks; only before ``up`` does the server answer."""

    def answers() -> bool:
        with server.capture("arp") as seen:
            world.router.run(["ip", "neigh", "flush", "dev", "eth2"])
            world.router.run(["sh", "-c", "echo x | nc -u -w 1 10.0.0.2 7"], check=False)
        assert seen.with_word("who-has 10.0.0.2")
        return bool(seen.with_word("Reply 10.0.0.2"))

    world.router.run(["ip", "route", "add", "10.0.0.2/32", "dev", "eth2"])
    try:
        server.run(["ip", "addr", "add", "10.0.0.2/32", "dev", "lo"])
        assert answers()
        wrong = server.realserver("check", "--vip", "10.0.0.2", "--method", "dr", check=False)
        assert wrong.returncode == 1
        assert "eth0 answers ARP for 10.0.0.2" in wrong.stdout
        server.realserver("up", "--vip", "10.0.0.2", "--method", "dr")
        assert not answers()
        assert server.realserver("check").stdout == "nothing wrong: 10.0.0.2 (dr)\n"
        server.realserver("down")
        assert answers()
    finally:
        server.run(["ip", "addr", "del", "10.0.0.2/32", "dev", "lo"])
        world.router.run(["ip", "route", "del", "10.0.0.2/32", "dev", "eth2"])


@pytest.mark.parametrize(
    ("fault", "repair", "sentence"),
    [
        (
            "ip addr del 10.0.0.3/32 dev lo",
            "true",
            "10.0.0.3 is not on lo",
        ),
        (
            "ip addr add 10.0.0.3/32 dev eth0",
            "ip addr del 10.0.0.3/32 dev eth0",
            "10.0.0.3 is an address of eth0 itself",
        ),
        (
            "tc filter del dev eth0 ingress",
            "true",
            "the decapsulation program is gone from eth0",
        ),
        (
            "ip rule del from 10.0.0.0/24",
            "ip rule add from 10.0.0.0/24 lookup 100",
            "no route from 10.0.0.3 back to clients",
        ),
        (
            "ip addr add 10.3.0.99/32 dev eth0",
            "ip addr del 10.3.0.99/32 dev eth0",
            "tunnel packets to 10.3.0.99 are not opened",
        ),
    ],
)
def test_check_says_what_is_wrong(
    server: RealServer, fault: str, repair: str, sentence: str
) -> None:
    server.realserver(*TUN)
    assert server.realserver("check").stdout.startswith("nothing wrong")
    server.run(["sh", "-ec", fault])
    try:
        found = server.realserver("check", check=False)
        assert found.returncode == 1
        assert [line for line in found.stdout.splitlines() if line.startswith(sentence)]
        assert len(found.stdout.splitlines()) == 1
    finally:
        server.run(["sh", "-ec", repair])


def test_check_names_a_reverse_path_filter_that_drops(server: RealServer) -> None:
    server.realserver(*TUN)
    fault = (
        "ip link add name dummy0 type veth peer name dummy1; ip link set dummy0 up;"
        " ip link set dummy1 up; ip addr add 10.8.0.1/24 dev dummy0;"
        " ip rule add from 10.0.0.3 lookup 101 pref 1; ip route add default dev dummy0 table 101;"
        " echo 1 > /proc/sys/net/ipv4/conf/eth0/rp_filter"
    )
    server.run(["sh", "-ec", fault])
    try:
        found = server.realserver("check", "--vip", VIP4, check=False)
        assert "rp_filter on eth0 drops packets of client" in found.stdout
    finally:
        server.run(["sh", "-ec", "ip rule del pref 1; ip link del dummy0"])
        # As `up` left it, so that `down` knows it as its own.
        server.run(["sh", "-ec", "echo 0 > /proc/sys/net/ipv4/conf/eth0/rp_filter"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("up",), "required: --vip, --method"),
        (("up", "--vip", "x", "--method", "dr"), "x is not an IP address"),
        (("up", "--vip", "224.0.0.1", "--method", "dr"), "cannot be a virtual address"),
        (("up", "--vip", VIP4, "--method", "nat"), "invalid choice: 'nat'"),
        (("up", "--vip", VIP4, "--method", "dr", "--interface", "eth9"), "no interface eth9"),
        (("down", "--vip", VIP4), "was not set up"),
        (("check",), "nothing was set up here"),
        (("sideways",), "invalid choice: 'sideways'"),
    ],
)
def test_wrong_usage(server: RealServer, arguments: tuple[str, ...], sentence: str) -> None:
    before = snapshot(server)
    done = server.realserver(*arguments, check=False)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert snapshot(server) == before


def test_a_failed_up_leaves_nothing(server: RealServer) -> None:
    """Another XDP program holds the interface, and keeps it."""
    server.run(["ip", "link", "set", "eth0", "xdpgeneric", "obj", str(OBJECT), "sec", "xdp"])
    try:
        before = snapshot(server)
        done = server.realserver(*TUN, "--hook", "xdp", check=False)
        assert done.returncode == 2
        assert "another XDP program is attached to eth0" in done.stderr
        assert snapshot(server) == before
    finally:
        server.run(["ip", "link", "set", "eth0", "xdpgeneric", "off"])
