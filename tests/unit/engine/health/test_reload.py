# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import msgspec
import pytest
from tests.unit.engine.health.build import World, destination, key, mark, misc, real, virtual

from xlvs.model.checker import FileCheck
from xlvs.model.service import Protocol
from xlvs.model.tracking import File

VS = "[10.0.0.1]:tcp:80"


def rs(n, word, of=VS):
    return f"RS [192.168.200.1{n}]:tcp:80 {of} {word}"


def world_with(*servers, down=(), **more):
    world = World(virtual(*servers, **more))
    for each in down:
        world.answers[each] = 1
    world.run(3)
    world.said()
    return world


def watches(world):
    return {
        each.check.command.argv[0]: (each.probe, each.due, each.belief)
        for each in world.health.state.watches.values()
    }


def test_the_same_file_changes_nothing():
    servers = [real(1), real(2, 2), real(3)]
    world = world_with(*servers, down=["r2"], quorum=2, sorry=True)
    before, pool, standing = watches(world), world.pool(), dict(world.health.standing)
    effects = world.health.reconfigured([virtual(*servers, quorum=2, sorry=True)], world.now)
    assert effects == []
    assert (watches(world), world.pool(), dict(world.health.standing)) == (before, pool, standing)


def test_one_more_and_one_less_and_another_weight():
    world = world_with(real(1), real(2, 2), real(3), down=["r2"], quorum=2, sorry=True)
    before = watches(world)
    world.reload(virtual(real(4), real(1, 5), real(2, 2), quorum=2, sorry=True))
    # keepalived 2.2.7 loses its quorum here for a moment, and says so; there is no need to.
    assert world.said() == ([rs(3, "DOWN")], ["DOWN r3"])
    assert world.pool() == {"11": 5, "14": 1}
    after = watches(world)
    assert after["r1"] == before["r1"]
    assert after["r2"] == before["r2"]
    assert "r3" not in after
    world.run(3)
    assert world.said() == ([], [])


def test_another_quorum_is_judged_at_once():
    world = world_with(real(1, 5), real(4), quorum=2, sorry=True)
    world.reload(virtual(real(1, 5), real(4), quorum=6, sorry=True))
    assert world.said() == ([], [])
    world.reload(virtual(real(1, 5), real(4), real(5), quorum=7, sorry=True, alpha=True))
    assert world.said() == ([f"VS {VS} DOWN"], ["QDOWN"])
    assert world.pool() == {"19": 1}
    world.reload(virtual(real(1, 5), real(4), quorum=1, sorry=True))
    assert world.said() == ([f"VS {VS} UP"], ["QUP"])
    assert world.pool() == {"11": 5, "14": 1}


def test_a_new_server_under_alpha_is_down_until_its_first_success():
    world = world_with(real(1), alpha=True)
    assert world.pool() == {"11": 1}
    world.reload(virtual(real(1), real(5), alpha=True))
    assert world.pool() == {"11": 1}
    assert world.said() == ([], [])
    world.run(2)
    assert world.said() == ([rs(5, "UP")], ["UP r5"])


def test_a_server_that_is_down_stays_down_when_its_check_changes():
    world = world_with(real(1), real(2), down=["r2"])
    world.reload(virtual(real(1), real(2, checks=[misc("r2", dynamic=True)])))
    # keepalived 2.2.7 takes it for up here, sends clients to it, and finds it down again.
    assert world.said() == ([], [])
    assert world.pool() == {"11": 1}
    world.run(3)
    assert world.pool() == {"11": 1}
    world.answers["r2"] = 0
    world.run(3)
    assert world.said() == ([rs(2, "UP")], ["UP r2"])


def test_a_server_that_is_up_stays_up_when_its_check_changes():
    world = world_with(real(1))
    world.reload(virtual(real(1, checks=[misc("new", alpha=True, retry=2)])))
    assert world.said() == ([], [])
    assert world.pool() == {"11": 1}


def test_without_the_check_that_failed_it_is_up():
    good = misc("a")
    world = world_with(real(1, checks=[good, misc("b")]), down=["b"])
    assert world.pool() == {}
    world.reload(virtual(real(1, checks=[good])))
    assert world.said() == ([rs(1, "UP"), f"VS {VS} UP"], ["UP r1", "QUP"])
    assert world.pool() == {"11": 1}


