# SPDX-License-Identifier: Apache-2.0
"""Between the daemon and the VRRP process."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlvs.io.vrrp import messages as m
from xlvs.model.notification import Command
from xlvs.model.service import Family
from xlvs.model.tracking import Bfd, Script, Tracked
from xlvs.model.vrrp import (
    Authentication,
    AuthType,
    Group,
    Instance,
    StaticNetwork,
    VirtualAddress,
    VirtualRoute,
)

INSTANCE = Instance(
    name="v",
    interface="eth0",
    router_id=5,
    addresses=(VirtualAddress(address=ip_interface("10.0.0.1/24"), peer=ip_address("10.0.0.2")),),
    excluded=(VirtualAddress(address=ip_interface("2001:db8::1/64")),),
    routes=(VirtualRoute(words=("default",), family=Family.INET6),),
    unicast_peers=(ip_address("fe80::1"),),
    unicast_peer_ttls=((ip_address("fe80::1"), 1, 2),),
    authentication=Authentication(type=AuthType.HMAC, keys=((1, bytes(range(256))[:32]),)),
    track_scripts=(Tracked("s", weight=-5, reverse=True),),
)
NETWORK = m.Network(
    instances=(INSTANCE,),
    groups=(Group(name="g", instances=("v",)),),
    static=StaticNetwork(addresses=INSTANCE.addresses),
    scripts=(Script(name="s", command=Command(("/bin/true",))),),
    bfds=(Bfd(name="b", neighbour=ip_address("10.0.0.9")),),
)


@pytest.mark.parametrize("message", [NETWORK, m.Hold(3.5), m.Stop(), m.AskStatistics()])
def test_down(message):
    assert m.down(m.line(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        m.Ready(),
        m.Refused("x"),
        m.BfdNow(name="b", up=True),
        m.StatisticsNow(instances=(), strangers=0, late_max=0.0),
    ],
)
def test_up(message):
    assert m.up(m.line(message)) == message
    assert m.line(message).count(b"\n") == 1


def test_a_file_need_not_say_what_it_is():
    assert m.network(b'{"instances":[]}') == m.Network()
    assert m.network(m.line(NETWORK)) == NETWORK


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_what_cannot_be_read_is_a_decode_error(data):
    with pytest.raises(msgspec.DecodeError):
        m.down(data)


@pytest.mark.parametrize("text", ["10.0.0.1/99", "", "x", 7, None])
def test_addresses_are_checked(text):
    data = msgspec.json.encode({"type": "Network", "static": {"addresses": [{"address": text}]}})
    with pytest.raises(msgspec.DecodeError):
        m.down(data)
