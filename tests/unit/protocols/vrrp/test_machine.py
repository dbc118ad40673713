# SPDX-License-Identifier: Apache-2.0
"""Every transition of RFC 9568 6.4, and what keepalived adds to it."""

from __future__ import annotations

from ipaddress import ip_interface
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.protocols.vrrp.builders import HIGHER, LOWER, heard, instance, master, started

from xlvs.model.vrrp import Garp
from xlvs.protocols.vrrp.effects import (
    Announce,
    Changed,
    PriorityChanged,
    Release,
    Restore,
    Rival,
    Say,
    SendAdvert,
    State,
    Take,
)
from xlvs.protocols.vrrp.machine import SETTLE, Event, Machine

V3_DOWN = 3 + 156 / 256  # priority 100, 1 s


def kinds(effects):
    return [type(effect) for effect in effects if not isinstance(effect, Say)]


def sent(machine):
    return [one.priority for one in machine.take_effects() if isinstance(one, SendAdvert)]


def test_the_table_knows_every_state_and_event():
    assert set(Machine.table) == set(product(State, Event))


# ---- 6.4.1 Initialize


def test_startup_of_an_owner():
    machine = started(priority=255, initial_master=True)
    assert machine.state is State.MASTER
    effects = machine.take_effects()
    assert kinds(effects) == [SendAdvert, Changed, Take, Announce]
    assert effects[0].priority == 255
    assert machine.deadline == 1.0


def test_startup_of_anybody_else():
    machine = started()
    assert machine.state is State.BACKUP
    assert machine.deadline == pytest.approx(V3_DOWN)


@pytest.mark.parametrize(
    ("version", "priority", "interval", "expected"),
    [
        (2, 100, 1.0, 3 + 156 / 256),
        (2, 100, 10.0, 30 + 156 / 256),
        (3, 100, 10.0, 30 + 10 * 156 / 256),
        (3, 254, 0.1, 0.3 + 0.1 * 2 / 256),
        (3, 1, 0.1, 0.3 + 0.1 * 255 / 256),
    ],
)
def test_master_down_intervals(version, priority, interval, expected):
    machine = started(version=version, priority=priority, advert_interval=interval)
    assert machine.deadline == pytest.approx(expected)


def test_down_timer_adverts():
    assert started(down_timer_adverts=5).deadline == pytest.approx(5 + 156 / 256)


# ---- 6.4.2 Backup


def test_a_silent_master_is_replaced():
    machine = started()
    machine.tick(V3_DOWN - 0.01)
    assert machine.state is State.BACKUP
    machine.take_effects()
    machine.tick(V3_DOWN)
    assert machine.state is State.MASTER
    assert kinds(machine.take_effects()) == [SendAdvert, Changed, Take, Announce]


@pytest.mark.parametrize(("version", "skew"), [(2, 156 / 256), (3, 0.5 * 156 / 256)])
def test_priority_0_makes_a_backup_wait_for_its_skew_only(version, skew):
    interval = 1.0 if version == 2 else 0.5
    machine = started(version=version, advert_interval=interval)
    machine.received(heard(0, interval=interval), 1.0)
    assert machine.deadline == pytest.approx(1.0 + skew)


@pytest.mark.parametrize("priority", [100, 101, 255])
def test_an_advert_of_equal_or_higher_priority_starts_the_timer_anew(priority):
    machine = started()
    machine.received(heard(priority), 2.0)
    assert machine.deadline == pytest.approx(2.0 + V3_DOWN)
    assert machine.master == LOWER


def test_a_lower_one_does_not():
    machine = started()
    machine.received(heard(99), 2.0)
    assert machine.deadline == pytest.approx(V3_DOWN)


def test_unless_nopreempt():
    machine = started(preempt=False)
    machine.received(heard(99), 2.0)
    assert machine.deadline == pytest.approx(2.0 + V3_DOWN)


def test_an_owner_preempts_even_so():
    machine = Machine(instance(priority=255, preempt=False))
    machine.hold(1.0, 0.0)
    machine.startup(0.0)
    deadline = machine.deadline
    machine.received(heard(254), 2.0)
    assert machine.deadline == deadline


def test_version_3_learns_the_masters_interval():
    machine = started()
    machine.received(heard(200, interval=0.1), 1.0)
    assert machine.deadline == pytest.approx(1.0 + V3_DOWN / 10)


