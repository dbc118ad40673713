# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ipaddress import ip_address, ip_interface

import pytest

from xlvs.datapath.observed import Way
from xlvs.datapath.records import NextHop
from xlvs.io.checkers.passage import Impossible, far_address, passage
from xlvs.model.service import (
    Address,
    Destination,
    DestinationKey,
    Method,
    Protocol,
    Service,
    ServiceKey,
)

VIP, RIP, OWN, FAR, LOCAL = map(
    ip_address, ("10.9.0.1", "10.0.0.11", "10.0.0.1", "10.1.0.1", "10.0.0.101")
)
HOP = NextHop(ifindex=3, dst_mac=b"\2" * 6, src_mac=b"\4" * 6)
WAY = Way("", hop=HOP, gateway=RIP, source=OWN, ifindex=3)
SERVICE = Service(
    key=ServiceKey(protocol=Protocol.TCP, address=VIP, port=80), local_addresses=(LOCAL,)
)


def destination(method: str, port: int = 8080) -> Destination:
    return Destination(key=DestinationKey(address=RIP, port=port), method=Method(method))


@pytest.mark.parametrize(
    ("method", "source", "peer", "claims", "by_gateway"),
    [
        ("dr", OWN, (VIP, 80), True, False),
        ("tun", OWN, (VIP, 80), False, False),
        ("nat", FAR, (RIP, 8080), False, True),
        ("fullnat", LOCAL, (RIP, 8080), False, False),
    ],
)
def test_methods(
    method: str, source: Address, peer: tuple[Address, int], claims: bool, by_gateway: bool
) -> None:
    going = passage(SERVICE, destination(method), WAY, None, FAR)
    assert (going.source, going.peer) == (source, peer)
    assert (going.claims, going.by_gateway) == (claims, by_gateway)


def test_nobody_hears_arp_behind_a_router() -> None:
    way = WAY._replace(gateway=ip_address("10.0.0.254"))
    assert not passage(SERVICE, destination("dr"), way, None, None).claims


@pytest.mark.parametrize(
    ("service", "way", "cause"),
    [
        (Service(key=ServiceKey(protocol=Protocol.SCTP, address=VIP, port=53)), WAY, "only TCP"),
        (Service(key=ServiceKey(protocol=Protocol.FWM, fwmark=1)), WAY, "only TCP"),
        (SERVICE, Way("unresolved: no route"), "the way to it is unresolved: no route"),
        (
            Service(key=ServiceKey(protocol=Protocol.TCP, address=ip_address("fd00::1"), port=1)),
            WAY,
            "the director has no IPv6 address to ask from",
        ),
    ],
)
def test_impossible(service: Service, way: Way, cause: str) -> None:
    with pytest.raises(Impossible, match=cause):
        passage(service, destination("dr"), way, None, None)


@pytest.mark.parametrize(
    ("here", "far"),
    [
        ([(3, "10.0.0.1/24"), (2, "10.1.0.1/24")], "10.1.0.1"),
        ([(3, "10.0.0.1/24"), (3, "10.1.0.1/24")], None),  # one link for both
        ([(3, "10.0.0.1/24"), (2, "10.0.0.2/24")], None),  # two links into one network
        ([(3, "10.0.0.1/24"), (1, "10.9.0.1/32"), (1, "127.0.0.1/8")], None),
        ([(2, "fd00:1::1/64"), (2, "169.254.1.1/16")], None),
    ],
)
def test_far_address(here: list[tuple[int, str]], far: str | None) -> None:
    found = far_address([(index, ip_interface(each)) for index, each in here], WAY, RIP)
    assert found == (None if far is None else ip_address(far))
