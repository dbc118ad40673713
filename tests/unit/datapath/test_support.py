# SPDX-License-Identifier: Apache-2.0
"""What packets are told of a service: persistence, masks, whose port a connection has."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from xlvs.datapath import support
from xlvs.datapath.records import ServiceFlag
from xlvs.model.service import (
    Destination,
    DestinationKey,
    Family,
    Protocol,
    Service,
    ServiceKey,
)

VIP = ip_address("10.0.0.1")
MARK = ServiceKey(protocol=Protocol.FWM, fwmark=1)
MARK6 = ServiceKey(protocol=Protocol.FWM, fwmark=1, family=Family.INET6)


def address(port, protocol=Protocol.TCP):
    return ServiceKey(protocol=protocol, address=VIP, port=port)


def server(port):
    return Destination(key=DestinationKey(address=ip_address("192.168.200.11"), port=port))


@pytest.mark.parametrize(
    ("key", "netmask", "expected"),
    [
        (MARK, "", "ff" * 16),
        (MARK, "255.255.255.0", "ff" * 15 + "00"),
        (MARK, "255.0.255.0", "ff" * 13 + "00ff00"),
        (MARK, "0.0.0.24", "ff" * 12 + "00000018"),
        (MARK6, "64", "ff" * 8 + "00" * 8),
        (MARK6, "33", "ff" * 4 + "80" + "00" * 11),
        (MARK6, "1", "80" + "00" * 15),
        (MARK6, "128", "ff" * 16),
    ],
)
def test_masks(key, netmask, expected):
    assert support.mask(Service(key=key, netmask=netmask)).hex() == expected


@pytest.mark.parametrize(
    ("key", "persistent", "port", "keeps"),
    [
        (address(80), False, 8080, False),
        (address(80), True, 8080, False),
        (address(80), False, 0, True),
        (address(0), True, 0, True),
        (address(0), True, 8080, True),
        (address(21), False, 2121, False),
        (address(21), True, 2121, True),  # its data connections
        (MARK, False, 0, True),
        (MARK, False, 8080, False),
        (MARK, True, 0, True),
        (MARK, True, 8080, True),
    ],
)
def test_whose_port_connections_have(key, persistent, port, keeps):
    service = Service(key=key, persistence_timeout=50 * persistent)
    assert support.keeps_port(service, server(port)) is keeps


def test_an_engine_without_persistence_is_asked_nothing():
    key = address(5060, Protocol.UDP)
    plain = Service(key=key, persistence_engine="sip")
    assert not support.flags(plain) & (ServiceFlag.SIP | ServiceFlag.PERSISTENT)
    assert "no effect" in support.remarks(plain, ())[0]
    whole = Service(key=key, persistence_engine="sip", persistence_timeout=60)
    assert support.flags(whole) == ServiceFlag.SIP | ServiceFlag.PERSISTENT
    assert support.remarks(whole, ()) == []


def test_call_ids_are_datagrams():
    tcp = Service(key=address(5060), persistence_engine="sip", persistence_timeout=60)
    (remark,) = support.remarks(tcp, ())
    assert "dropped" in remark