def test_preempt_delay_counts_from_the_first_lower_advert():
    machine = started(preempt_delay=5.0)
    machine.received(heard(200), 4.0)  # somebody better: no preemption is under way
    for second in (10.0, 11.0, 12.0, 13.0, 14.0):
        machine.received(heard(50), second)
        assert machine.deadline == pytest.approx(second + V3_DOWN)
    machine.received(heard(50), 15.0)
    assert machine.deadline == pytest.approx(14.0 + V3_DOWN)


def test_preempt_delay_at_start_as_the_manual_has_it():
    machine = started(priority=128, preempt_delay=2.0)
    for second in (0.0, 1.0, 2.0, 3.0):
        machine.received(heard(50), second + 0.0001)
    assert machine.deadline == pytest.approx(1.0 + 3.5, abs=0.01)


def test_a_held_backup_waits_for_the_connections():
    machine = Machine(instance())
    machine.hold(10.0, 0.0)
    machine.startup(0.0)
    machine.received(heard(50), 1.0)
    assert machine.deadline == pytest.approx(1.0 + V3_DOWN)
    machine.hold(None, 2.0)
    machine.received(heard(50), 2.0)
    assert machine.deadline == pytest.approx(1.0 + V3_DOWN)


def test_but_not_for_ever():
    machine = Machine(instance())
    machine.hold(10.0, 0.0)
    machine.startup(0.0)
    machine.received(heard(50), 9.9)
    machine.received(heard(50), 10.1)
    assert machine.deadline == pytest.approx(9.9 + V3_DOWN)


def test_and_not_when_the_master_is_dead():
    machine = Machine(instance())
    machine.hold(100.0, 0.0)
    machine.startup(0.0)
    machine.tick(V3_DOWN)
    assert machine.state is State.MASTER


def test_after_a_fault_a_held_one_gives_a_master_time_to_be_heard():
    machine = Machine(instance())
    machine.startup(0.0)
    machine.set_faults(("eth0 is down",), 1.0)
    machine.hold(100.0, 1.0)
    machine.set_faults((), 2.0)
    assert machine.state is State.BACKUP
    machine.tick(2.0 + V3_DOWN)
    assert machine.state is State.BACKUP
    machine.tick(2.0 + V3_DOWN + SETTLE)
    assert machine.state is State.MASTER


def test_a_link_that_returns_means_hold():
    machine = Machine(instance(priority=200))
    machine.hold_after_fault = 3.0
    machine.startup(0.0)
    machine.set_faults(("eth0 is down",), 1.0)
    machine.set_faults((), 2.0)
    machine.received(heard(100), 2.5)
    assert machine.state is State.BACKUP
    machine.hold(None, 2.6)
    deadline = machine.deadline
    machine.received(heard(100), 3.0)
    assert machine.deadline == deadline, "what is lower does not count any more"


def test_a_held_owner_does_not_begin_as_master():
    machine = Machine(instance(priority=255))
    machine.hold(10.0, 0.0)
    machine.startup(0.0)
    assert machine.state is State.BACKUP


def test_shutdown_of_a_backup():
    machine = started()
    machine.take_effects()
    machine.shutdown(1.0)
    assert machine.state is State.INIT
    assert machine.deadline is None
    assert kinds(machine.take_effects()) == [Changed]


# ---- 6.4.3 Active


def test_adverts_are_sent_every_interval_and_do_not_drift():
    machine = master(10.0)
    for due in (11.0, 12.0, 13.0):
        assert machine.deadline == pytest.approx(due)
        machine.tick(due + 0.01)
        assert sent(machine) == [100]


def test_a_long_stop_is_not_made_up_for():
    machine = master(10.0)
    machine.tick(15.3)
    assert sent(machine) == [100]
    assert machine.deadline == pytest.approx(15.0 + 1.3)


def test_priority_0_is_answered_at_once():
    machine = master(10.0)
    machine.received(heard(0), 10.4)
    assert sent(machine) == [100]
    assert machine.deadline == pytest.approx(11.4)


