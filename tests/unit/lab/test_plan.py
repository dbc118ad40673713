# SPDX-License-Identifier: Apache-2.0
"""The topology is consistent: everything that is named exists, once."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address, ip_network

import pytest

from xlvs.lab.plan import (
    CLIENTS,
    LOCAL_ADDRESSES,
    METHODS,
    REPLY_TABLE,
    SERVERS,
    TOPOLOGIES,
    VIP_NETWORK,
    VIPS,
    Plan,
)

EVERY = pytest.mark.parametrize("plan", TOPOLOGIES.values(), ids=TOPOLOGIES)


@EVERY
def test_addresses_are_unique(plan: Plan) -> None:
    addresses = [
        address
        for host in plan.hosts
        for wire in host.wires
        for address in wire.network.addresses(wire.number)
    ]
    addresses += LOCAL_ADDRESSES
    addresses += [address for pair in VIPS.values() for address in pair]
    assert max(Counter(addresses).values()) == 1


@EVERY
def test_gateways_are_neighbours(plan: Plan) -> None:
    there = {
        address
        for host in plan.hosts
        for wire in host.wires
        for address in wire.network.addresses(wire.number)
    }
    if plan.name == "pair":  # whoever of the two is master
        there |= {*CLIENTS.addresses(1), *SERVERS.addresses(1)}
    for host in plan.hosts:
        near = [ip_network(prefix) for wire in host.wires for prefix in wire.network.prefixes]
        for route in host.routes:
            assert route.via in there
            assert any(ip_address(route.via) in network for network in near)


def test_every_method_has_servers_and_virtual_addresses() -> None:
    plan = TOPOLOGIES["full"]
    for method in METHODS:
        assert len([host for host in plan.real_servers if method in host.methods]) == 3
        for address, network in zip(plan.vips[method], VIP_NETWORK, strict=True):
            assert ip_address(address) in ip_network(network)


def test_only_replies_by_the_virtual_address_find_clients_from_afar() -> None:
    """FULLNAT's promise: its real servers need no route to the clients."""
    for host in TOPOLOGIES["far"].real_servers:
        assert [route for route in host.routes if route.to == "default"]
        assert all(route.table == REPLY_TABLE for route in host.routes if route.to == "default")


def test_near_and_far_are_parts_of_full() -> None:
    full = set(TOPOLOGIES["full"].hosts)
    assert set(TOPOLOGIES["near"].hosts) | set(TOPOLOGIES["far"].hosts) == full
