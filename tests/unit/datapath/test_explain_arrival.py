# SPDX-License-Identifier: Apache-2.0
"""Where a packet to be explained comes in, if nobody says it."""

from __future__ import annotations

from ipaddress import ip_address

import msgspec
import pytest

from xlvs.datapath.attach import Attachment
from xlvs.datapath.explain.arrival import MADE_UP_MAC, Arrival, arrival, sender
from xlvs.datapath.observed import NUD_REACHABLE, Link, Neighbour, Observed, Route
from xlvs.model.problem import Problem
from xlvs.model.service import Protocol
from xlvs.wire.explanation import ExplainRequest

ROUTER = ip_address("10.5.0.254")
MAC = bytes.fromhex("02000000fe01")
LINKS = {
    1: Link(1, "eth0", b"\x02" * 6, 1500, up=True),
    2: Link(2, "eth1", b"\x04" * 6, 1500, up=True),
    3: Link(3, "eth0.7", b"\x02" * 6, 1496, up=True, kind="vlan", parent=1, vlan=7),
    4: Link(4, "eth9", b"\x06" * 6, 1500, up=True),
}
OBSERVED = Observed(links=LINKS, neighbours={(1, ROUTER): Neighbour(MAC, NUD_REACHABLE)})
REQUEST = ExplainRequest(
    protocol=Protocol.TCP,
    source=ip_address("1.2.3.4"),
    destination=ip_address("10.0.0.1"),
    destination_port=80,
)


def where(there: str = "xdp", /, route: Route | None = None, **changes: object) -> Arrival:
    attached = [
        Attachment("eth0", 1, there, egress=False),
        Attachment("eth1", 2, there, egress=False),
    ]
    route = route or Route(ifindex=1, gateway=ROUTER)
    return arrival(msgspec.structs.replace(REQUEST, **changes), OBSERVED, route, attached)


def test_the_route_back_says_the_interface_and_the_sender() -> None:
    found = where()
    assert (found.link.name, found.hook) == ("eth0", "xdp")
    assert (found.wanted.source_mac, found.wanted.destination_mac) == (MAC, b"\x02" * 6)
    assert found.title == "tcp 1.2.3.4:40000 > 10.0.0.1:80 [S], TTL 64, in by eth0 (xdp)"
    assert found.chosen == [
        "eth0: the route to 1.2.3.4 leads there",
        "the client's port 40000 is made up",
    ]


def test_what_is_asked_for_is_not_chosen() -> None:
    found = where(interface="eth1", source_port=5)
    assert (found.link.name, found.chosen) == ("eth1", [])
    assert found.wanted.source_mac == MADE_UP_MAC


def test_generic_xdp_is_xdp() -> None:
    assert where("xdp-generic").hook == "xdp"
    assert where("tc").hook == "tc"
    found = where("tc", hook="xdp")
    assert found.hook == "xdp"
    assert "eth0 is attached by tc: this is how it would be" in found.chosen


def test_a_vlan_is_a_tag_on_its_carrier() -> None:
    found = where(route=Route(ifindex=3))
    assert (found.link.name, found.wanted.vlan) == ("eth0", 7)
    with pytest.raises(Problem, match="tagged frames cannot be made"):
        where("tc", route=Route(ifindex=3))


def test_clients_on_the_director() -> None:
    lo = Link(9, "lo", bytes(6), 65536, up=True, ethernet=False)
    observed = OBSERVED._replace(links={**LINKS, 9: lo})
    attached = [Attachment("lo", 9, "tc", egress=False), Attachment("eth0", 1, "xdp", egress=False)]
    found = arrival(REQUEST, observed, Route(local=True, ifindex=9), attached)
    assert (found.link.name, found.hook) == ("lo", "tc")
    assert (found.wanted.source_mac, found.wanted.destination_mac) == (bytes(6), bytes(6))
    assert found.chosen[0] == "lo: 1.2.3.4 is the director's own address"


def test_where_the_director_is_not() -> None:
    found = where(route=Route(ifindex=4))
    assert found.link.name == "eth0"
    assert found.chosen[0] == (
        "eth0: the route to 1.2.3.4 leads to eth9, where the director is not attached"
    )
    found = where(route=Route(error="network unreachable"))
    assert found.chosen[0] == "eth0: there is no route to 1.2.3.4 (network unreachable)"
    found = where(interface="eth9")
    assert "the director is not attached to eth9: this is how it would be" in found.chosen


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"interface": "eth7"}, "no interface eth7"),
        ({"hook": "iptables"}, "no such hook"),
        ({"mark": 5}, "only a packet at the TC hook"),
        ({"length": 1501}, "1500 IP bytes at most"),
        ({"route": Route(local=True)}, "the director's own address"),
    ],
)
def test_refusals(changes: dict[str, object], words: str) -> None:
    with pytest.raises(Problem, match=words):
        where(**changes)  # type: ignore[arg-type]


def test_an_error_comes_from_its_sender() -> None:
    error = {"error": "too-big", "source_port": 80, "sender": ROUTER}
    found = where(**error)
    assert found.title == (
        "icmp too-big from 10.5.0.254 about tcp 1.2.3.4:80 > 10.0.0.1:80 [S], TTL 64, "
        "in by eth0 (xdp)"
    )
    assert (found.wanted.source, found.wanted.sender) == (REQUEST.source, ROUTER)
    assert found.chosen == [
        "eth0: the route to 10.5.0.254 leads there",
        "the MTU 1280 that it asks for is made up",
    ]
    asked = msgspec.structs.replace(REQUEST, error="too-big")
    assert sender(asked) == REQUEST.destination
    assert sender(REQUEST) == REQUEST.source
    with pytest.raises(Problem, match=r"1\.2\.3\.4: a port is missing: the error is about it"):
        where(error="too-big")
    with pytest.raises(Problem, match="only an ICMP error has a sender"):
        where(sender=ROUTER)