@pytest.mark.parametrize(
    ("priority", "source", "stays"),
    [(99, HIGHER, True), (101, LOWER, False), (100, LOWER, True), (100, HIGHER, False)],
)
def test_two_masters(priority, source, stays):
    machine = master(10.0)
    machine.received(heard(priority, source), 12.4)
    assert (machine.state is State.MASTER) is stays
    effects = machine.take_effects()
    assert (Rival in kinds(effects)) is stays
    assert (Release in kinds(effects)) is not stays
    said = any("split brain" in one.sentence for one in effects if isinstance(one, Say))
    assert said is stays
    if not stays:
        assert machine.deadline == pytest.approx(12.4 + V3_DOWN)
        assert machine.master == source


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, [100]),
        ({"strict": True}, []),
        ({"higher_priority_send_advert": True}, [100]),
        ({"higher_priority_send_advert": False}, []),
    ],
)
def test_who_steps_down_says_that_there_were_two_but_no_priority_0(more, expected):
    machine = master(10.0, **more)
    machine.received(heard(101), 10.4)
    assert sent(machine) == expected


def test_lower_prio_no_advert():
    machine = master(10.0, lower_priority_no_advert=True)
    machine.received(heard(99), 10.4)
    assert sent(machine) == []


def test_who_steps_down_waits_for_the_other_ones_interval():
    machine = master(10.0)
    machine.received(heard(101, interval=0.1), 10.4)
    assert machine.deadline == pytest.approx(10.4 + V3_DOWN / 10)


def test_shutdown_of_a_master():
    machine = master(10.0)
    machine.shutdown(10.5)
    effects = machine.take_effects()
    assert kinds(effects) == [SendAdvert, Release, Changed]
    assert effects[0].priority == 0
    assert machine.deadline is None


# ---- gratuitous ARP


def bursts(machine, until):
    """The times of announcements, with their repeats."""
    found = [(0.0, one.repeat) for one in machine.take_effects() if isinstance(one, Announce)]
    while (deadline := machine.deadline) is not None and deadline <= until:
        machine.tick(deadline)
        found += [
            (round(deadline, 3), one.repeat)
            for one in machine.take_effects()
            if isinstance(one, Announce)
        ]
    return found


def test_announcements_as_keepalived_sends_them():
    machine = started(priority=255)
    assert bursts(machine, 30.0) == [(0.0, 5), (5.0, 5)]


def test_announcements_that_are_configured():
    garp = Garp(delay=2.0, repeat=3, refresh=10.0, refresh_repeat=2)
    machine = started(priority=255, garp=garp)
    assert bursts(machine, 21.0) == [(0.0, 3), (2.0, 3), (10.0, 2), (20.0, 2)]


def test_announcements_after_a_split_brain():
    garp = Garp(delay=0.0, lower_priority_delay=2.0, lower_priority_repeat=4)
    machine = master(0.0, garp=garp)
    machine.received(heard(50), 1.6)
    # At once, when the rival has been silent for long enough, and after the delay.
    assert [repeat for _, repeat in bursts(machine, 10.0)] == [4, 4, 4]
    assert machine.rival is None


def test_the_last_word_of_a_preempted_master_is_no_split_brain():
    machine = master(0.0)
    machine.received(heard(50), 0.01)
    machine.received(heard(50), 1.4)
    assert machine.rival is None
    machine.received(heard(50), 1.6)
    assert machine.rival == LOWER


def test_one_sentence_per_split_brain():
    machine = master(0.0)
    for tenth in range(1, 10):
        machine.received(heard(50), 2 + tenth / 10)
    said = [one for one in machine.take_effects() if isinstance(one, Say)]
    assert len(said) == 1
    assert str(LOWER) in said[0].sentence
    assert machine.statistics.rivals_lower == 9
    machine.tick(20.0)
    machine.take_effects()
    machine.received(heard(50), 21.0)
    assert any(isinstance(one, Say) for one in machine.take_effects())


# ---- faults


def test_a_master_with_a_fault_gives_up():
    machine = master(10.0)
    machine.set_faults(("interface eth1 is down",), 10.2)
    assert machine.state is State.FAULT
    assert kinds(machine.take_effects()) == [SendAdvert, Release, Changed]
    machine.received(heard(1), 10.3)
    machine.tick(100.0)
    assert machine.state is State.FAULT
    machine.set_faults((), 101.0)
    assert machine.state is State.BACKUP
    assert machine.deadline == pytest.approx(101.0 + V3_DOWN)


