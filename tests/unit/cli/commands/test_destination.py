# SPDX-License-Identifier: Apache-2.0
"""``xlvs destination`` in front of a director whose maps are in memory."""

from __future__ import annotations

import json
from itertools import chain

import pytest
from tests.oracle.desired_director import DesiredDirector
from tests.unit.datapath_plan.build import KEY, World, add, add_service, change, drop, real

from xlvs.api import listing, views
from xlvs.cli.commands import destination as command
from xlvs.cli.main import main
from xlvs.datapath.records import DestinationLoad
from xlvs.model.edit import AddService
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Family, Protocol, Service, ServiceKey
from xlvs.wire.messages import DrainList, DrainView, Listing

VIP, SERVER = "10.0.0.1:80", f"{real(1)}:80"


class Client:
    """What the command asks, and a clock whose steps make things happen."""

    def __init__(self):
        self.world = World()
        self.world.do(add_service("rr"), add(1, 3), add(2))
        self.steps = []
        self.away = 0

    def edit(self, edits):
        return self.world.director.edit(edits, go_on=False)

    def drains(self):
        if self.away:
            self.away -= 1
            raise Problem(Code.INTERNAL, "xlvsd is not running")
        return views.drain_list(self.world.director)

    def listing(self):
        services = list(chain.from_iterable(listing.lines(self.world.director, "")))
        return Listing(0, services)

    def load(self, active, inactive=0, persistent=0):
        id_ = self.world.director.effective.destination_ids[KEY][1]
        self.world.port.connected[id_] = DestinationLoad(
            active=active, inactive=inactive, persistent=persistent
        )

    def sleep(self, seconds):
        self.world.wall += seconds
        if not self.steps:
            pytest.fail("it waits for ever")
        self.steps.pop(0)()


@pytest.fixture
def client(monkeypatch):
    made = Client()
    monkeypatch.setattr(command, "from_environment", lambda: made)
    monkeypatch.setattr(command.time, "sleep", made.sleep)
    monkeypatch.setattr(command.time, "time", lambda: made.world.wall)
    monkeypatch.setattr(command.time, "monotonic", lambda: made.world.wall)
    return made


def run(*words):
    return main(["destination", *words])


def test_it_waits_until_no_connection_is_left(client, capsys):
    client.load(2, 1, 1)
    client.steps = [lambda: client.load(0, 1, 1), lambda: None, lambda: client.load(0)]
    assert run("drain", VIP, SERVER) == 0
    title = f"tcp {VIP} {SERVER}: "
    assert capsys.readouterr().out.splitlines() == [
        f"{title}weight 0 (was 3), until somebody ends it",
        "  2 active, 1 inactive, 1 persistent",
        "  0 active, 1 inactive, 1 persistent",
        f"{title}no connections are left; its weight stays 0",
    ]
    assert run("undrain", VIP, SERVER) == 0
    assert capsys.readouterr().out == f"{title}weight 3 again\n"


def test_at_the_deadline_it_says_what_was_left(client, capsys):
    client.load(2)
    client.steps = [lambda: None, client.world.director.end_drains]
    assert run("drain", VIP, SERVER, "--for", "1s") == 0
    out = capsys.readouterr().out.splitlines()
    assert "weight 0 (was 3), removed at " in out[0]
    assert out[1] == "  2 active, 0 inactive, 0 persistent, 0:01 left"
    assert out[-1].endswith(
        "the time is over and it is removed; left at the end: 2 active, 0 inactive, 0 persistent"
    )


@pytest.mark.parametrize(
    ("edit", "said"),
    [(change(1, 4), "somebody ended the drain: its weight is 4"), (drop(1), "somebody removed it")],
)
def test_somebody_elses_end_is_told(client, capsys, edit, said):
    client.load(2)
    client.steps = [lambda: client.world.do(edit)]
    assert run("drain", VIP, SERVER, "--for", "5m") == 1
    assert capsys.readouterr().out.splitlines()[-1] == f"tcp {VIP} {SERVER}: {said}"


def test_an_interrupt_leaves_it_draining(client, capsys):
    def interrupt():
        raise KeyboardInterrupt

    client.load(2)
    client.steps = [interrupt]
    assert run("drain", VIP, SERVER) == 130
    assert "draining goes on" in capsys.readouterr().out
    assert len(client.drains().drains) == 1


