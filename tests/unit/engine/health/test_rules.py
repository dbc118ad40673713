# SPDX-License-Identifier: Apache-2.0
"""Small rules: dampener, quorum, slow start, agenda, standings."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.engine.health.build import World, destination, key, misc, real, virtual

from xlvs.engine.health.agenda import Agenda
from xlvs.engine.health.dampener import Belief, after
from xlvs.engine.health.health import Health
from xlvs.engine.health.outcome import Heard
from xlvs.engine.health.quorum import Quorum, quorum
from xlvs.engine.health.slow_start import STEPS, weight
from xlvs.engine.health.standing import AS_ASKED, OUT, Standing, Standings
from xlvs.engine.health.state import Alerts
from xlvs.model.checker import BfdCheck


@pytest.mark.parametrize(
    ("results", "rise", "fall", "believed"),
    [
        # ok is ".", failure "x"; believed after each: "U" up, "D" down. Begins up.
        ("x", 1, 3, "D"),
        (".x", 1, 1, "UD"),
        (".xx", 1, 2, "UUD"),
        (".x.x.x", 1, 2, "UUUUUU"),
        (".xxx.", 1, 3, "UUUDU"),
        (".xx..", 2, 2, "UUDDU"),
        (".xx.x..", 2, 2, "UUDDDDU"),
        (".xx.x.xx..", 3, 2, "UUDDDDDDDD"),
    ],
)
def test_dampener(results, rise, fall, believed):
    belief, found = Belief(passing=True), ""
    for each in results:
        belief = after(belief, ok=each == ".", rise=rise, fall=fall)
        found += "U" if belief.passing else "D"
    assert found == believed


def test_alpha_is_up_after_its_first_success_whatever_rise_is():
    assert after(Belief(passing=False), ok=True, rise=5, fall=1).passing


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_a_change_needs_as_many_results_in_a_row(results, rise, fall):
    belief = Belief(passing=True, known=True)
    for at, ok in enumerate(results):
        before, belief = belief, after(belief, ok=ok, rise=rise, fall=fall)
        row = 0
        while row <= at and results[at - row] == ok:
            row += 1
        assert (belief.successes, belief.failures) == ((row, 0) if ok else (0, row))
        if belief.passing != before.passing:
            assert row >= (rise if ok else fall)
            assert belief.passing == ok
        elif belief.passing != ok:
            assert row < (rise if ok else fall)


@pytest.mark.parametrize(
    ("wanted", "hysteresis", "full", "limits"),
    [
        (1, 0, 3, (1, 1)),
        (3, 1, 4, (4, 2)),
        (3, 1, 3, (4, 2)),
        (9, 0, 1, (1, 1)),
        (2, 5, 8, (3, 1)),
        (1, 0, 0, (1, 1)),
        (9, 8, 4, (7, 1)),
    ],
)
def test_quorum(wanted, hysteresis, full, limits):
    assert quorum(wanted, hysteresis, full) == limits


@given(st.integers(1, 50), st.integers(0, 60), st.integers(0, 80), st.lists(st.integers(0, 80)))
def test_a_quorum_never_oscillates(wanted, hysteresis, full, sums):
    limit = quorum(wanted, hysteresis, full)
    assert limit.gain >= limit.keep >= 1
    held = False
    for each in sums:
        now = limit.holds(each, held=held)
        assert limit.holds(each, held=now) == now
        held = now
    assert not limit.holds(0, held=True)


def test_between_the_limits_it_stays_as_it_was():
    limit = Quorum(gain=4, keep=2)
    assert [limit.holds(n, held=False) for n in range(6)] == [False] * 4 + [True] * 2
    assert [limit.holds(n, held=True) for n in range(6)] == [False] * 2 + [True] * 4


@given(st.integers(0, 65535), st.floats(0.1, 1000))
def test_slow_start_grows_in_steps_to_the_full_weight(full, seconds):
    up, last, steps = 0.0, 0, 0
    while True:
        found, left = weight(full, seconds, up)
        assert last <= found <= full
        last = found
        if left is None:
            break
        assert found >= 1
        assert left > 0
        up += left
        steps += 1
    assert last == full
    assert steps <= STEPS
    assert up <= seconds * 1.001
    assert weight(full, seconds, seconds) == (full, None)


def test_slow_start_of_a_server():
    world = World(virtual(real(1, 100, slow_start=10.0), real(2)))
    world.run(2)
    assert world.pool() == {"11": 100, "12": 1}  # it was up from the beginning
    world.answers["r1"] = 1
    world.run(2)
    world.answers["r1"] = 0
    found = []
    for _ in range(130):
        world.run(0.1)
        if not found or found[-1] != world.pool().get("11"):
            found.append(world.pool().get("11"))
    assert found == [None, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 100]
    unit = world.health.state.units["tcp [10.0.0.1]:80"]
    assert unit.weight == 101  # for the quorum it counts in full from the beginning


def test_an_agenda_gives_what_is_due_in_order_and_once():
    class Thing:
        due = None

    agenda, things = Agenda(), [Thing() for _ in range(3)]
    agenda.put(things[0], 5.0)
    agenda.put(things[1], 3.0)
    agenda.put(things[2], 4.0)
    agenda.put(things[0], 1.0)
    agenda.put(things[1], None)
    assert agenda.first() == 1.0
    assert agenda.pop(0.5) is None
    assert agenda.pop(9.0) is things[0]
    assert agenda.pop(9.0) is things[2]
    assert agenda.pop(9.0) is None
    assert agenda.first() is None
    agenda.put(things[1], 3.0)  # where an old entry lay
    assert agenda.pop(9.0) is things[1]
    assert agenda.pop(9.0) is None


def test_standings_hold_only_what_is_different():
    standings, one = Standings(), destination("10.1.0.1").key
    assert standings.place(key(), one) == AS_ASKED
    assert not standings.put(key(), one, AS_ASKED)
    assert standings.put(key(), one, OUT)
    assert not standings.put(key(), one, OUT)
    assert dict(standings) == {key(): Standing({one: None})}
    assert standings.put_sorry(key(), destination("10.1.0.9"))
    assert standings.put(key(), one, AS_ASKED)
    assert len(standings) == 1
    assert standings.put_sorry(key(), None)
    assert dict(standings) == {}
    assert not standings.drop(key())


def test_all_checks_of_a_server_must_pass():
    world = World(virtual(real(1, checks=[misc("a"), misc("b")])))
    world.run(2)
    for answers, up in [
        ({"a": 1}, False),
        ({"b": 1}, False),
        ({"a": 0}, False),
        ({"b": 0}, True),
    ]:
        world.answers.update(answers)
        world.run(2.5)
        assert (world.pool() == {"11": 1}) == up
    assert [each for each in world.fifo if each.startswith("RS")] == [
        "RS [192.168.200.11]:tcp:80 [10.0.0.1]:tcp:80 DOWN",
        "RS [192.168.200.11]:tcp:80 [10.0.0.1]:tcp:80 UP",
    ]


def test_a_server_without_checks_is_up_even_under_alpha():
    world = World(virtual(real(1, checks=[]), alpha=True))
    assert world.pool() == {"11": 1}
    assert world.health.next_deadline is None


@pytest.mark.parametrize("wanted", [False, True])
def test_servers_that_begin_as_up_are_told_of_if_asked_for(wanted):
    servers = [real(1), real(2, checks=[misc("r2", alpha=True)])]
    world = World(virtual(*servers), alerts=Alerts(at_start=wanted))
    world.reload(virtual(*servers, real(3)))
    told = [f"RS [192.168.200.1{n}]:tcp:80 [10.0.0.1]:tcp:80 UP" for n in (1, 3) if wanted]
    assert [each for each in world.fifo if each.startswith("RS")] == told
    assert [each for each in world.scripts if each.startswith("UP")] == [
        f"UP r{n}" for n in (1, 3) if wanted
    ]
    assert world.mails == []


def test_alpha_of_one_check():
    service = virtual(real(1, checks=[misc("a", alpha=True), misc("b")]), real(2))
    world = World(service)
    assert world.pool() == {"12": 1}
    world.run(2)
    assert world.pool() == {"11": 1, "12": 1}


def test_bfd():
    world = World(virtual(real(1, checks=[BfdCheck(name="n")])))
    assert world.pool() == {"11": 1}
    world.do(world.health.bfd("n", world.now, up=False))
    assert world.pool() == {}
    world.do(world.health.bfd("other", world.now, up=True))
    assert world.pool() == {}
    world.do(world.health.bfd("n", world.now, up=True))
    assert world.pool() == {"11": 1}


def test_what_was_followed_before_the_configuration_counts_at_once():
    world = World()
    world.do(world.health.bfd("n", world.now, up=False))
    world.reload(virtual(real(1, checks=[BfdCheck(name="n")])))
    assert world.pool() == {}
    assert world.fifo == []


def test_own_trouble_of_the_director_changes_nothing_and_is_said_once():
    world = World(virtual(real(1, checks=[misc("r1", warmup=0.0)])))
    trouble = Heard(ok=False, cause="no file descriptor is left", ours=True)
    for _ in range(5):
        world.do(world.health.tick(world.now))
        ((_, probe),) = world.pending
        world.pending, world.running = [], {}
        world.do(world.health.result(probe.probe, probe.run, trouble, world.now))
        world.now += 1.0
    assert world.pool() == {"11": 1}
    assert sum("no file descriptor is left" in each for each in world.logs) == 1


@pytest.mark.parametrize(("stood_still", "blamed"), [(0.0, True), (0.4, True), (0.6, False)])
def test_a_server_is_not_blamed_for_an_answer_that_the_director_was_late_for(stood_still, blamed):
    """``misc``'s probes have a second."""
    for answer in (None, 1):  # silence until the deadline, and failure
        health = Health(random.Random(1).random, pause=lambda since: stood_still * (since > 1001))
        world = World(virtual(real(1, checks=[misc("a", warmup=0.0)])), health=health)
        world.run(1.5)
        assert world.pool() == {"11": 1}
        world.answers["a"] = answer
        world.run(10)
        assert (world.pool() == {}) == blamed, world.logs
        stood = [each for each in world.logs if "the director stood still for 0.6 s" in each]
        assert len(stood) == (not blamed)


def test_failures_are_logged_when_asked_for():
    check = misc("r1", retry=2, delay_before_retry=0.5, log_all_failures=True)
    world = World(virtual(real(1, checks=[check])))
    world.run(2)
    world.answers["r1"] = 1
    world.run(4)
    counted = [each for each in world.logs if " of 3: exit status 1" in each]
    assert [each.split(", ")[1] for each in counted] == [
        "1 of 3: exit status 1",
        "2 of 3: exit status 1",
    ]
