# SPDX-License-Identifier: Apache-2.0
"""The connection table, as other directors are to know it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from tests.unit.datapath_plan.test_connections import HZ, LAYOUT, NOW, entry, four, image

from xlvs.datapath.connections import Server, Shape
from xlvs.datapath.records import (
    CONNECTION_GENERATION_SHIFT,
    ConnectionFlag,
    Entry4,
    Entry6,
    Line4,
    Line6,
    Method,
    State,
    Tenant,
    Transport,
)
from xlvs.datapath.synced import Origin, Reading, Remembered, sync_state, table_state
from xlvs.model.synced import SCTP, TCP, UDP, Flag, Forward

SERVER = ip_address("192.168.200.11").packed
NOBODY = 77
CLIENT, VIP = ip_address("192.168.100.9"), ip_address("10.0.0.1")
TIMEOUTS = {State.ESTABLISHED: 900, State.UDP: 300, State.FIN_WAIT: 120}


def reading(templates=None, *, v6=False):
    origin = Origin(Server("192.168.200.11", 8080), SERVER, Method.TUN, fwmark=5)
    return Reading(
        Shape.of(LAYOUT, v6=v6),
        HZ,
        lambda destination: None if destination == NOBODY else origin,
        lambda block: bytes((192, 168, 200, 100 + block)),
        template=(templates or {}).get,
        timeout=lambda state, _, own: (50 if own else TIMEOUTS[state]) * HZ,
    )


def one(place, now=NOW):
    (found,) = reading().read(image(Line4(way=(place, Entry4()))), now)
    return found


def test_a_connection_with_all_it_has():
    found = one(four(), NOW + 100 * HZ)
    assert (found.protocol, found.state, found.flags) == (TCP, 1, Forward.NAT)
    assert (found.client, found.client_port) == (CLIENT.packed, 30000)
    assert (found.virtual, found.virtual_port) == (VIP.packed, 80)
    assert (found.server, found.server_port, found.fwmark) == (SERVER, 8080, 5)
    assert (found.timeout, found.idle) == (900.0, 100.0)
    assert (found.local, found.local_port) == (b"", 0)


@pytest.mark.parametrize(
    ("method", "more", "flags"),
    [
        (Method.DR, 0, 0x83),
        (Method.TUN, 0, 0x82),
        (Method.NAT, ConnectionFlag.INACTIVE, 0x100),
        (Method.DR, ConnectionFlag.ON_DIRECTOR, 0x81),
        (Method.FULLNAT, 0, 5),
    ],
)
def test_flags_are_ipvss(method, more, flags):
    assert one(four(method=method, flags=ConnectionFlag.LIVE | more)).flags == flags


def test_fullnat_tells_its_local_end():
    found = one(four(method=Method.FULLNAT, block=1, local_port=1024))
    assert (found.local, found.local_port) == (bytes((192, 168, 200, 101)), 1024)


def test_time_outs_of_the_service_itself():
    flags = ConnectionFlag.LIVE | ConnectionFlag.OWN_TIMEOUTS
    found = one(four(flags=flags, expires=NOW + 20 * HZ))
    assert (found.timeout, found.idle) == (50.0, 30.0)


def test_a_longer_life_than_the_time_out_is_no_idleness_below_zero():
    assert one(four(expires=NOW + 1000 * HZ)).idle == 0.0


@pytest.mark.parametrize(
    "place",
    [
        four(flags=ConnectionFlag.CLAIMED),
        four(flags=ConnectionFlag.LIVE | ConnectionFlag.ANSWER),
        four(destination=NOBODY),
        four(expires=NOW),
    ],
)
def test_what_is_no_connection_is_not_told(place):
    assert reading().read(image(Line4(way=(place, Entry4()))), NOW) == []


def test_ipv6_and_udp():
    client, vip = ip_address("2001:db8::9").packed, ip_address("fd00:1::1").packed
    place = Entry6(entry(State.UDP, protocol=Transport.UDP), client, vip, 5000, 53)
    (found,) = reading(v6=True).read(image(Line6(way=(place,))), NOW)
    assert (found.protocol, found.state, found.client, found.virtual) == (UDP, 0, client, vip)


GENERATION = 0xABC << CONNECTION_GENERATION_SHIFT


@pytest.mark.parametrize("call_id", [b"", b"abc@x"])
def test_a_template(call_id):
    place = four(State.NONE, protocol=Transport.TEMPLATE, expires=NOW + 40 * HZ, method=Method.DR)
    templates = {Tenant(7 * 2, GENERATION): Remembered(100 * HZ, assured=True, call_id=call_id)}
    lines = image(Line4(way=(place, Entry4())))
    (found,) = reading(templates).read(lines, NOW, first=7)
    assert found.template
    assert found.flags == 0x1182  # of its server; the entry's is always DR
    assert (found.client_port, found.state, found.timeout, found.idle) == (0, 1, 100.0, 60.0)
    assert (found.engine, found.engine_data) == (b"sip" if call_id else b"", call_id)
    assert reading({}).read(lines, NOW, first=7) == []  # it went meanwhile


def test_a_template_of_a_mark_has_no_protocol():
    protocol = Transport.TEMPLATE | Transport.IP
    place = Entry4(entry(State.NONE, protocol=protocol), int(CLIENT), 1, 0, 0)
    templates = {Tenant(0, GENERATION): Remembered(2000 * HZ)}
    (found,) = reading(templates).read(image(Line4(way=(place, Entry4()))), NOW)
    assert (found.protocol, found.virtual, found.server_port) == (0, bytes((0, 0, 0, 1)), 0)


def test_an_abandoned_template_is_not_told():
    place = four(State.ABANDONED, protocol=Transport.TEMPLATE)
    templates = {Tenant(0, GENERATION): Remembered(100)}
    assert reading(templates).read(image(Line4(way=(place, Entry4()))), NOW) == []


def test_places_are_picked_if_they_still_are_the_tenants():
    other = four(generation=0xABD)
    table = image(Line4(way=(four(), Entry4())), Line4(way=(Entry4(), other)))
    wanted = [
        Tenant(0, GENERATION),
        Tenant(3, GENERATION),  # another's by now
        Tenant(3, 0xABD << CONNECTION_GENERATION_SHIFT),
        Tenant(0, GENERATION),  # twice
        Tenant(1, 0),
    ]
    found = reading().pick(table, wanted, NOW)
    assert len(found) == 2
    assert {each.client_port for each in found} == {30000}


def test_states_there_and_back():
    for protocol, states in ((TCP, range(11)), (UDP, range(1)), (SCTP, range(14))):
        for state in states:
            assert sync_state(table_state(protocol, state)) == state
    assert table_state(SCTP, 8) is State.SCTP_ESTABLISHED
    assert table_state(UDP, 0) is State.UDP


@pytest.mark.parametrize(("protocol", "state"), [(TCP, 11), (UDP, 1), (SCTP, 14), (50, 0)])
def test_no_such_state(protocol, state):
    with pytest.raises(ValueError, match="has no state"):
        table_state(protocol, state)


def test_what_was_asked_is_forgotten_when_told():
    timeouts = [900 * HZ, 60 * HZ]
    read = reading()
    read._timeout = lambda *_: timeouts.pop(0)
    lines = image(Line4(way=(four(), Entry4())))
    assert [read.read(lines, NOW)[0].timeout for _ in range(2)] == [900.0, 900.0]
    read.forget()
    assert read.read(lines, NOW)[0].timeout == 60.0
    assert Flag.TEMPLATE not in Flag(read.read(lines, NOW)[0].flags)