def test_a_removed_service_goes_down_with_its_servers():
    world = world_with(real(1), real(2), down=["r2"])
    world.reload(virtual(real(3), at=key("10.0.0.2")))
    assert world.said() == (
        [rs(1, "DOWN"), f"VS {VS} DOWN", "VS [10.0.0.2]:tcp:80 UP"],
        ["DOWN r1", "QDOWN", "QUP"],
    )
    assert key() not in world.health.standing
    assert len(world.health.state.watches) == 1


def test_removed_while_the_sorry_server_is_in_nobody_is_told_of_servers():
    world = world_with(real(1), real(2, 3), down=["r2"], quorum=3, sorry=True)
    assert world.pool() == {"19": 1}
    world.reload()
    assert world.said() == ([], [])


def test_removed_while_a_probe_runs_the_probe_is_ended():
    world = World(virtual(real(1), real(2)), latency=0.5)
    while not world.running:
        world.run(0.05)
    world.reload()
    assert not world.running
    assert world.health.next_deadline is None


def test_a_shorter_interval_counts_from_now():
    world = world_with(real(1), delay_loop=60.0)
    world.run(60)
    world.starts.clear()
    world.reload(virtual(real(1), delay_loop=2.0))
    world.run(10)
    assert len(world.starts) == 5


def test_inhibit_and_sorry_server_take_effect_at_once():
    world = world_with(real(1), real(2), down=["r2"])
    world.reload(virtual(real(1), real(2, inhibit_on_failure=True)))
    assert world.pool() == {"11": 1, "12": 0}
    world.answers["r1"] = 1
    world.run(3)
    assert world.pool() == {"12": 0}
    world.reload(virtual(real(1), real(2), sorry=True))
    assert world.pool() == {"19": 1}
    world.reload(virtual(real(1), real(2)))
    assert world.pool() == {}


def test_another_weight_of_a_tracked_file():
    service = virtual(real(1, 10, checks=[FileCheck(track_file="tf")]))
    file = File(name="tf", path="/run/tf", weight=1)
    world = World(service, files={"tf": file})
    world.do(world.health.track_file("tf", 4, world.now))
    assert world.pool() == {"11": 14}
    world.reload(service, files={"tf": msgspec.structs.replace(file, weight=2)})
    assert world.pool() == {"11": 18}
    world.reload(service, files={"tf": msgspec.structs.replace(file, weight=0)})
    assert world.pool() == {}
    assert world.said()[1] == ["QUP", "DOWN r1", "QDOWN"]


def test_a_service_of_a_group_leaves_it():
    members = [virtual(real(1), at=key(f"10.0.0.{n}"), group="g") for n in (5, 6)]
    world = World(*members)
    world.answers["r1"] = 1
    world.run(3)
    assert world.pool(key("10.0.0.6")) == {}
    world.said()
    world.reload(members[0])
    assert key("10.0.0.6") not in world.health.standing
    assert world.said() == ([], [])
    world.reload(*members)
    assert world.pool(key("10.0.0.6")) == {}
    assert world.said() == ([], [])


def test_health_forgets_a_server_that_is_removed_while_it_is_down():
    world = world_with(real(1), real(2), down=["r2"])
    assert key() in world.health.standing
    world.reload(virtual(real(1)))
    assert key() not in world.health.standing
    assert world.said() == ([], [])


def test_a_group_of_two_protocols_is_two():
    tcp = virtual(real(1), at=key("10.0.0.5"), group="g")
    udp = virtual(real(2), at=key("10.0.0.5", protocol=Protocol.UDP), group="g")
    fwm = virtual(real(1, port=0), at=mark(3), group="g")
    world = World(fwm, tcp, udp)
    world.answers["r2"] = 1
    world.run(3)
    assert world.pool(udp.service.key) == {}
    assert world.pool(tcp.service.key) == world.pool(mark(3)) == {"11": 1}
    world.answers.update(r1=1, r2=0)
    world.run(3)
    assert world.pool(udp.service.key) == {"12": 1}
    assert world.pool(tcp.service.key) == world.pool(mark(3)) == {}


@pytest.mark.parametrize("port", [80, 8080])
def test_duplicates_are_checked_once(port):
    same = real(1, port=port)
    service = virtual(same, same)
    world = World(service, service)
    assert len(world.health.state.watches) == 1
    assert next(iter(world.health.state.servers())).key == destination("192.168.200.11").key
