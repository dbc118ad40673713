# SPDX-License-Identifier: Apache-2.0
"""Lists and limits on their way to the maps: one that changes is never met half."""

from __future__ import annotations

import pytest
from tests.unit.datapath_plan.build import KEY, World, add, add_service

from xlvs.datapath import writes as w
from xlvs.datapath.records import DestinationFlag, ServiceFlag
from xlvs.model.client_list import client_list
from xlvs.model.edit import ChangeList, Clear, DeleteList, DeleteService, EditService, PutList
from xlvs.model.service import Limit, Limits, Service

BAD = PutList(name="bad", prefixes=("192.0.2.0/24",))
COUNTING = Limits(client=Limit(connections=3))


@pytest.fixture
def world() -> World:
    return World()


def edit(**fields):
    return EditService(service=Service(key=KEY, scheduler="rr", **fields))


def number(*prefixes):
    return client_list(prefixes).number


def test_a_list_is_there_before_who_names_it_and_goes_after(world):
    world.do(BAD, add_service(deny=("bad",)), add(1))
    kinds = [type(each) for each in world.port.written]
    assert kinds.index(w.WriteClients) < kinds.index(w.PutAdmission) < kinds.index(w.PutKey)
    world.port.written.clear()
    world.do(ChangeList(name="bad", add=("198.51.100.1",)))
    assert [type(each) for each in world.port.written] == [
        w.WriteClients,
        w.PutAdmission,
        w.PutService,
        w.DropClients,
    ]
    found = world.port.admission(0)
    assert (found.list[0], found.denies, found.allows) == (
        number("192.0.2.0/24", "198.51.100.1"),
        1,
        0,
    )
    assert set(world.port.clients) == {found.list[0]}


def test_what_makes_no_difference_writes_nothing(world):
    world.do(BAD, add_service(deny=("bad",), limits=COUNTING), add(1))
    world.port.written.clear()
    world.do(PutList(name="bad", prefixes=("192.0.2.0/24", "192.0.2.0/24")))
    world.do(edit(deny=("bad",), limits=COUNTING))
    assert world.port.written == []


def test_services_with_and_without_come_and_go(world):
    world.do(BAD, add_service(), add(1))
    assert world.port.admission(0) is None
    world.do(edit(deny=("bad",)))
    assert world.port.admission(0).denies == 1
    world.do(edit())
    assert world.port.admission(0) is None
    world.do(edit(allow=("bad",)))
    assert (world.port.admission(0).denies, world.port.admission(0).allows) == (0, 1)
    world.do(DeleteService(key=KEY), DeleteList(name="bad"))
    assert world.port.clients == {}
    world.do(BAD, add_service(deny=("bad",)))
    assert world.port.admission(0).denies == 1


def test_destinations_count_as_long_as_they_are_there(world):
    counted = DestinationFlag.COUNTED
    world.do(add_service(), add(1))
    assert not world.port.destinations[0].flags & counted
    world.do(edit(limits=COUNTING), add(2))
    assert all(each.flags & counted for each in world.port.destinations.values())
    # Connections from before end later than the limit.
    world.do(edit())
    assert all(each.flags & counted for each in world.port.destinations.values())
    world.do(add(3))
    assert not world.port.destinations[2].flags & counted


def test_a_burst_is_a_second_s_if_not_said(world):
    world.do(add_service(limits=Limits(client=Limit(rate=7), service=Limit(rate=9, burst=2))))
    found = world.port.admission(0)
    assert (found.client_rate, found.client_burst) == (7, 7)
    assert (found.service_rate, found.service_burst) == (9, 2)
    assert found.client == b"\xff" * 16
    world.do(edit(limits=Limits(client=Limit(rate=7), client_prefix=24)))
    assert world.port.admission(0).client == b"\xff" * 15 + b"\0"


def test_clear_leaves_lists(world):
    world.do(BAD, add_service(deny=("bad",)))
    world.do(Clear())
    assert set(world.director.desired.lists) == {"bad"}
    assert set(world.port.clients) == {number("192.0.2.0/24")}


def test_a_restart_finds_all_as_it_was(world):
    world.do(BAD, add_service(deny=("bad",), limits=COUNTING), add(1))
    before = world.director.desired
    world.port.written.clear()
    world.start()
    assert world.port.written == []
    assert world.director.desired == before


def test_after_a_failure_all_is_as_it_was(world):
    world.do(BAD, add_service(deny=("bad",)), add(1))
    before, there = world.director.desired, world.port.admission(0)
    for step in range(3):
        world.port.fail_after = step
        with pytest.raises(Exception, match="no memory"):
            world.do(ChangeList(name="bad", add=("198.51.100.1",)))
        assert world.director.desired == before
        assert world.port.admission(0) == there
        assert set(world.port.clients) == {number("192.0.2.0/24")}
    assert world.port.services[0].flags & ServiceFlag.ADMISSION