def test_a_second_cause_changes_nothing_and_both_have_to_go():
    machine = master(10.0)
    machine.set_faults(("one",), 10.2)
    machine.take_effects()
    machine.set_faults(("one", "two"), 10.3)
    machine.set_faults(("two",), 10.4)
    assert kinds(machine.take_effects()) == []
    assert machine.state is State.FAULT


def test_a_fault_before_the_start():
    machine = Machine(instance())
    machine.set_faults(("no IPv4 address",), 0.0)
    assert machine.state is State.INIT
    machine.startup(0.0)
    assert machine.state is State.FAULT


def test_an_owner_recovers_as_master():
    machine = started(priority=255)
    machine.set_faults(("one",), 1.0)
    machine.set_faults((), 2.0)
    assert machine.state is State.MASTER


# ---- priority, addresses


def test_another_priority_changes_the_skew_of_who_waits():
    machine = started()
    machine.set_priority(200, 1.0)
    assert machine.deadline == pytest.approx(3 + 56 / 256)
    assert PriorityChanged in kinds(machine.take_effects())


def test_another_priority_of_a_master_is_in_its_next_advert():
    machine = master(10.0)
    machine.set_priority(20, 10.1)
    machine.take_effects()
    machine.tick(11.0)
    assert sent(machine) == [20]


def test_what_somebody_removes_is_put_back():
    machine = master(10.0)
    gone = ip_interface("10.9.0.100/32")
    machine.address_gone("eth0", gone, 10.1)
    effects = machine.take_effects()
    assert Restore("V1", (("eth0", gone),)) in effects
    assert Announce("V1", 1) in effects


def test_a_stubborn_third_party_is_contradicted_once_a_second():
    machine = master(10.0)
    gone = ip_interface("10.9.0.100/32")
    for step in range(300):
        now = 10.0 + step / 100
        machine.address_gone("eth0", gone, now)
        machine.tick(now)
    restored = [one for one in machine.take_effects() if isinstance(one, Restore)]
    assert len(restored) == 3


def test_a_backup_puts_nothing_back():
    machine = started()
    machine.take_effects()
    machine.address_gone("eth0", ip_interface("10.9.0.100/32"), 1.0)
    assert machine.take_effects() == []


events = st.one_of(
    st.tuples(st.just("advert"), st.integers(0, 255), st.sampled_from([LOWER, HIGHER])),
    st.tuples(st.just("fault"), st.booleans(), st.none()),
    st.tuples(st.just("priority"), st.integers(1, 254), st.none()),
    st.tuples(st.just("hold"), st.booleans(), st.none()),
    st.tuples(st.just("wait"), st.floats(0.0, 5.0), st.none()),
)


@given(st.lists(events, max_size=40), st.booleans(), st.floats(0.0, 3.0))
def test_addresses_are_held_exactly_while_master_and_a_timer_always_runs(steps, preempt, delay):
    machine = started(preempt=preempt, preempt_delay=delay)
    now, holds = 0.0, False
    for kind, value, source in steps:
        if kind == "advert":
            machine.received(heard(value, source), now)
        elif kind == "fault":
            machine.set_faults(("x",) if value else (), now)
        elif kind == "priority":
            machine.set_priority(value, now)
        elif kind == "hold":
            machine.hold(now + 2 if value else None, now)
        else:
            now += value
            machine.tick(now)
        for effect in machine.take_effects():
            if isinstance(effect, Take):
                assert not holds
                holds = True
            elif isinstance(effect, Release):
                assert holds
                holds = False
        assert holds == (machine.state is State.MASTER)
        assert (machine.deadline is None) == (machine.state is State.FAULT)


def test_a_claim_by_arp_is_said_and_answered_seldom():
    machine = master(10.0)
    address = ip_interface("10.9.0.100/32").ip
    machine.claimed(address, "02:00:00:00:00:01", 11.0)
    assert machine.statistics.conflicts == 0, "who was replaced a moment ago"
    for second in range(13, 30):
        machine.claimed(address, "02:00:00:00:00:01", float(second))
    effects = machine.take_effects()
    assert len([one for one in effects if isinstance(one, Say)]) == 2
    assert [one for one in effects if isinstance(one, Announce)] == [Announce("V1", 1)] * 2
    assert machine.statistics.conflicts == 17
