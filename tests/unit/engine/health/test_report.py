# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from tests.unit.engine.health.build import World, key, misc, real, virtual

from xlvs.model.checker import HttpCheck, TcpCheck


def test_all_that_status_says():
    checks = [misc("a", warmup=0.0), misc("b", retry=3, warmup=0.0, delay_before_retry=9.0)]
    service = virtual(
        real(1, 4, checks=checks), real(2, 3), quorum=6, hysteresis=1, delay_loop=10.0, sorry=True
    )
    world = World(service)
    world.run(10.5)
    world.answers.update(a=1, b=1)
    world.run(10)
    (found,) = world.health.report()
    assert (found.name, found.services) == ("[10.0.0.1]:tcp:80", (key(),))
    assert (found.up, found.weight, found.gain, found.keep) == (False, 3, 7, 5)
    assert (found.sorry_in, found.suspended) == (True, False)
    one, two = found.servers
    assert (one.up, one.in_rotation, one.weight, one.asked) == (False, False, 0, 4)
    assert one.since == one.failure.at or one.failure.cause.startswith("MISC_CHECK: exit")
    # It is up, but the sorry server has its place.
    assert (two.up, two.in_rotation, two.failure) == (True, False, None)
    a, b = one.checks
    assert (a.check, a.passing, a.failures, a.last.ok) == ("MISC_CHECK", False, 1, False)
    assert (b.check, b.passing, b.failures, b.last.cause) == (
        "MISC_CHECK",
        True,
        1,
        "exit status 1",
    )
    assert a.due > world.now
    assert b.due > world.now


def test_weights_and_a_running_probe():
    world = World(virtual(real(1, 4, inhibit_on_failure=True)), latency=0.5)
    world.answers["r1"] = 9
    world.run(3)
    ((server,),) = [each.servers for each in world.health.report()]
    assert (server.weight, server.in_rotation) == (7, True)
    world.answers["r1"] = 1
    while not world.running or world.pool() != {"11": 0}:
        world.run(0.1)
    ((server,),) = [each.servers for each in world.health.report()]
    assert (server.weight, server.in_rotation, server.up) == (0, True, False)
    assert server.checks[0].running
    assert server.checks[0].due is None


def test_checkers_are_called_as_in_the_file():
    checks = [TcpCheck(), HttpCheck(), HttpCheck(tls=True)]
    world = World(virtual(real(1, checks=checks)))
    ((server,),) = [each.servers for each in world.health.report()]
    assert [each.check for each in server.checks] == ["TCP_CHECK", "HTTP_GET", "SSL_GET"]
    assert all(each.last is None for each in server.checks)
