# SPDX-License-Identifier: Apache-2.0
"""``xlvs watch``: a line for each event."""

from __future__ import annotations

import json

import pytest

from xlvs import client
from xlvs.cli import main
from xlvs.model.problem import Code, Problem
from xlvs.wire.events import Event, Kind

EVENTS = [
    Event(id=1, at=0.0, kind=Kind.EDIT, text="remove fwm 7 and its 2 real servers", by="deploy"),
    Event(id=2, at=1.0, kind=Kind.VRRP, text="MASTER: nobody is heard", about="VI_1"),
]


class Director:
    def __init__(self):
        self.after = []

    def events(self, after):
        self.after.append(after)
        yield from EVENTS
        if after == 7:
            raise Problem(Code.INTERNAL, "no answer from xlvsd")


@pytest.fixture
def director(monkeypatch):
    made = Director()
    monkeypatch.setattr(client, "from_environment", lambda: made)
    monkeypatch.setenv("TZ", "UTC")
    return made


def test_lines_for_people(director, capsys):
    assert main.main(["watch"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(" edit        remove fwm 7 and its 2 real servers (by deploy)")
    assert second.endswith(" vrrp        VI_1: MASTER: nobody is heard")
    assert director.after == [None]


def test_objects_for_programs(director, capsys):
    assert main.main(["watch", "-o", "json", "--after", "7"]) == 255
    said = capsys.readouterr()
    assert [json.loads(line)["id"] for line in said.out.splitlines()] == [1, 2]
    assert said.err == "xlvs watch: no answer from xlvsd\n"
    assert director.after == [7]
