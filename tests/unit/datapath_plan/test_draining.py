# SPDX-License-Identifier: Apache-2.0
"""A real server that is drained: its weight, its deadline, and what ends it."""

from __future__ import annotations

import pytest
from tests.unit.datapath_plan.build import (
    KEY,
    World,
    add,
    add_service,
    change,
    destination,
    drain,
    drop,
    observed,
    real,
    undrain,
)

from xlvs.datapath.records import DestinationLoad
from xlvs.io.adoption import adopt
from xlvs.model.drain import Drain, Drained
from xlvs.model.edit import Clear, DeleteService, SetSettings
from xlvs.model.problem import Code, Problem
from xlvs.model.service import DestinationKey


@pytest.fixture
def world():
    world = World()
    world.do(add_service("wrr"), add(1, 3), add(2, 5))
    return world


def drains(world):
    return {each.destination: drain for each, drain in world.director.desired.drains.items()}


def weights(world):
    _, listed = world.director.desired.services[KEY]
    return {int(each.key.address) & 0xFF: (each.weight, each.weight_before) for each in listed}


def in_maps(world, n):
    key = world.director.effective.destination_ids[KEY]
    at = [int(d.key.address) & 0xFF for d in world.director.desired.services[KEY][1]].index(10 + n)
    return world.port.destinations[key[at]].weight


def test_the_weight_goes_and_comes_back(world):
    world.do(drain(1, 60))
    assert weights(world) == {11: (0, 3), 12: (5, 0)}
    assert in_maps(world, 1) == 0
    assert drains(world) == {destination(1).key: Drain(since=world.wall, until=world.wall + 60)}
    world.do(undrain(1))
    assert weights(world) == {11: (3, 0), 12: (5, 0)}
    assert in_maps(world, 1) == 3
    assert drains(world) == {}


def test_a_second_drain_changes_the_deadline_and_nothing_else(world):
    world.do(drain(1, 60))
    world.wall += 10
    world.do(drain(1, 0))
    assert drains(world) == {destination(1).key: Drain(since=world.wall)}
    assert weights(world)[11] == (0, 3)


def test_a_drain_that_does_not_say_how_long_lasts_as_the_profile_says(world):
    world.do(drain(1))
    assert drains(world)[destination(1).key].until == 0
    world.do(SetSettings(values={"net.xlvs.profile": "modern"}), drain(1))
    assert drains(world)[destination(1).key].until == world.wall + 300
    world.do(SetSettings(values={"net.xlvs.drain_seconds": "0"}), drain(1))
    assert drains(world)[destination(1).key].until == 0


def test_at_the_deadline_the_server_is_removed(world):
    world.do(drain(1, 60))
    id_ = world.director.effective.destination_ids[KEY][1]
    world.port.connected[id_] = DestinationLoad(active=2, inactive=1)
    world.wall += 59.9
    assert world.director.end_drains() == []
    world.wall += 0.2
    assert world.director.end_drains() == [
        (Drained(KEY, destination(1).key), DestinationLoad(active=2, inactive=1))
    ]
    assert world.servers() == [2]
    assert drains(world) == {}
    assert world.director.end_drains() == []


def test_a_restart_goes_on(world):
    world.do(drain(1, 60), drain(2, 0))
    before = drains(world)
    world.start()
    assert world.repairs == ()
    assert drains(world) == before
    world.wall += 3600
    world.start()
    assert [each.destination for each, _ in world.director.end_drains()] == [destination(1).key]
    assert world.servers() == [2]


@pytest.mark.parametrize(
    ("edits", "left"),
    [
        ([change(1, 2)], {}),
        ([change(1, 0)], {11}),
        ([drop(1)], {}),
        ([drop(1), add(1, 3)], {}),
        ([change(2, 7)], {11}),
        ([DeleteService(key=KEY)], {}),
        ([Clear()], {}),
        ([DeleteService(key=KEY), add_service(), add(1, 0)], {}),
    ],
)
def test_what_ends_a_drain(world, edits, left):
    world.do(drain(1, 60))
    world.do(*edits)
    assert {int(each.address) & 0xFF for each in drains(world)} == set(left)
    world.wall += 61
    assert len(world.director.end_drains()) == len(left)


@pytest.mark.parametrize(
    ("edit", "code", "words"),
    [
        (drain(3, 60), Code.NO_SUCH_DESTINATION, ""),
        (undrain(3), Code.NO_SUCH_DESTINATION, ""),
        (drain(1, -1), Code.INVALID, "a drain lasts 0 to 2678400 s, not -1"),
        (drain(1, 2678401), Code.INVALID, "not 2678401"),
        (undrain(1), Code.INVALID, "it is not being drained: its weight is 3"),
    ],
)
def test_what_is_refused_changes_nothing(world, edit, code, words):
    before = world.director.desired
    with pytest.raises(Problem) as caught:
        world.do(drain(2, 5), edit)
    assert caught.value.code is code
    assert words in caught.value.message
    assert world.director.desired == before
    assert in_maps(world, 2) == 5


def test_a_weight_taken_away_by_hand_comes_back_too(world):
    world.do(change(1, 0))
    world.do(undrain(1))
    assert weights(world)[11] == (3, 0)
    world.do(drop(2), add(2, 0))
    with pytest.raises(Problem, match="never had a weight but 0"):
        world.do(undrain(2))
    world.do(drain(2, 60))
    world.do(undrain(2))
    assert weights(world)[12] == (0, 0)
    assert drains(world) == {}


def test_a_saved_drain_of_nobody_is_passed_over(world):
    world.do(drain(1, 60))
    saved = world.saved[-1]
    stranger = saved.drains[0].__class__(
        service=KEY, destination=DestinationKey(address=real(9), port=1), drain=Drain(since=0.0)
    )
    saved.drains.append(stranger)
    adopted = adopt(world.port.have(), lambda: saved, running=True)
    assert [each.destination for each in adopted.desired.drains] == [destination(1).key]


def test_when_the_server_cannot_be_removed_it_is_tried_again(world):
    world.do(drain(1, 1))
    world.wall += 2
    world.port.fail_after = 0
    with pytest.raises(Problem):
        world.director.end_drains()
    assert world.servers() == [2, 1]
    assert drains(world)
    assert len(world.director.end_drains()) == 1
    assert world.director.observe(observed()) == ()
