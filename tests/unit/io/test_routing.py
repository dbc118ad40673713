# SPDX-License-Identifier: Apache-2.0
"""Asked of the kernel, in a network namespace that lives as long as the question."""

import subprocess
import sys

import pytest

ROUTES = """
ip link set lo up
ip link add one mtu 1400 type veth peer name two
ip link set two up
ip link set one up
ip addr add 10.1.0.1/24 dev one
ip addr add fd00:1::1/64 dev one nodad
ip route add 10.2.0.0/16 via 10.1.0.254 mtu 1300
ip route add 10.3.0.0/16 via 10.1.0.253 src 10.1.0.1
ip route add 10.4.0.0/16 via inet6 fd00:1::fe dev one
ip route add blackhole 10.5.0.0/16
ip route add prohibit 10.6.0.0/16
ip route add unreachable 10.7.0.0/16
ip route add fd00:2::/64 via fd00:1::fe
ip rule add pref 5 to 10.8.0.0/16 lookup 77
ip route add 10.8.0.0/16 via 10.1.0.7 table 77
"""
ASK = """
import asyncio, sys
from ipaddress import ip_address
from xlvs.io.routing import Routing
async def story():
    routing = Routing()
    found = await routing.routes([ip_address(text) for text in sys.argv[1:]])
    routing.close()
    for each in found.values():
        ways = f"{each.ifindex > 1} {each.gateway} {each.source} {each.mtu}"
        print(each.error or ("local" if each.local else ways))
asyncio.run(story())
"""


def ask(*addresses: str) -> list[str]:
    script = ROUTES + f'exec "$@" {" ".join(addresses)}'
    argv = ["unshare", "-n", "sh", "-ec", script, "sh", sys.executable, "-c", ASK]
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    assert not done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def answers():
    asked = {
        "10.1.0.9": "True None 10.1.0.1 0",
        "10.2.0.1": "True 10.1.0.254 10.1.0.1 1300",
        "10.3.0.1": "True 10.1.0.253 10.1.0.1 0",
        "10.4.0.1": "True fd00:1::fe 10.1.0.1 0",
        "10.5.0.1": "its route says blackhole",
        "10.6.0.1": "its route says prohibited",
        "10.7.0.1": "its route says unreachable",
        "10.8.0.1": "True 10.1.0.7 10.1.0.1 0",
        "10.9.0.1": "no route",
        "10.1.0.255": "it is a broadcast address",
        "10.1.0.1": "local",
        "127.0.0.1": "local",
        "fd00:1::9": "True None fd00:1::1 0",
        "fd00:2::9": "True fd00:1::fe fd00:1::1 0",
        "fd00:3::9": "no route",
        "fd00:1::1": "local",
    }
    return asked, ask(*asked)


def test_routes_of_every_kind(answers):
    asked, found = answers
    assert dict(zip(asked, found, strict=True)) == asked


def test_many_in_their_order():
    addresses = [f"10.{2 + number % 2}.{number >> 8}.{number & 255}" for number in range(1000)]
    found = ask(*addresses)
    assert [line.split()[1] for line in found] == ["10.1.0.254", "10.1.0.253"] * 500
