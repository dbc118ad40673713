# SPDX-License-Identifier: Apache-2.0
"""Health takes real servers out of rotation and puts them back; what is asked for stays."""

from __future__ import annotations

import pytest
from tests.unit.datapath_plan.build import (
    KEY,
    World,
    add,
    add_service,
    change,
    destination,
    drop,
    observed,
)

from xlvs.datapath.addresses import packed, slot
from xlvs.datapath.records import DestinationLoad
from xlvs.engine.health.standing import OUT, Standing
from xlvs.io.adoption import adopt


@pytest.fixture
def world():
    world = World()
    world.do(add_service("rr"), add(1), add(2), add(3))
    return world


def key(n):
    return destination(n).key


def stand(world, places=None, sorry=None):
    director = world.director
    director.standing = {KEY: Standing(places or {}, sorry)} if places or sorry else {}
    return director.stand([KEY])


def rotated(world):
    _, listed = world.director.rotated.services[KEY]
    return {int(each.key.address) & 0xFF: each.weight for each in listed}


def asked(world):
    _, listed = world.director.desired.services[KEY]
    return {int(each.key.address) & 0xFF: each.weight for each in listed}


def ids(world):
    director = world.director
    _, listed = director.rotated.services[KEY]
    found = director.effective.destination_ids[KEY]
    return {int(d.key.address) & 0xFF: id_ for d, id_ in zip(listed, found, strict=True)}


def test_a_server_leaves_and_comes_back_as_the_newest(world):
    before = ids(world)
    stand(world, {key(1): OUT})
    assert rotated(world) == {13: 1, 12: 1}
    assert asked(world) == {13: 1, 12: 1, 11: 1}
    assert world.servers() == [3, 2]
    stand(world)
    assert list(rotated(world)) == [11, 13, 12], "as if it had been added again"
    assert ids(world) == before, "its connections and counters are its own again"
    assert world.director.observe(world.director.observed) == ()


def test_its_connections_stay_while_it_is_out(world):
    id_ = ids(world)[11]
    world.port.connected[id_] = DestinationLoad(active=3)
    stand(world, {key(1): OUT})
    assert id_ in world.port.destinations
    stand(world)
    assert ids(world)[11] == id_


def test_a_weight_of_its_own(world):
    stand(world, {key(2): 0})
    assert rotated(world)[12] == 0
    assert asked(world)[12] == 1
    assert world.port.destinations[ids(world)[12]].weight == 0


def test_the_sorry_server(world):
    sorry = destination(9)
    stand(world, {key(n): OUT for n in (1, 2, 3)}, sorry)
    assert rotated(world) == {19: 1}
    stand(world)
    assert set(rotated(world)) == {11, 12, 13}


def test_edits_are_of_what_is_asked_for(world):
    stand(world, {key(1): OUT})
    world.do(change(1, 7))
    assert rotated(world) == {13: 1, 12: 1}
    assert asked(world)[11] == 7
    stand(world)
    assert rotated(world)[11] == 7
    stand(world, {key(1): OUT})
    world.do(drop(1))
    assert set(asked(world)) == {12, 13}
    assert world.saved[-1].services[0].destinations == list(world.director.desired.services[KEY][1])


def test_a_restart_brings_nobody_back(world):
    stand(world, {key(1): OUT})
    world.director.standing = dict(world.director.standing)
    again = World(world.port)
    again.director.standing = world.director.standing
    again.director.start(
        adopt(world.port.have(), lambda: world.saved[-1], running=True), observed()
    )
    assert rotated(again) == {13: 1, 12: 1}
    assert asked(again) == {13: 1, 12: 1, 11: 1}


def test_what_changes_nothing_writes_nothing(world):
    stand(world, {key(1): OUT})
    assert stand(world, {key(1): OUT}) == ()
    assert world.director.stand([]) == ()


def test_an_address_that_another_director_holds_is_nobody_s_here(world):
    address = KEY.address
    role = world.port.roles[slot(packed(address))]
    assert role
    assert world.director.hold(frozenset({address}))
    assert not world.port.roles[slot(packed(address))]
    assert world.director.hold(frozenset({address})) == ()
    world.do(change(1, 5))
    assert not world.port.roles[slot(packed(address))]
    assert world.director.hold(frozenset())
    assert world.port.roles[slot(packed(address))] == role
