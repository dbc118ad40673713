# SPDX-License-Identifier: Apache-2.0
"""Mark rules on their way to the maps: a set at once, repaired, restored, never in between."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from tests.unit.datapath_plan.build import World, add_service

from xlvs.api.views import service_list
from xlvs.datapath import writes as w
from xlvs.datapath.marks import NO_MARKS, compiled
from xlvs.io.adoption import adopt
from xlvs.model.edit import AddMark, Clear, ClearMarks, DeleteMark, DeleteService
from xlvs.model.mark import RULES_MAX, MarkRule
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Protocol, ServiceKey

SEVEN = ServiceKey(protocol=Protocol.FWM, fwmark=7)
RULE = MarkRule(mark=7, to=ip_network("10.9.0.0/16"))
OTHER = MarkRule(mark=8, to=ip_network("10.9.1.0/24"), protocol=6, ports=((80, 80),))


@pytest.fixture
def world() -> World:
    return World()


def in_force(world: World):
    return world.port.marks.get(world.port.settings.mark_set, NO_MARKS)


def test_a_set_is_written_then_named_then_the_old_one_goes(world):
    world.do(AddMark(rule=RULE))
    world.port.written.clear()
    world.do(AddMark(rule=OTHER))
    assert [type(each) for each in world.port.written] == [
        w.WriteMarks,
        w.PutSettings,
        w.DropMarks,
    ]
    assert in_force(world) == compiled([RULE, OTHER])
    assert list(world.port.marks) == [world.port.settings.mark_set]
    assert world.port.settings.mark_rules == 2


def test_rules_come_after_the_service_that_they_lead_to(world):
    world.do(AddMark(rule=RULE), add_service(key=SEVEN))
    kinds = [type(each) for each in world.port.written]
    assert kinds.index(w.PutKey) < kinds.index(w.WriteMarks)
    assert world.port.settings.marks == 1
    world.do(DeleteService(key=SEVEN))
    assert world.port.settings.marks == 0
    assert in_force(world) == compiled([RULE])


def test_what_makes_no_difference_writes_no_set(world):
    world.do(AddMark(rule=RULE))
    world.port.written.clear()
    world.do(AddMark(rule=RULE))
    assert [type(each) for each in world.port.written] == [w.PutSettings], "the number of rules"


def test_clear_leaves_marks_and_the_last_rule_switches_them_off(world):
    world.do(AddMark(rule=RULE), add_service(key=SEVEN))
    world.do(Clear())
    assert in_force(world) == compiled([RULE])
    world.do(DeleteMark(number=1))
    assert world.port.settings.mark_rules == 0
    assert in_force(world) == NO_MARKS


@pytest.mark.parametrize("fail_after", range(3))
def test_a_write_that_fails_leaves_the_rules_as_they_were(world, fail_after):
    world.do(AddMark(rule=RULE))
    world.port.fail_after = fail_after
    with pytest.raises(Problem):
        world.do(AddMark(rule=OTHER))
    assert world.director.desired.marks == (RULE,)
    assert in_force(world) == compiled([RULE])
    assert world.port.settings.mark_rules == 1
    world.do(AddMark(rule=OTHER))
    assert in_force(world) == compiled([RULE, OTHER])
    assert len(world.port.marks) == 1, "what the failure left is gone"


@pytest.mark.parametrize("killed_after", range(4))
def test_a_killed_daemon_finishes_when_it_starts_again(world, killed_after):
    world.do(AddMark(rule=RULE))
    world.port.fail_after = killed_after
    world.director._revert = lambda _refused: None  # nobody is left to undo anything
    try:
        world.do(AddMark(rule=OTHER))
    except Problem:
        world.port.fail_after = None
    world.start()
    assert world.director.desired.marks == (RULE, OTHER)
    assert in_force(world) == compiled([RULE, OTHER])


def test_a_restart_writes_nothing(world):
    world.do(AddMark(rule=RULE), AddMark(rule=OTHER))
    world.start()
    assert world.repairs == ()


def test_without_the_file_the_rules_are_lost_and_it_is_said(world):
    world.do(AddMark(rule=RULE))
    adopted = adopt(world.port.have(), lambda: None, running=True)
    assert "mark rules" in adopted.remarks[0]
    world.start(with_file=False)
    assert in_force(world) == NO_MARKS


def test_too_many_rules_change_nothing(world):
    world.do(AddMark(rule=RULE))
    far = MarkRule(mark=1, protocol=6)
    with pytest.raises(Problem) as caught:
        world.do(ClearMarks(), *[AddMark(rule=far)] * (RULES_MAX + 1))
    assert caught.value.code is Code.NO_SPACE
    assert world.director.desired.marks == (RULE,)


def test_a_service_says_that_no_rule_leads_to_it(world):
    world.do(add_service(key=SEVEN))
    (view,) = service_list(world.director).services
    assert view.remarks == [
        "no rule gives packets the mark 7 (xlvs mark add 7 --to ...): only those meet this "
        "service that another program on tc has marked"
    ]
    world.do(AddMark(rule=RULE))
    (view,) = service_list(world.director).services
    assert view.remarks == []
