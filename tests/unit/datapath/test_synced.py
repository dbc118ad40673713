# SPDX-License-Identifier: Apache-2.0
"""Connections on their way between directors: numbers for addresses, and back."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from tests.unit.datapath_plan.build import KEY, World, add, add_service, destination

from xlvs.datapath.held import Held
from xlvs.datapath.records import (
    Method,
    ServiceFlag,
    State,
    Stream,
    StreamFlag,
    StreamSyn,
    SyncedFlag,
    Template,
    Tenant,
    Transport,
)
from xlvs.datapath.synced import Book, Refusal, Refused
from xlvs.datapath.word import CLOSED
from xlvs.model.edit import AddLocalAddress
from xlvs.model.service import Method as Forwarding
from xlvs.model.synced import Flag, Forward, Synced, TemplateState

CLIENT = ip_address("203.0.113.9")
HZ = 250


def world(method: Forwarding = Forwarding.DR, **service: object) -> World:
    made = World()
    made.do(add_service("rr", **service))
    if method is Forwarding.FULLNAT:
        made.do(AddLocalAddress(service=KEY, address=ip_address("192.0.2.7")))
    made.do(add(1, method=method), add(2, method=method))
    return made


def book(made: World) -> Book:
    return Book(made.director.effective.tables, HZ)


def held(made: World, n: int = 1, **changes: object) -> Held:
    tables = made.director.effective.tables
    address = destination(n).key.address
    id_, d = next(
        (i, d)
        for i, d in tables.destinations.items()
        if ip_address(d.address).ipv4_mapped == address
    )
    full = d.method == Method.FULLNAT
    return Held(
        tenant=Tenant(7, 1 << 20),
        transport=Transport.TCP,
        client=CLIENT,
        client_port=4000,
        virtual=KEY.address,
        virtual_port=KEY.port,
        destination=id_,
        state=State.ESTABLISHED,
        left=tables.settings.timeout[State.ESTABLISHED] - 2 * HZ,
        method=Method(d.method),
        block=tables.port_rows[d.port_row][0] if full else 0,
        local_port=5000 if full else 0,
    )._replace(**changes)


@pytest.mark.parametrize("method", Forwarding)
def test_there_and_back(method: Forwarding) -> None:
    here, there = world(method), world(method)
    original = held(here)
    synced = book(here).outgoing(original)
    assert synced is not None
    assert (
        synced.forward
        == {
            Forwarding.NAT: Forward.NAT,
            Forwarding.DR: Forward.DR,
            Forwarding.TUN: Forward.TUN,
            Forwarding.FULLNAT: Forward.FULLNAT,
        }[method]
    )
    assert synced.idle == pytest.approx(2)
    assert synced.server == destination(1).key.address.packed
    taken = book(there).incoming(synced)
    assert taken.left == original.left
    assert taken.destination == held(there).destination
    assert taken.state == State.ESTABLISHED
    assert (taken.block, taken.local_port) == (original.block, original.local_port)
    assert SyncedFlag.TEMPLATE not in SyncedFlag(taken.flags)


def test_what_is_active_says_so() -> None:
    made = world()
    active = book(made).outgoing(held(made))
    closing = book(made).outgoing(held(made, state=State.FIN_WAIT, left=HZ))
    assert active is not None
    assert closing is not None
    assert not active.inactive
    assert closing.inactive


def test_a_template() -> None:
    made = world(persistence_timeout=100)
    template = held(made, template=True, state=State.NONE, client_port=0, left=50 * HZ)
    assert book(made).outgoing(template) is None, "what it says besides is missing"
    synced = book(made).outgoing(template, Template(timeout=100 * HZ, assured=1))
    assert synced is not None
    assert synced.template
    assert synced.state == TemplateState.ASSURED
    assert (synced.timeout, synced.idle) == (100, 50)
    taken = book(made).incoming(synced)
    assert SyncedFlag(taken.flags) & SyncedFlag.TEMPLATE
    assert SyncedFlag(taken.flags) & SyncedFlag.ASSURED
    assert (taken.left, taken.template_timeout) == (50 * HZ, 100 * HZ)
    sip = book(made).outgoing(template, Template(timeout=100 * HZ, call_id=7))
    assert sip is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"virtual_port": 81}, Refusal.SERVICE),
        ({"virtual": ip_address("10.9.9.9").packed}, Refusal.SERVICE),
        ({"fwmark": 7}, Refusal.SERVICE),
        ({"server": ip_address("172.16.9.9").packed}, Refusal.SERVER),
        ({"server_port": 81}, Refusal.SERVER),
        ({"protocol": 51}, Refusal.PROTOCOL),
        ({"protocol": 0}, Refusal.PROTOCOL),
        ({"state": 11}, Refusal.STATE),
        ({"state": -1}, Refusal.STATE),
        ({"idle": 10_000.0}, Refusal.OVER),
        ({"engine": b"sip"}, Refusal.ENGINE),
    ],
)
def test_what_is_not_taken(changes: dict, reason: Refusal) -> None:
    made = world()
    synced = book(made).outgoing(held(made))
    assert synced is not None
    with pytest.raises(Refused) as caught:
        book(made).incoming(synced._replace(**changes))
    assert caught.value.reason is reason


def test_fullnat_without_its_local_address_is_not_taken() -> None:
    made = world(Forwarding.FULLNAT)
    synced = book(made).outgoing(held(made))
    assert synced is not None
    for local in (b"", ip_address("192.0.2.8").packed):
        with pytest.raises(Refused) as caught:
            book(made).incoming(synced._replace(local=local))
        assert caught.value.reason is Refusal.LOCAL


def test_the_kernel_s_messages_have_no_time_of_their_own() -> None:
    made = world()
    plain = Synced(
        protocol=6,
        client=CLIENT.packed,
        client_port=1,
        virtual=KEY.address.packed,
        virtual_port=KEY.port,
        server=destination(2).key.address.packed,
        server_port=destination(2).key.port,
        flags=Flag.INACTIVE | Forward.TUN,
        state=4,
    )
    taken = book(made).incoming(plain)
    assert taken.left == made.director.effective.tables.settings.timeout[State.FIN_WAIT]
    assert taken.destination == held(made, 2).destination


@pytest.mark.parametrize("state", sorted(CLOSED))
def test_what_an_operator_closed_is_closed_for_others(state: State) -> None:
    made = world(Forwarding.NAT)
    synced = book(made).outgoing(held(made, state=state, left=HZ))
    assert synced is not None
    assert synced.state == State.CLOSE
    assert book(made).incoming(synced).state is State.CLOSE


def test_what_is_done_to_its_segments_travels_too() -> None:
    made = world(Forwarding.NAT)
    numbers = {
        name: number
        for number, name in enumerate(Stream._fields, 100)
        if name not in {"flags", "syn"}
    }
    told = ServiceFlag.PROXY_V2 | ServiceFlag.PROXY_ID | StreamFlag.HEADED
    syn = StreamSyn.SYN_PROXY | StreamSyn.ANSWERED | StreamSyn.SERVER_SCALE
    record = Stream(flags=told | ServiceFlag.OWN_TIMEOUTS, syn=int(syn), **numbers)
    synced = book(made).outgoing(held(made, special=True), None, record)
    assert synced is not None
    taken = book(made).incoming(synced)
    assert taken.flags & SyncedFlag.STREAM
    # Its time-outs are the taking service's own.
    assert taken.stream == record._replace(flags=int(told))


def test_without_a_stream_nothing_is_said_of_one() -> None:
    made = world()
    synced = book(made).outgoing(held(made))
    assert synced is not None
    assert not book(made).incoming(synced).flags & SyncedFlag.STREAM
