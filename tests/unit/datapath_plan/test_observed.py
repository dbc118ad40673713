# SPDX-License-Identifier: Apache-2.0
"""Next hops, interfaces and neighbours that must be asked for."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from tests.unit.datapath_plan.build import LINK, LOCAL, observed, real

from xlvs.datapath import keepalive
from xlvs.datapath.addresses import packed
from xlvs.datapath.observed import (
    NUD_DELAY,
    NUD_FAILED,
    NUD_INCOMPLETE,
    NUD_PERMANENT,
    NUD_PROBE,
    NUD_REACHABLE,
    NUD_STALE,
    Link,
    Neighbour,
    Observed,
    Route,
    interfaces,
    way_to,
)

MAC = bytes.fromhex("020000000211")
VLAN = Link(ifindex=7, name="eth1.5", mac=LINK.mac, mtu=1496, up=True, parent=3, vlan=5)


def test_a_server_on_the_link():
    way = way_to(observed(), real(1))
    assert way.words == "resolved via eth1 02:00:00:00:02:11"
    assert way.hop.ifindex == 3
    assert (way.hop.dst_mac, way.hop.src_mac) == (MAC, LINK.mac)
    assert (way.hop.vlan, way.hop.mtu) == (0, 1500)
    assert way.source == LOCAL


def test_a_server_behind_a_router_and_a_smaller_route():
    around = observed()
    far = ip_address("172.16.0.1")
    route = Route(ifindex=3, gateway=real(2), source=LOCAL, mtu=1400)
    way = way_to(around._replace(routes={far: route}), far)
    assert way.gateway == real(2)
    assert way.hop.dst_mac == bytes.fromhex("020000000212")
    assert way.hop.mtu == 1400


def test_a_server_on_a_vlan_is_reached_by_the_parent():
    around = Observed(
        {3: LINK, 7: VLAN},
        {(7, real(1)): Neighbour(MAC, NUD_STALE)},
        {real(1): Route(ifindex=7)},
    )
    way = way_to(around, real(1))
    assert (way.hop.ifindex, way.hop.vlan, way.hop.mtu) == (3, 5, 1496)
    assert way.ifindex == 7
    carried = interfaces(around)[7]
    assert (carried.carrier, carried.vlan) == (3, 5)


@pytest.mark.parametrize(
    ("route", "link", "words"),
    [
        (Route(error="no route"), LINK, "unresolved: no route"),
        (Route(ifindex=9), LINK, "unresolved: the interface of its route is gone"),
        (Route(ifindex=3), LINK._replace(up=False), "unresolved: eth1 is down"),
        (
            Route(ifindex=3),
            LINK._replace(ethernet=False),
            "unresolved: eth1 carries no plain or 802.1Q Ethernet",
        ),
    ],
)
def test_why_there_is_no_way(route, link, words):
    assert way_to(Observed({3: link}, {}, {real(1): route}), real(1)).words == words


def test_an_address_nobody_has_looked_at():
    assert way_to(Observed(), real(1)).words == "unresolved: its route is not known yet"


def test_interfaces_prefer_global_ipv6_addresses():
    link = LINK._replace(
        addresses=(ip_address("fe80::1"), LOCAL, ip_address("fd00:200::1"), real(9))
    )
    found = interfaces(Observed({3: link, 1: LINK._replace(ifindex=1, ethernet=False)}))
    assert list(found) == [3]
    assert found[3].address4 == packed(LOCAL)
    assert found[3].address6 == packed(ip_address("fd00:200::1"))
    assert found[3].carrier == 3


@pytest.mark.parametrize(
    ("state", "mac", "expected"),
    [
        (NUD_REACHABLE, MAC, False),
        (NUD_DELAY, MAC, False),
        (NUD_PROBE, MAC, False),
        (NUD_PERMANENT, MAC, False),
        (NUD_STALE, MAC, True),
        (NUD_INCOMPLETE, b"", False),
        (NUD_FAILED, b"", True),
        (0, b"", True),
    ],
)
def test_which_neighbours_are_asked_for(state, mac, expected):
    target = (3, real(1))
    around = Observed({3: LINK}, {target: Neighbour(mac, state)})
    assert keepalive.due(around, [target]) == ([target] if expected else [])


def test_an_unknown_neighbour_is_asked_for_unless_its_link_is_down():
    target = (3, real(1))
    assert keepalive.due(Observed({3: LINK}), [target]) == [target]
    assert keepalive.due(Observed({3: LINK._replace(up=False)}), [target]) == []
    assert keepalive.due(Observed(), [target]) == []


def test_a_forgotten_neighbour_is_believed_until_it_fails():
    known = Neighbour(MAC, NUD_REACHABLE)
    assert keepalive.remembered(known, None) == Neighbour(MAC, NUD_STALE)
    assert keepalive.remembered(known, Neighbour(b"", NUD_INCOMPLETE)).usable
    assert not keepalive.remembered(known, Neighbour(b"", NUD_FAILED)).usable
    assert keepalive.remembered(None, None) is None
    failed = Neighbour(b"", NUD_FAILED)
    assert keepalive.remembered(failed, Neighbour(MAC, NUD_REACHABLE)).usable
