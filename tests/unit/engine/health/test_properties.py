# SPDX-License-Identifier: Apache-2.0
"""Whatever happens in whatever order, what is kept in steps is what can be counted."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.engine.health.build import World, desired, key, misc, real, virtual

from xlvs.engine.health.health import Health
from xlvs.engine.health.rotation import rotate
from xlvs.engine.health.standing import Standings

flags = st.booleans()


@st.composite
def services(draw):
    found = []
    for at in range(draw(st.integers(0, 3))):
        servers = []
        for n in sorted(draw(st.sets(st.integers(1, 5), max_size=4))):
            checks = [
                misc(
                    f"r{n}",
                    retry=draw(st.integers(0, 2)),
                    rise=draw(st.integers(1, 2)),
                    delay_before_retry=0.3,
                    timeout=0.4,
                )
                for _ in range(draw(st.integers(0, 2)))
            ]
            servers.append(
                real(
                    n,
                    draw(st.integers(0, 4)),
                    checks=checks,
                    inhibit_on_failure=draw(flags),
                    slow_start=draw(st.sampled_from([0.0, 3.0])),
                )
            )
        found.append(
            virtual(
                *servers,
                at=key(f"10.0.0.{at + 1}"),
                group=draw(st.sampled_from(["", "", "g"])),
                quorum=draw(st.integers(1, 6)),
                hysteresis=draw(st.integers(0, 3)),
                sorry=draw(flags),
                sorry_server_inhibit=draw(flags),
                alpha=draw(flags),
                omega=draw(flags),
                ha_suspend=draw(flags),
            )
        )
    return found


events = st.lists(
    st.one_of(
        st.tuples(st.just("answer"), st.integers(1, 5), st.sampled_from([0, 1, 1, 5, None])),
        st.tuples(st.just("run"), st.floats(0.01, 4.0)),
        st.tuples(st.just("reload"), services()),
        st.tuples(st.just("restart")),
        st.tuples(st.just("present"), st.sets(st.integers(1, 3))),
    ),
    max_size=12,
)


def check(world):
    state = world.health.state
    for unit in state.units.values():
        live = [each for each in unit.servers.values() if each.alive]
        assert unit.weight == sum(each.full() for each in live)
        for server in unit.servers.values():
            assert server.failing == sum(not each.belief.passing for each in server.watches)
            for watch in server.watches:
                assert (watch.due is None) == unit.suspended
                assert not (unit.suspended and watch.running)
                assert state.watches[watch.probe] is watch
        assert unit.quorum.holds(unit.weight, held=unit.up) == unit.up
    count = sum(len(each.watches) for each in state.servers())
    assert len(state.watches) == count
    # What was built up in steps is what would be built from nothing, but for the order.
    asked = world.rotation.asked
    fresh = rotate(asked, world.health.standing)
    for service, (_, listed) in world.rotation.desired.services.items():
        again = fresh.desired.services[service][1]
        assert sorted(map(str, listed)) == sorted(map(str, again))
    assert rotate(asked, world.health.standing, world.rotation) is world.rotation
    kept = {each.service.key for unit in state.units.values() for each in unit.members}
    assert set(world.health.standing) <= kept
    placed = {each for server in state.servers() for each in server.places}
    for service, standing in world.health.standing.items():
        assert {(service, at) for at in standing.places} <= placed
    check_pools(world)


def check_pools(world):
    """An address stands as its unit says."""
    for unit in world.health.state.units.values():
        for member in unit.members:
            pool = world.rotation.desired.services[member.service.key][1]
            shown = {each.key: each.weight for each in pool}
            for server in unit.servers.values():
                for service, at in server.places:
                    if service != member.service.key:
                        continue
                    serves = server.alive and not unit.sorry_in
                    if not serves and not server.real.inhibit_on_failure:
                        assert at not in shown
                    elif not serves:
                        assert shown[at] == 0
                    else:
                        assert at in shown


@settings(deadline=None, max_examples=150)
@given(services(), events, st.integers(0, 1000))
def test_all_that_is_kept_in_steps(first, events, seed):
    world = World(*first, health=Health(random.Random(seed).random), latency=0.1)
    check(world)
    for verb, *rest in events:
        match verb:
            case "answer":
                world.answers[f"r{rest[0]}"] = rest[1]
            case "run":
                world.run(rest[0])
            case "reload":
                world.reload(*rest[0])
            case "present":
                present = {key(f"10.0.0.{n}").address for n in rest[0]}
                world.do(world.health.addresses(present, world.now))
            case "restart":
                saved, present = world.health.save(world.now), world.health.state.present
                before = dict(world.health.standing)
                world.health = Health(random.Random(seed).random)
                world.health.state.present = present
                world.health.restore(saved, world.now)
                world.running, world.pending = {}, []
                assert dict(world.health.standing) == before
                world.clear()
                world.reload(*world.services)
                assert world.said() == ([], [])
        check(world)


@settings(deadline=None)
@given(st.lists(flags, min_size=1, max_size=60), st.integers(0, 3), st.integers(1, 4))
def test_a_flapping_server_is_told_up_and_down_in_turn(results, retry, rise):
    check = misc("r1", retry=retry, rise=rise, delay_before_retry=1.0, warmup=0.0)
    world = World(virtual(real(1, checks=[check]), delay_loop=1.0), latency=0.001)
    for ok in results:
        world.answers["r1"] = 0 if ok else 1
        world.run(1.0)
    told = [each.rsplit(" ", 1)[1] for each in world.fifo if each.startswith("RS")]
    assert told == [("DOWN", "UP")[n % 2] for n in range(len(told))]
    quorums = [each.rsplit(" ", 1)[1] for each in world.fifo if each.startswith("VS")]
    assert quorums == ["UP", *told]


@given(services())
def test_without_anything_to_say_what_is_asked_for_is_in_rotation(found):
    asked = desired(*found)
    assert rotate(asked, Standings()).desired == asked
