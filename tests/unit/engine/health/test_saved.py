# SPDX-License-Identifier: Apache-2.0
"""A daemon that is started again goes on."""

from __future__ import annotations

import random

import pytest
from tests.unit.engine.health.build import World, desired, misc, real, virtual

from xlvs.engine.health.health import Health
from xlvs.engine.health.rotation import rotate
from xlvs.engine.health.saved import SavedHealth
from xlvs.wire import codec


def restarted(world, *services, now):
    saved = codec.decode(codec.encode(world.health.save(world.now)), SavedHealth)
    health = Health(random.Random(2).random)
    health.restore(saved, now)
    return World(*services, health=health, now=now)


def story():
    slow = real(4, 100, slow_start=30.0)
    service = virtual(
        real(1), real(2, checks=[misc("r2", retry=2)]), real(3, 5), slow, sorry=True, quorum=2
    )
    world = World(service)
    world.answers.update(r1=1, r3=9, r4=1)
    world.run(3)
    world.answers.update(r4=0)
    world.run(5)
    assert world.pool() == {"12": 1, "13": 7, "14": 18}
    return world, service


def reports(world):
    return [
        (each.up, each.weight, [(s.name, s.up, s.weight, s.failure) for s in each.servers])
        for each in world.health.report()
    ]


def test_nothing_flaps_and_nobody_is_told_again():
    world, service = story()
    before = reports(world)
    again = restarted(world, service, now=world.now + 0.2)
    assert again.said() == ([], [])
    assert reports(again) == before
    assert again.pool() == world.pool()
    again.answers = dict(world.answers)
    again.run(5)
    assert again.said() == ([], [])


def test_since_and_failures_are_kept_and_move_with_the_clock_after_a_boot():
    world, service = story()
    (was,) = world.health.report()
    (same,) = restarted(world, service, now=world.now + 7).health.report()
    assert (same.since, same.servers[0].since) == (was.since, was.servers[0].since)
    (moved,) = restarted(world, service, now=50.0).health.report()
    assert moved.servers[0].since == pytest.approx(50.0 - (world.now - was.servers[0].since))
    assert moved.servers[0].failure.at == pytest.approx(
        50.0 - (world.now - was.servers[0].failure.at)
    )


@pytest.mark.parametrize("gap", [0.1, 600.0])
def test_checks_go_on_spread_after_a_long_absence(gap):
    servers = [real(n, address=f"10.1.{n >> 8}.{n & 255}") for n in range(1, 301)]
    world = World(virtual(*servers, delay_loop=20.0))
    world.run(30)
    again = restarted(world, virtual(*servers, delay_loop=20.0), now=world.now + gap)
    again.run(20.0)
    assert len(again.starts) >= 300
    begun = [int(at - world.now - gap) for at, _ in again.starts]
    assert max(begun.count(each) for each in range(20)) < 100


def test_what_was_removed_meanwhile_is_told():
    world, _ = story()
    again = restarted(world, virtual(real(1), real(2)), now=world.now + 1)
    fifo, scripts = again.said()
    assert set(scripts) == {"DOWN r3", "DOWN r4"}
    assert len(fifo) == 2
    assert again.pool() == {"12": 1}


def test_a_lost_quorum_stays_lost():
    service = virtual(real(1), real(2), sorry=True, quorum=2)
    world = World(service)
    world.answers["r1"] = 1
    world.run(3)
    again = restarted(world, service, now=world.now + 1)
    assert again.said() == ([], [])
    assert again.pool() == {"19": 1}


def test_what_is_worth_saving_is_counted():
    world = World(virtual(real(1)))
    world.run(3)
    before = world.health.changes
    world.run(30)
    assert world.health.changes == before
    world.answers["r1"] = 1
    world.run(3)
    assert world.health.changes > before


def test_nothing_saved_is_nothing_restored():
    health = Health(random.Random(1).random)
    health.restore(Health(random.Random(1).random).save(5.0), 6.0)
    assert list(health.report()) == []
    assert rotate(desired(), health.standing).desired == desired()
