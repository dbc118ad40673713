# SPDX-License-Identifier: Apache-2.0
"""A plan as iproute2's lines."""

from __future__ import annotations

from xlvs.lab import commands
from xlvs.lab.plan import TOPOLOGIES, Host

FULL = TOPOLOGIES["full"]


def host(name: str) -> Host:
    return next(host for host in FULL.hosts if host.name == name)


def test_every_wire_is_plugged_in_once() -> None:
    namespaces = {h.name: f"x-{h.name}" for h in FULL.hosts} | {commands.SWITCH: "x-switch"}
    made = commands.wires(FULL, namespaces)
    assert "link add name eth1 netns x-director type veth" in made[2]
    assert made[2].endswith("peer name director-eth1 netns x-switch")
    bridged = [line for line in commands.switch(FULL) if " master " in line]
    assert len(made) == len(bridged) == sum(len(h.wires) for h in FULL.hosts)


def test_device_names_fit_the_kernel() -> None:
    for each in FULL.hosts:
        for wire in each.wires:
            assert len(commands.port(each.name, wire.device)) < 16


def test_a_real_servers_addresses_and_routes() -> None:
    assert commands.addresses(host("rs4")) == [
        "link set lo up",
        "addr add 10.3.0.14/24 dev eth0",
        "addr add fd00:3::14/64 dev eth0 nodad",
        "link set eth0 up",
        "route add 10.2.0.0/24 via 10.3.0.254",
        "route add fd00:2::/64 via fd00:3::254",
        "route add default via 10.3.0.254 table 100",
        "route add default via fd00:3::254 table 100",
    ]
    assert commands.reply_rules(host("rs4")) == (
        ["rule add from 10.0.0.0/24 lookup 100"],
        ["rule add from fd00::/64 lookup 100"],
    )
    assert commands.reply_rules(host("client")) == ([], [])


def test_the_director_has_virtual_and_local_addresses() -> None:
    lines = commands.addresses(host("director"))
    assert "addr add 10.0.0.1/32 dev lo" in lines
    assert "addr add fd00::4/128 dev lo nodad" in lines
    assert "addr add 10.2.0.101/32 dev eth1 preferred_lft 0" in lines
    assert "echo 1 > /proc/sys/net/ipv4/ip_forward" in commands.sysctls(host("director"))
    assert "echo 1 > /proc/sys/net/ipv4/ip_forward" not in commands.sysctls(host("rs1"))
