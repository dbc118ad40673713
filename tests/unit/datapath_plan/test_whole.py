# SPDX-License-Identifier: Apache-2.0
"""A change of a few services comes to the same as working everything out anew."""

from __future__ import annotations

import sys
from ipaddress import ip_address
from itertools import zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.datapath_plan.build import (
    KEY,
    VIP,
    World,
    add,
    add_service,
    change,
    drain,
    drop,
    observed,
    real,
    undrain,
)
from tests.unit.datapath_plan.fake import FakePort, Sizes

from xlvs.datapath.addresses import slot
from xlvs.datapath.effective import Options
from xlvs.datapath.history import NO_CHANGES
from xlvs.datapath.observed import Neighbour
from xlvs.datapath.records import DestinationLoad
from xlvs.datapath.whole import Whole
from xlvs.io.director import REST
from xlvs.model.edit import (
    AddService,
    Clear,
    DeleteService,
    EditService,
    SetSettings,
    SetTimeouts,
    Zero,
)
from xlvs.model.service import Method, Protocol, Service, ServiceKey

OPTIONS = Options(local_addresses=(real(8), real(9)))
KEYS = [
    *(ServiceKey(protocol=Protocol.TCP, address=VIP, port=port) for port in (80, 21, 0)),
    ServiceKey(protocol=Protocol.UDP, address=ip_address("10.0.0.2"), port=80),
    ServiceKey(protocol=Protocol.FWM, fwmark=7),
]

keys = st.sampled_from(KEYS)
numbers = st.integers(0, 4)
weights = st.integers(0, 3)
methods = st.sampled_from([Method.NAT, Method.NAT, Method.DR, Method.TUN])
schedulers = st.sampled_from(["rr", "wrr", "wlc", "mh", "sh"])
services = st.builds(Service, key=keys, scheduler=schedulers) | st.builds(
    Service, key=keys, scheduler=st.just("mh"), stateless=st.booleans()
)
small = st.one_of(
    st.builds(AddService, service=services),
    st.builds(AddService, service=services),
    st.builds(EditService, service=services),
    st.builds(DeleteService, key=keys),
    st.builds(add, numbers, weights, methods, keys),
    st.builds(add, numbers, weights, methods, keys),
    st.builds(change, numbers, weights, methods, keys),
    st.builds(drop, numbers, keys),
    st.builds(drain, numbers, st.integers(0, 3), keys),
    st.builds(undrain, numbers, keys),
)
other = st.one_of(
    st.just(Clear()),
    st.just(Zero()),
    st.builds(SetTimeouts, tcp=st.integers(1, 3)),
    st.builds(
        SetSettings,
        values=st.dictionaries(
            st.sampled_from(["net.ipv4.vs.sloppy_tcp", "net.xlvs.hash_fallback"]),
            st.sampled_from(["0", "1"]),
            min_size=1,
        ),
    ),
    st.builds(add, numbers, weights, st.just(Method.FULLNAT), keys),
)
batches = st.lists(st.lists(small, min_size=1, max_size=4), max_size=12)
mixed = st.lists(st.lists(small | other, min_size=1, max_size=3), max_size=12)


def whole_of(director):
    """What the director keeps for small changes, and the same worked out anew."""
    return director._whole, Whole(director._have, director.effective, director.port.capacity)


def agree(director):
    kept, fresh = whole_of(director)
    assert kept.listed == fresh.listed
    assert kept.space.gaps == fresh.space.gaps
    assert kept._ids == fresh._ids
    assert {k: v for k, v in kept._members.items() if v} == fresh._members
    assert {k: v for k, v in kept._answering.items() if v} == fresh._answering
    assert kept._uses == fresh._uses
    assert kept._towards == fresh._towards
    assert kept.free.services._taken == set(director._have.tables.services)
    assert kept.free.destinations._taken == set(director._have.tables.destinations)


def nothing_is_left_to_do(world):
    director = world.director
    assert world.port.have().tables == director.effective.tables
    assert bytes(world.port.roles) == director.effective.tables.roles()
    assert world.port.real_servers == director.effective.tables.real_servers()
    listed = {d.key.address for _, ds in director.desired.services.values() for d in ds}
    before = director.effective
    assert set(before.ways) == listed
    assert director._change(director.desired, NO_CHANGES) == ()
    assert director.effective == before


