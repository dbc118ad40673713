# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from itertools import pairwise

import pytest
from tests.unit.engine.health.build import World, misc, real, virtual

from xlvs.engine.health import schedule
from xlvs.engine.health.outcome import Heard
from xlvs.engine.health.schedule import timing
from xlvs.model.checker import (
    BfdCheck,
    DnsCheck,
    FileCheck,
    HttpCheck,
    MiscCheck,
    PingCheck,
    SmtpCheck,
    SmtpHost,
    TcpCheck,
    UdpCheck,
    Url,
)
from xlvs.model.notification import Command

LONG = MiscCheck(command=Command(("x",)))


@pytest.mark.parametrize(
    ("check", "retries", "delay", "deadline"),
    [
        (TcpCheck(), 1, 1.0, 5.0),
        (TcpCheck(connect_timeout=2.0), 1, 1.0, 2.0),
        (HttpCheck(urls=(Url(), Url())), 1, 3.0, 20.0),
        (HttpCheck(tls=True, urls=(Url(),)), 1, 3.0, 15.0),
        (SmtpCheck(), 1, 1.0, 20.0),
        (SmtpCheck(hosts=(SmtpHost(), SmtpHost())), 1, 1.0, 40.0),
        (DnsCheck(), 3, 60.0, 5.0),
        (PingCheck(), 1, 1.0, 5.0),
        (UdpCheck(), 1, 1.0, 5.0),
        (LONG, 0, 1.0, 60.0),
        (MiscCheck(command=Command(("x",)), timeout=7.0), 0, 1.0, 7.0),
        (FileCheck(track_file="f"), 0, 1.0, 5.0),
        (BfdCheck(name="b"), 0, 1.0, 5.0),
    ],
)
def test_defaults(check, retries, delay, deadline):
    found = timing(check, virtual(delay_loop=60.0))
    assert (found.fall, found.delay_before_retry, found.deadline) == (retries + 1, delay, deadline)
    assert (found.delay_loop, found.warmup, found.rise) == (60.0, 60.0, 1)


def test_what_is_said_counts():
    check = TcpCheck(retry=0, rise=4, delay_before_retry=0.5, delay_loop=7.0, warmup=0.0)
    found = timing(check, virtual(delay_loop=60.0))
    assert found == schedule.Timing(7.0, 0.5, 0.0, 5.0, 1, 4)


def test_no_interval_keeps_a_processor_busy():
    found = timing(TcpCheck(delay_loop=0.0, delay_before_retry=0.0), virtual())
    assert found.delay_loop == found.delay_before_retry == schedule.SHORTEST_DELAY


def test_intervals_count_from_start_to_start():
    found = timing(TcpCheck(delay_loop=5.0), virtual())
    assert schedule.following(found, 100.0, 101.5, retry=False) == 105.0
    assert schedule.following(found, 100.0, 106.5, retry=False) == 106.5
    assert schedule.following(found, 100.0, 101.5, retry=True) == 102.5


def test_the_first_checks_are_spread_over_the_warm_up():
    servers = [real(n, address=f"10.1.{n >> 8}.{n & 255}") for n in range(1, 1001)]
    world = World(virtual(*servers, delay_loop=10.0))
    world.run(10)
    tenths = [int(at - 1000.0) for at, _ in world.starts]
    assert len(tenths) == 1000
    assert all(60 < tenths.count(each) < 140 for each in range(10))
    world.starts.clear()
    world.run(10)
    seconds = [int(at - 1010.0) for at, _ in world.starts]
    assert all(60 < seconds.count(each) < 140 for each in range(10))


def test_a_silent_probe_is_over_at_its_deadline_and_counts_as_failure():
    world = World()
    world.answers["r1"] = None
    world.reload(virtual(real(1, checks=[misc("r1", timeout=2.0, warmup=0.0)])))
    world.run(2.9)
    assert world.fifo == ["VS [10.0.0.1]:tcp:80 UP"]
    world.run(0.2)
    assert "RS [192.168.200.11]:tcp:80 [10.0.0.1]:tcp:80 DOWN" in world.fifo
    assert any("MISC_CHECK: no result after 2 s" in each for each in world.logs)
    world.run(20)
    gaps = [b[0] - a[0] for a, b in pairwise(world.starts)]
    assert gaps == pytest.approx([3.0] * len(gaps))


def test_a_result_that_comes_after_the_deadline_is_not_listened_to():
    world = World()
    world.answers["r1"] = None
    world.reload(virtual(real(1, checks=[misc("r1", timeout=2.0, warmup=0.0)]), delay_loop=60.0))
    world.run(4)
    (watch,) = world.health.state.watches.values()
    assert not watch.running
    assert world.health.result(watch.probe, watch.run, Heard(ok=True), world.now) == []
    assert world.pool() == {}


def test_the_result_of_a_probe_that_was_stopped_is_not_listened_to():
    world = World(virtual(real(1)), latency=100.0)
    world.run(3)
    assert not world.health.state.units["tcp [10.0.0.1]:80"].up
    for _, probe in world.pending:
        good = Heard(ok=True)
        assert world.health.result(probe.probe, probe.run + 7, good, world.now) == []
    assert world.health.result(999, 1, Heard(ok=True), world.now) == []
