# SPDX-License-Identifier: Apache-2.0
"""Any sequence of edits: nobody is misrouted at any step, and nothing is left behind."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.datapath_plan.build import VIP, World, add, change, drain, drop, real, undrain

from xlvs.datapath.effective import Options
from xlvs.datapath.port import PortUse
from xlvs.datapath.records import DestinationLoad
from xlvs.datapath.tables import Tables
from xlvs.io.director import REST
from xlvs.model.edit import (
    AddLocalAddress,
    AddMark,
    AddService,
    Clear,
    DeleteLocalAddress,
    DeleteMark,
    DeleteService,
    EditService,
    SetSettings,
)
from xlvs.model.mark import MarkRule
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Method, Protocol, Service, ServiceKey, ServiceTimeouts

KEYS = [ServiceKey(protocol=Protocol.TCP, address=VIP, port=port) for port in (80, 443)]
OPTIONS = Options(local_addresses=(real(8), real(9)))

keys = st.sampled_from(KEYS)
numbers = st.integers(0, 4)
weights = st.integers(0, 5)
methods = st.sampled_from(Method)
locals_ = st.sampled_from([real(n) for n in (5, 6, 7, 8)])
schedulers = st.sampled_from(["rr", "wrr", "lc", "wlc", "mh", "sh"])
timeouts = st.builds(ServiceTimeouts, tcp=st.integers(0, 3), udp=st.integers(0, 1))
services = st.builds(Service, key=keys, scheduler=schedulers, timeouts=timeouts) | st.builds(
    Service, key=keys, scheduler=st.just("mh"), stateless=st.booleans(), flags=st.integers(0, 3)
)

rules = st.builds(MarkRule, mark=numbers, protocol=st.sampled_from([0, 6]))

values = st.dictionaries(
    st.sampled_from(["net.xlvs.profile", "sloppy_tcp", "drop_packet", "secure_tcp"]),
    st.sampled_from(["0", "1", "3", "ipvs", "modern", "default"]),
)

edits = st.one_of(
    st.builds(AddService, service=services),
    st.builds(AddService, service=services),
    st.builds(add, numbers, weights, methods, keys),
    st.builds(add, numbers, weights, methods, keys),
    st.builds(change, numbers, weights, methods, keys),
    st.builds(drop, numbers, keys),
    st.builds(drain, numbers, st.integers(0, 3), keys),
    st.builds(undrain, numbers, keys),
    st.builds(lambda key: DeleteService(key=key), keys),
    st.builds(EditService, service=services),
    st.builds(lambda a, k: AddLocalAddress(service=k, address=a), locals_, keys),
    st.builds(lambda a, k: DeleteLocalAddress(service=k, address=a), locals_, keys),
    st.just(Clear()),
    st.builds(SetSettings, values=values),
    st.builds(AddMark, rule=rules),
    st.builds(DeleteMark, number=st.just(1)),
)
batches = st.lists(st.lists(edits, min_size=1, max_size=4), max_size=12)
busy = st.sets(st.integers(0, 12))


def play(world, sequence, connected=frozenset()):
    for batch in sequence:
        world.director.edit(batch, go_on=True)
        for id_ in world.port.destinations:
            if id_ in connected:
                world.port.connected[id_] = DestinationLoad(active=1)
        for block in world.director.effective.tables.blocks():
            if block in connected:
                world.port.ports[block] = PortUse(1, 0)


@given(batches, busy)
def test_the_maps_hold_what_is_wanted_and_no_change_writes_nothing(sequence, connected):
    world = World(options=OPTIONS)
    play(world, sequence, connected)
    assert world.port.have().tables == world.director.effective.tables
    assert world.director.observe(world.director.observed) == ()
    live = list(world.director.effective.tables.blocks().values())
    assert len(live) == len(set(live)), "one local address and server have two blocks"
    for key, (_, wanted) in world.director.desired.services.items():
        assert len(world.servers(key)) == len(wanted)


@given(batches, busy)
def test_clear_and_rest_leave_nothing(sequence, connected):
    world = World(options=OPTIONS)
    play(world, sequence, connected)
    world.do(Clear())
    world.director.reap(1000.0)
    world.port.connected.clear()
    world.port.ports.clear()
    world.director.reap(1001.0)
    world.director.reap(1001.0 + REST)
    left = world.port.have().tables
    left = left._replace(interfaces={}, marks=Tables().marks)
    assert left._replace(settings=Tables().settings) == Tables()
    assert left.settings.services == 0
    assert left.settings.local_destinations == 0
    assert not world.port.egress
    assert not any(world.port.roles)


@given(batches, busy, st.booleans())
def test_a_restarted_director_writes_nothing(sequence, connected, with_file):
    world = World(options=OPTIONS)
    play(world, sequence, connected)
    before = world.director.desired
    world.start(with_file=with_file)
    if with_file:
        assert world.repairs == ()
        assert world.director.desired == before
    else:
        assert list(world.director.desired.services) == sorted(
            before.services, key=list(world.director.desired.services).index
        )


@settings(max_examples=200)
@given(batches, st.lists(edits, min_size=1, max_size=4), st.integers(0, 20))
def test_a_write_that_fails_is_undone(sequence, batch, fail_after):
    world = World(options=OPTIONS)
    play(world, sequence)
    desired, tables = world.director.desired, world.director.effective.tables
    world.port.fail_after = fail_after
    try:
        world.director.edit(batch, go_on=False)
    except Problem:
        assert world.director.desired == desired
        kept = world.port.have().tables
        assert world.port.egress == bool(kept.settings.local_destinations)
        assert kept.keys == tables.keys
        assert {k: kept.servers[i] for k, i in kept.keys.items()} == {
            k: tables.servers[i] for k, i in tables.keys.items()
        }
        world.port.fail_after = None
        world.director.observe(world.director.observed)
        assert world.port.have().tables == world.director.effective.tables


@given(batches, st.integers(0, 30))
def test_a_director_killed_between_two_writes_is_repaired(sequence, killed_after):
    world = World(options=OPTIONS)
    play(world, sequence)
    world.port.fail_after = killed_after
    world.director._revert = lambda _refused: None  # killed: nobody undoes anything
    for batch in sequence:
        try:
            world.director.edit(batch, go_on=False)
        except Problem as problem:
            if problem.code == Code.INTERNAL:
                break
    world.port.fail_after = None
    world.start()
    assert world.port.have().tables == world.director.effective.tables


@given(batches, busy, st.sets(st.integers(5, 9), min_size=1))
def test_a_restart_with_other_local_addresses(sequence, connected, pool):
    world = World(options=OPTIONS)
    play(world, sequence, connected)
    world.options = Options(local_addresses=tuple(real(n) for n in sorted(pool)))
    try:
        world.start()
    except Problem as problem:
        if "local addresses" not in problem.message:
            raise
        return
    assert world.port.have().tables == world.director.effective.tables
    assert world.director.observe(world.director.observed) == ()