@given(batches)
def test_small_changes_leave_what_everything_anew_would(sequence):
    world = World(options=OPTIONS)
    for batch in sequence:
        world.director.edit(batch, go_on=True)
        agree(world.director)
    nothing_is_left_to_do(world)


@given(batches, st.lists(st.sets(st.integers(1, 4)), max_size=3))
def test_neighbours_come_and_go(sequence, silent):
    world = World(options=OPTIONS)
    for batch, gone in zip_longest(sequence, silent, fillvalue=()):
        world.director.edit(batch, go_on=True)
        seen = observed()
        lost = {(3, real(n)): Neighbour(b"", 0) for n in gone}
        world.director.observe(seen._replace(neighbours={**seen.neighbours, **lost}))
        agree(world.director)
        nothing_is_left_to_do(world)


@given(mixed, st.sets(st.integers(0, 12)))
def test_small_and_great_changes_in_any_order(sequence, connected):
    world = World(options=OPTIONS)
    for now, batch in enumerate(sequence):
        world.director.edit(batch, go_on=True)
        for id_ in connected & world.port.destinations.keys():
            world.port.connected[id_] = DestinationLoad(active=1)
        world.director.reap(now * REST / 2)
    nothing_is_left_to_do(world)
    before = world.director.desired
    world.start()
    assert world.repairs == ()
    assert list(world.director.desired.services.items()) == list(before.services.items())
    assert world.director.desired == before


def calls_of(work):
    """How many calls of functions of this project it takes."""
    count = 0
    slot.cache_clear()

    def look(frame, event, _argument):
        nonlocal count
        count += event == "call" and frame.f_globals["__name__"].startswith("xlvs.")

    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def crowd(services):
    """A director of so many services with two destinations each."""
    world = World(FakePort(Sizes(services=256, destinations=1024, service_destinations=4096)))
    made = [ServiceKey(protocol=Protocol.TCP, address=VIP, port=80 + n) for n in range(services)]
    world.do(*(add_service("wrr", key) for key in made))
    world.do(*(add(n, 1, key=key) for key in made for n in (1, 2)))
    return world


@pytest.mark.parametrize(
    "edits",
    [
        [change(1, 5)],
        [drop(1)],
        [add(3)],
        [add_service("wlc", ServiceKey(protocol=Protocol.UDP, address=VIP, port=53))],
        [DeleteService(key=KEY)],
        [EditService(service=Service(key=KEY, scheduler="rr"))],
        [drain(2, 60)],
        [SetTimeouts(tcp=77)],
        [SetSettings(values={"net.ipv4.vs.sloppy_tcp": "1"})],
    ],
    ids=lambda edits: type(edits[0]).__name__,
)
def test_what_a_change_costs_does_not_depend_on_how_many_services_there_are(edits):
    few, many = crowd(3), crowd(30)
    assert calls_of(lambda: few.do(*edits)) == calls_of(lambda: many.do(*edits))


def reaping(world):
    """What it takes to let go of a server that has rested."""
    world.do(drop(1))
    world.director.reap(0.0)
    (gone,) = world.director._idle()
    count = calls_of(lambda: world.director.reap(REST))
    assert gone not in world.port.destinations
    agree(world.director)
    nothing_is_left_to_do(world)
    return count


def test_a_server_is_let_go_without_a_look_at_other_services():
    assert reaping(crowd(3)) == reaping(crowd(30))


def test_all_that_is_cleared_is_let_go():
    world = crowd(5)
    world.do(Clear())
    world.director.reap(0.0)
    world.director.reap(REST)
    assert not world.port.destinations
    assert not world.port.services
    agree(world.director)
    world.do(add_service("rr"), add(1))
    assert list(world.port.destinations) == [0]


def test_a_table_that_is_restored_over_itself_again_and_again_finds_room():
    world = World(FakePort(Sizes(services=8, destinations=64, service_destinations=256)))
    rules = [Clear(), add_service("wrr"), *(add(n) for n in range(1, 9))]
    for _ in range(40):
        world.do(*rules)
        agree(world.director)
    nothing_is_left_to_do(world)