def test_a_daemon_that_is_restarted_is_waited_for(client, capsys):
    def restart():
        client.away = 3

    client.load(2)
    client.steps = [restart, *[lambda: None] * 3, lambda: client.load(0)]
    assert run("drain", VIP, SERVER) == 0
    assert "no connections are left" in capsys.readouterr().out


def test_a_daemon_that_stays_away(client, capsys):
    def gone():
        client.away = 10**6

    client.load(2)
    client.steps = [gone, *[lambda: None] * 100]
    assert run("drain", VIP, SERVER) == 255
    assert capsys.readouterr().err == "xlvs destination drain: xlvsd is not running\n"


def test_detached_and_listed(client, capsys):
    client.load(2)
    assert run("drain", "--list") == 0
    assert capsys.readouterr().out == "no real server is being drained\n"
    assert run("drain", VIP, SERVER, "--for", "5m", "--detach") == 0
    capsys.readouterr()
    assert run("drain", "--list") == 0
    assert capsys.readouterr().out == (
        f"tcp {VIP} {SERVER}: 2 active, 0 inactive, 0 persistent, 5:00 left\n"
    )
    assert run("drain", "--list", "--json") == 0
    (shown,) = json.loads(capsys.readouterr().out)["drains"]
    assert (shown["active"], shown["weight_before"]) == (2, 3)
    assert shown["until"] == client.world.wall + 300


class Marked(DesiredDirector):
    """Marks are no service of the director in memory."""

    def drains(self):
        return DrainList(
            drains=[
                DrainView(
                    **drained._asdict(),
                    since=drain.since,
                    until=drain.until,
                    weight_before=1,
                    active=0,
                    inactive=0,
                    persistent=0,
                )
                for drained, drain in self.desired.drains.items()
            ]
        )


def test_marks_are_found_by_their_server(monkeypatch, capsys):
    client = Marked()
    monkeypatch.setattr(command, "from_environment", lambda: client)
    keys = [
        ServiceKey(protocol=Protocol.FWM, fwmark=7, family=family)
        for family in (Family.INET6, Family.INET)
    ]
    client.edit([*(AddService(service=Service(key=key)) for key in keys), add(1, key=keys[1])])
    assert run("drain", "--fwmark", "7", SERVER, "--detach") == 0
    assert client.drains().drains[0].service == keys[1]
    assert capsys.readouterr().out.startswith(f"fwm 7 {SERVER}: weight 0 (was 1)")
    assert run("drain", "--fwmark", "8", SERVER) == 1
    assert run("undrain", "--fwmark", "7", f"{real(2)}:80") == 1
    assert capsys.readouterr().err == (
        "xlvs destination drain: No such service\nxlvs destination undrain: No such destination\n"
    )


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("drain", VIP), 1, "wants VIP:PORT and RIP:PORT"),
        (("drain", "--fwmark", "7", VIP, SERVER), 1, "wants the real server, RIP:PORT"),
        (("drain", VIP, "nobody:80"), 1, "wants ADDRESS:PORT or [IPv6]:PORT in numbers"),
        (("drain", "--udp", VIP, SERVER), 1, "No such service"),
        (("drain", VIP, "192.168.200.19:80"), 1, "No such destination"),
        (("undrain", VIP, SERVER), 1, "it is not being drained: its weight is 3"),
    ],
)
def test_what_is_refused(client, capsys, words, status, said):
    before = client.world.director.desired
    assert run(*words) == status
    assert said in capsys.readouterr().err
    assert client.world.director.desired == before


@pytest.mark.parametrize(
    "words",
    [
        ("drain", VIP, SERVER, "--for", "soon"),
        ("drain", VIP, SERVER, "--for", "32d"),
        ("drain", "--fwmark", "0", SERVER),
        ("drain", "--tcp", "--udp", VIP, SERVER),
        ("refill", VIP, SERVER),
    ],
)
@pytest.mark.usefixtures("client")
def test_what_is_no_command(words, capsys):
    with pytest.raises(SystemExit) as caught:
        run(*words)
    assert caught.value.code == 2
    assert capsys.readouterr().err


def test_on_a_terminal_one_line_is_written_over(client, capsys, monkeypatch):
    monkeypatch.setattr(command.sys.stdout, "isatty", lambda: True)
    client.load(2)
    client.steps = [lambda: None, lambda: client.load(0)]
    assert run("drain", VIP, SERVER) == 0
    lines = capsys.readouterr().out.split("\n")
    assert lines[1].count("\r\033[K  2 active, 0 inactive, 0 persistent") == 2
    assert lines[2].endswith("no connections are left; its weight stays 0")
