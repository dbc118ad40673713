# SPDX-License-Identifier: Apache-2.0
"""rtnetlink by hand: what pyroute2 packs is read, and what is packed here pyroute2 reads."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from xlvs.io.vrrp import netlink
from xlvs.model.vrrp import VirtualAddress


def packed(message, type_, attributes, **fields):
    message["header"]["type"] = type_
    for key, value in fields.items():
        message[key] = value
    message["attrs"] = attributes
    message.encode()
    return bytes(message.data)


def link(type_=netlink.NEWLINK, flags=0x1 | 0x40):
    attributes = [("IFLA_IFNAME", "eth7"), ("IFLA_ADDRESS", "02:00:00:00:00:07")]
    return packed(ifinfmsg(), type_, attributes, index=7, flags=flags)


def test_a_link():
    (seen,) = netlink.parse(link())
    assert (seen.index, seen.name, seen.mac.hex()) == (7, "eth7", "020000000007")
    assert seen.up
    assert not seen.gone


@pytest.mark.parametrize("flags", [0, 0x1, 0x40])
def test_up_needs_the_administrator_and_the_cable(flags):
    (seen,) = netlink.parse(link(flags=flags))
    assert not seen.up


def test_a_link_that_goes():
    (seen,) = netlink.parse(link(netlink.DELLINK))
    assert seen.gone
    assert not seen.up


def test_a_port_that_leaves_its_bridge_is_still_there():
    data = bytearray(link(netlink.DELLINK))
    data[16] = 7  # AF_BRIDGE
    assert netlink.parse(bytes(data)) == []


def address(type_=netlink.NEWADDR, family=2, flags=0):
    text = "10.9.0.1" if family == 2 else "fe80::1"
    attributes = [("IFA_ADDRESS", text), ("IFA_FLAGS", flags)]
    if family == 2:
        attributes.append(("IFA_LOCAL", text))
    return packed(ifaddrmsg(), type_, attributes, index=7, prefixlen=24, family=family)


@pytest.mark.parametrize(
    ("family", "flags", "secondary", "usable"),
    [(2, 0, False, True), (2, 1, True, True), (10, 0, False, True), (10, 0x40, False, False)],
)
def test_an_address(family, flags, secondary, usable):
    (seen,) = netlink.parse(address(family=family, flags=flags))
    assert str(seen.address) == ("10.9.0.1/24" if family == 2 else "fe80::1/24")
    assert (seen.secondary, seen.usable, seen.gone) == (secondary, usable, False)


def test_several_messages_in_one_datagram():
    def padded(data):
        return data + bytes(-len(data) % 4)

    assert len(netlink.parse(padded(link()) + padded(address()) + link())) == 3


def read_back(wanted, kind=netlink.NEWADDR):
    message = ifaddrmsg(netlink.address_request(kind, netlink.CREATE, 7, wanted))
    message.decode()
    return message


def test_a_request_for_an_ipv4_address():
    wanted = VirtualAddress(
        address=ip_interface("10.9.0.100/24"),
        label="eth0:1",
        broadcast=ip_address("10.9.0.255"),
        scope="link",
        no_prefix_route=True,
    )
    message = read_back(wanted)
    assert (message["index"], message["prefixlen"], message["scope"]) == (7, 24, 253)
    assert message.get_attr("IFA_LOCAL") == "10.9.0.100"
    assert message.get_attr("IFA_ADDRESS") == "10.9.0.100"
    assert message.get_attr("IFA_BROADCAST") == "10.9.0.255"
    assert message.get_attr("IFA_LABEL") == "eth0:1"
    assert message.get_attr("IFA_FLAGS") == 0x80 | 0x200
    assert message.get_attr("IFA_CACHEINFO") is None


def test_a_peer():
    wanted = VirtualAddress(address=ip_interface("10.0.0.1/32"), peer=ip_address("10.0.0.2"))
    message = read_back(wanted)
    assert message.get_attr("IFA_LOCAL") == "10.0.0.1"
    assert message.get_attr("IFA_ADDRESS") == "10.0.0.2"


@pytest.mark.parametrize(
    ("text", "preferred", "expected"),
    [("2001:db8::1/128", None, 0), ("2001:db8::1/64", None, None), ("2001:db8::1/128", 60, 60)],
)
def test_a_host_address_of_ipv6_is_deprecated_as_keepalived_has_it(text, preferred, expected):
    message = read_back(VirtualAddress(address=ip_interface(text), preferred_lifetime=preferred))
    cache = message.get_attr("IFA_CACHEINFO")
    assert (cache["ifa_preferred"] if cache else None) == expected
    assert message.get_attr("IFA_FLAGS") & 0x2, "no duplicate address detection"


@given(st.binary(max_size=300))
def test_no_message_does_harm(data):
    netlink.parse(data)


@given(st.integers(0, 200), st.integers(0, 255))
def test_no_broken_message_does_harm(at, value):
    data = bytearray(link() + address())
    data[at % len(data)] = value
    netlink.parse(bytes(data))
