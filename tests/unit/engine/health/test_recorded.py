# SPDX-License-Identifier: Apache-2.0
"""Stories that keepalived 2.2.7 told on the real IPVS of kernel 6.1, told again.

Each step: what changes, the FIFO's lines, the scripts, and the pool by last byte and weight.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from tests.unit.engine.health.build import World, key, mark, misc, real, virtual

from xlvs.model.checker import FileCheck, VirtualService
from xlvs.model.service import Family
from xlvs.model.tracking import File

VS = "[10.0.0.1]:tcp:80"


def rs(n, word, of=VS):
    return f"RS [192.168.200.1{n}]:tcp:80 {of} {word}"


def vs(word):
    return f"VS {VS} {word}"


@dataclass
class Step:
    """``answers``: exit statuses from now on."""

    answers: dict[str, int]
    fifo: list[str]
    scripts: list[str]
    pool: dict[str, int]


@dataclass
class Story:
    service: VirtualService
    start: Step
    steps: list[Step] = field(default_factory=list)
    stop: tuple[list[str], list[str]] = ([], [])


STORIES = {
    "a quorum of 1": Story(
        virtual(real(1), real(2, 2)),
        Step({}, [vs("UP")], ["QUP"], {"11": 1, "12": 2}),
        [
            Step({"r1": 1}, [rs(1, "DOWN")], ["DOWN r1"], {"12": 2}),
            Step({"r2": 1}, [rs(2, "DOWN"), vs("DOWN")], ["DOWN r2", "QDOWN"], {}),
            Step({"r1": 0}, [rs(1, "UP"), vs("UP")], ["UP r1", "QUP"], {"11": 1}),
        ],
    ),
    "a lost quorum without a sorry server leaves the others in": Story(
        virtual(real(1), real(2, 2), quorum=3),
        Step({}, [vs("UP")], ["QUP"], {"11": 1, "12": 2}),
        [
            Step({"r1": 1}, [rs(1, "DOWN"), vs("DOWN")], ["DOWN r1", "QDOWN"], {"12": 2}),
            Step({"r1": 0}, [rs(1, "UP"), vs("UP")], ["UP r1", "QUP"], {"11": 1, "12": 2}),
        ],
    ),
    "hysteresis and a sorry server": Story(
        virtual(real(1), real(2, 2), real(3), quorum=3, hysteresis=1, sorry=True),
        Step({}, [vs("UP")], ["QUP"], {"11": 1, "12": 2, "13": 1}),
        [
            Step({"r1": 1}, [rs(1, "DOWN")], ["DOWN r1"], {"12": 2, "13": 1}),
            Step({"r2": 1}, [rs(2, "DOWN"), vs("DOWN")], ["DOWN r2", "QDOWN"], {"19": 1}),
            Step({"r1": 0}, [rs(1, "UP")], ["UP r1"], {"19": 1}),
            Step(
                {"r2": 0},
                [rs(2, "UP"), vs("UP")],
                ["UP r2", "QUP"],
                {"11": 1, "12": 2, "13": 1},
            ),
        ],
    ),
    "hysteresis that cannot be reached": Story(
        virtual(real(1), real(2, 2), quorum=3, hysteresis=1, sorry=True),
        Step({}, [vs("DOWN")], ["QDOWN"], {"19": 1}),
        [
            Step({"r1": 1}, [rs(1, "DOWN")], ["DOWN r1"], {"19": 1}),
            Step({"r2": 1}, [rs(2, "DOWN")], ["DOWN r2"], {"19": 1}),
        ],
    ),
    "hysteresis above the quorum": Story(
        virtual(real(1, 4), real(2, 4), quorum=2, hysteresis=5, sorry=True),
        Step({}, [vs("UP")], ["QUP"], {"11": 4, "12": 4}),
        [
            Step({"r1": 1}, [rs(1, "DOWN")], ["DOWN r1"], {"12": 4}),
            Step({"r2": 1}, [rs(2, "DOWN"), vs("DOWN")], ["DOWN r2", "QDOWN"], {"19": 1}),
            Step({"r2": 0}, [rs(2, "UP"), vs("UP")], ["UP r2", "QUP"], {"12": 4}),
        ],
    ),
    "a quorum above all weights": Story(
        virtual(real(1), quorum=9, sorry=True),
        Step({}, [vs("UP")], ["QUP"], {"11": 1}),
    ),
    "no weight at all": Story(
        virtual(real(1, 0), sorry=True),
        Step({}, [vs("DOWN")], ["QDOWN"], {"19": 1}),
        [Step({"r1": 1}, [rs(1, "DOWN")], ["DOWN r1"], {"19": 1})],
    ),
    "alpha and omega": Story(
        virtual(real(1), real(2, 2), alpha=True, omega=True, sorry=True),
        Step({"r2": 1}, [vs("DOWN")], ["QDOWN"], {"19": 1}),
        [
            Step(
                {},
                [rs(1, "UP"), vs("UP"), rs(2, "DOWN")],
                ["UP r1", "QUP", "DOWN r2"],
                {"11": 1},
            ),
            Step({"r2": 0}, [rs(2, "UP")], ["UP r2"], {"11": 1, "12": 2}),
        ],
        ([rs(1, "DOWN"), rs(2, "DOWN"), vs("DOWN")], ["DOWN r1", "DOWN r2", "QDOWN"]),
    ),
    "alpha without a sorry server begins in silence": Story(
        virtual(real(1), alpha=True),
        Step({"r1": 1}, [], [], {}),
        [
            Step({}, [rs(1, "DOWN")], ["DOWN r1"], {}),
            Step({"r1": 0}, [rs(1, "UP"), vs("UP")], ["UP r1", "QUP"], {"11": 1}),
        ],
    ),
    "omega tells a lost quorum again": Story(
        virtual(real(1), real(2, 2), omega=True, sorry=True),
        Step({}, [vs("UP")], ["QUP"], {"11": 1, "12": 2}),
        [
            Step({"r2": 1}, [rs(2, "DOWN")], ["DOWN r2"], {"11": 1}),
            Step({"r1": 1}, [rs(1, "DOWN"), vs("DOWN")], ["DOWN r1", "QDOWN"], {"19": 1}),
        ],
        ([vs("DOWN")], ["QDOWN"]),
    ),
    "omega says nothing of servers that live outside of the pool": Story(
        virtual(real(1), real(2, 2), real(3), omega=True, sorry=True, quorum=4),
        Step({}, [vs("UP")], ["QUP"], {"13": 1, "12": 2, "11": 1}),
        [Step({"r2": 1}, [rs(2, "DOWN"), vs("DOWN")], ["DOWN r2", "QDOWN"], {"19": 1})],
        ([vs("DOWN")], ["QDOWN"]),
    ),
    "inhibit_on_failure": Story(
        virtual(real(1, inhibit_on_failure=True), real(2, 2, inhibit_on_failure=True), sorry=True),
        Step({}, [vs("UP")], ["QUP"], {"11": 1, "12": 2}),
        [
            Step({"r2": 1}, [rs(2, "DOWN")], ["DOWN r2"], {"11": 1, "12": 0}),
            Step(
                {"r1": 1},
                [rs(1, "DOWN"), vs("DOWN")],
                ["DOWN r1", "QDOWN"],
                {"11": 0, "12": 0, "19": 1},
            ),
            Step({"r2": 0}, [rs(2, "UP"), vs("UP")], ["UP r2", "QUP"], {"11": 0, "12": 2}),
        ],
    ),
    "inhibit_on_failure of one that lives": Story(
        virtual(
            real(1, inhibit_on_failure=True),
            real(2, 2, inhibit_on_failure=True),
            quorum=2,
            sorry=True,
        ),
        Step({}, [vs("UP")], ["QUP"], {"11": 1, "12": 2}),
        [
            Step(
                {"r2": 1},
                [rs(2, "DOWN"), vs("DOWN")],
                ["DOWN r2", "QDOWN"],
                {"11": 0, "12": 0, "19": 1},
            ),
        ],
    ),
    "sorry_server_inhibit": Story(
        virtual(real(1), real(2, 2), sorry=True, sorry_server_inhibit=True),
        Step({}, [vs("UP")], ["QUP"], {"11": 1, "12": 2, "19": 0}),
        [
            Step({"r2": 1}, [rs(2, "DOWN")], ["DOWN r2"], {"11": 1, "19": 0}),
            Step({"r1": 1}, [rs(1, "DOWN"), vs("DOWN")], ["DOWN r1", "QDOWN"], {"19": 1}),
            Step({"r2": 0}, [rs(2, "UP"), vs("UP")], ["UP r2", "QUP"], {"12": 2, "19": 0}),
        ],
    ),
    "dynamic weights": Story(
        virtual(
            real(1, 10, checks=[misc("r1", dynamic=True)]),
            real(2, 4, checks=[misc("r2", dynamic=True), misc("x1", dynamic=True)]),
            quorum=10,
            sorry=True,
        ),
        Step({}, [vs("UP")], ["QUP"], {"11": 10, "12": 4}),
        [
            Step({"r1": 7}, [vs("DOWN")], ["QDOWN"], {"19": 1}),
            Step({"r1": 2}, [], [], {"19": 1}),
            Step({"r1": 0}, [vs("UP")], ["QUP"], {"11": 10, "12": 4}),
            Step({"r2": 20}, [], [], {"11": 10, "12": 18}),
            Step({"x1": 10}, [], [], {"11": 10, "12": 22}),
            Step({"r2": 0}, [], [], {"11": 10, "12": 8}),
            Step({"x1": 2}, [], [], {"11": 10, "12": 0}),
            Step({"x1": 1}, [rs(2, "DOWN")], ["DOWN r2"], {"11": 10}),
            Step({"x1": 0}, [rs(2, "UP")], ["UP r2"], {"11": 10, "12": 4}),
        ],
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_stories(name):
    story = STORIES[name]
    world = World(now=1000.0)
    world.answers.update(story.start.answers)
    world.reload(story.service)
    for step in [story.start, *story.steps]:
        if step is not story.start:
            world.answers.update(step.answers)
            world.run(2.5)
        fifo, scripts = world.said()
        if step is not story.start and not step.answers:  # the first checks come at random
            fifo, scripts = sorted(fifo), sorted(scripts)
            assert (fifo, scripts) == (sorted(step.fifo), sorted(step.scripts))
        else:
            assert (fifo, scripts) == (step.fifo, step.scripts), step
        assert world.pool() == step.pool, step
    world.do(world.health.stop())
    assert world.said() == story.stop


ORDERS = {
    # What fails, the pool from its head, then again when it is back.
    "one": (
        virtual(real(1), real(2, 2), real(3)),
        "r1",
        [["13", "12", "11"], ["13", "12"], ["11", "13", "12"]],
    ),
    "all": (
        virtual(real(1), real(2, 2), real(3), quorum=4, sorry=True),
        "r2",
        [["13", "12", "11"], ["19"], ["13", "12", "11"]],
    ),
    "all, inhibited sorry server": (
        virtual(real(1), real(2, 2), real(3), quorum=4, sorry=True, sorry_server_inhibit=True),
        "r2",
        [["19", "13", "12", "11"], ["19"], ["13", "12", "11", "19"]],
    ),
    "alpha": (
        virtual(real(1), real(2, 2), sorry=True),
        "r1",
        [["12", "11"], ["12"], ["11", "12"]],
    ),
}


@pytest.mark.parametrize("name", ORDERS)
def test_order_of_the_pool(name):
    service, which, orders = ORDERS[name]
    world = World(service)
    world.run(2)
    found = [list(world.pool())]
    for code in (1, 0):
        world.answers[which] = code
        world.run(2)
        found.append(list(world.pool()))
    assert found == orders


def test_names_of_marks_groups_and_ipv6():
    services = [
        virtual(real(1), at=key("10.0.0.5"), group="g1"),
        virtual(real(1, port=90), at=key("10.0.0.6", 90), group="g1"),
        virtual(real(1, port=0), at=mark(9), group="g1"),
        virtual(real(2, port=0), at=mark(5)),
        virtual(real(3, address="fd00::1"), at=key("fd00::5", 443)),
        virtual(real(4, port=0, address="fd00::1"), at=mark(6, Family.INET6)),
    ]
    world = World(*services)
    assert world.fifo == ["VS [g1]:0 UP", "VS FWM 5 UP", "VS [fd00::5]:tcp:443 UP", "VS FWM 6 UP"]
    world.run(2)
    for n, lines in {
        1: ["RS [192.168.200.11]:tcp:80 [g1]:0 DOWN", "VS [g1]:0 DOWN"],
        2: ["RS [192.168.200.12]:none:0 FWM 5 DOWN", "VS FWM 5 DOWN"],
        # DR does not translate ports: the server's is the service's.
        3: ["RS [fd00::1]:tcp:443 [fd00::5]:tcp:443 DOWN", "VS [fd00::5]:tcp:443 DOWN"],
        4: ["RS [fd00::1]:none:0 FWM 6 DOWN", "VS FWM 6 DOWN"],
    }.items():
        world.clear()
        world.answers[f"r{n}"] = 1
        world.run(2)
        assert world.fifo == lines
    # One check of a group's server speaks for all the group's services.
    assert [world.pool(each.service.key) for each in services[:3]] == [{}, {}, {}]


def test_the_servers_of_a_mark_have_ports_of_their_own():
    world = World(virtual(real(1, port=81), real(2, port=82), at=mark(5)))
    world.answers["r1"] = 1
    world.run(2)
    assert world.pool(mark(5)) == {"12": 1}
    assert world.fifo[1:] == ["RS [192.168.200.11]:none:81 FWM 5 DOWN"]


def test_mail_subjects():
    service = virtual(real(1), real(2, 2), smtp_alert=True)
    world = World(service)
    world.health.state.alerts = world.health.state.alerts._replace(router_id="R1")
    world.run(2)
    world.clear()
    world.answers.update(r1=1)
    world.run(2)
    world.answers.update(r2=1)
    world.run(2)
    world.answers.update(r1=0)
    world.run(2)
    real1 = "[R1] Realserver [192.168.200.11]:tcp:80 of virtual server [10.0.0.1]:tcp:80"
    real2 = "[R1] Realserver [192.168.200.12]:tcp:80 of virtual server [10.0.0.1]:tcp:80"
    virtual1 = "[R1] Virtualserver [10.0.0.1]:tcp:80"
    assert world.mails == [
        f"{real1} - DOWN",
        f"{real2} - DOWN",
        f"{virtual1} - DOWN",
        f"{real1} - UP",
        f"{virtual1} - UP",
    ]


@pytest.mark.parametrize(
    ("said", "global_", "real_mailed", "virtual_mailed"),
    [
        (None, None, True, False),
        (None, False, False, False),
        (None, True, True, True),
        (False, True, False, False),
        (True, False, True, True),
    ],
)
def test_who_is_mailed(said, global_, real_mailed, virtual_mailed):
    world = World(virtual(real(1, smtp_alert=said), smtp_alert=said))
    world.health.state.alerts = world.health.state.alerts._replace(smtp_alert=global_)
    world.clear()
    world.answers["r1"] = 1
    world.run(3)
    assert any("Realserver" in each for each in world.mails) == real_mailed
    assert any("Virtualserver" in each for each in world.mails) == virtual_mailed


FILE_VALUES = {
    # value: weights of the servers 1..5, as read from ipvsadm; None: removed
    0: (10, 10, 10, 10, None),
    1: (11, 11, 12, 9, 10),
    5: (15, 15, 20, 5, 10),
    -5: (5, 5, 0, 15, 10),
    255: (265, 265, 520, 0, 10),
    256: (266, 266, 522, 0, 10),
    -253: (0, 0, 0, 263, 10),
    -256: (0, 0, 0, 266, 10),
    300: (310, 310, 610, 0, 10),
    2: (12, 12, 14, 8, 10),
}


def test_file_check():
    checks = [
        FileCheck(track_file="tf"),  # the file's weight
        FileCheck(track_file="tf", weight=1),
        FileCheck(track_file="tf", weight=2),
        FileCheck(track_file="tf", weight=-1),
        FileCheck(track_file="tf", weight=0, reverse=True),
    ]
    service = virtual(*[real(n, 10, checks=[each]) for n, each in enumerate(checks, 1)])
    world = World(service, files={"tf": File(name="tf", path="/run/tf", weight=1)})
    for value, weights in FILE_VALUES.items():
        world.do(world.health.track_file("tf", value, world.now))
        pool = world.pool()
        assert tuple(pool.get(f"1{n}") for n in range(1, 6)) == weights, value
    assert "RS [192.168.200.15]:tcp:80 [10.0.0.1]:tcp:80 UP" in world.fifo


def test_ha_suspend():
    service = virtual(real(1), ha_suspend=True)
    world = World()
    world.answers["r1"] = 1
    world.do(world.health.addresses(frozenset(), world.now))
    world.reload(service)
    world.run(5)
    assert world.said() == ([vs("UP")], ["QUP"])
    assert world.starts == []
    world.do(world.health.addresses({service.service.key.address}, world.now))
    world.run(3)
    assert world.said() == ([rs(1, "DOWN"), vs("DOWN")], ["DOWN r1", "QDOWN"])
    world.do(world.health.addresses(frozenset(), world.now))
    world.starts.clear()
    world.answers["r1"] = 0
    world.run(3)
    assert (world.said(), world.starts) == (([], []), [])
    world.do(world.health.addresses({service.service.key.address}, world.now))
    world.run(3)
    assert world.said() == ([rs(1, "UP"), vs("UP")], ["UP r1", "QUP"])


def test_one_address_of_a_group_is_enough_for_its_checks():
    members = [virtual(real(1), at=key(f"10.0.0.{n}"), group="g", ha_suspend=True) for n in (5, 6)]
    world = World()
    world.do(world.health.addresses({members[1].service.key.address}, world.now))
    world.reload(*members)
    world.run(3)
    assert world.starts
    world.do(world.health.addresses(frozenset(), world.now))
    world.starts.clear()
    world.run(3)
    assert not world.starts


@pytest.mark.parametrize(
    ("file", "check", "value", "weight"),
    [
        (File(name="tf", path="/f", weight=2), FileCheck(track_file="tf"), 3, 16),
        (File(name="tf", path="/f", weight=2, reverse=True), FileCheck(track_file="tf"), 3, 4),
        (File(name="tf", path="/f", weight=0), FileCheck(track_file="tf"), 3, None),
        (File(name="tf", path="/f", weight=0), FileCheck(track_file="tf"), 0, 10),
        (None, FileCheck(track_file="tf"), 3, 13),
        (None, FileCheck(track_file="tf", weight=2, reverse=True), 3, 4),
        (None, FileCheck(track_file="tf", weight=65536), 3, 65535),
    ],
)
def test_weights_of_files(file, check, value, weight):
    world = World(virtual(real(1, 10, checks=[check])), files={"tf": file} if file else {})
    world.do(world.health.track_file("tf", value, world.now))
    assert world.pool().get("11") == weight


def test_retries_and_intervals():
    check = misc("r1", retry=3, delay_before_retry=0.7)
    world = World(virtual(real(1, checks=[check]), delay_loop=3.0))
    world.run(6)
    world.answers["r1"] = 1
    world.starts.clear()
    world.run(12)
    starts = [at for at, _ in world.starts]
    gaps = [round(b - a, 1) for a, b in pairwise(starts)]
    assert gaps == [0.7, 0.7, 0.7, *[3.0] * (len(gaps) - 3)]
    assert world.fifo == [vs("UP"), rs(1, "DOWN"), vs("DOWN")]


def test_the_first_result_is_believed_at_once():
    check = misc("r1", retry=2, delay_before_retry=0.7)
    world = World()
    world.answers["r1"] = 1
    world.reload(virtual(real(1, checks=[check]), delay_loop=3.0))
    world.run(3.1)
    assert len(world.starts) in {1, 2}
    assert world.fifo == [vs("UP"), rs(1, "DOWN"), vs("DOWN")]
