# SPDX-License-Identifier: Apache-2.0
"""``xlvs settings`` in front of a director that only wants."""

from __future__ import annotations

import json

import pytest

from xlvs.api import views
from xlvs.cli.commands import settings as command
from xlvs.cli.main import main
from xlvs.engine.defence import Defence
from xlvs.model.desired import Desired, apply_all
from xlvs.model.problem import Code, Problem


class Director:
    def __init__(self):
        self.desired = Desired()
        self.defence = Defence()

    def edit(self, edits):
        self.desired, results = apply_all(self.desired, edits, "abort")
        return results

    def settings(self):
        return views.setting_list(self)


@pytest.fixture
def director(monkeypatch):
    made = Director()
    monkeypatch.setattr(command, "from_environment", lambda: made)
    return made


@pytest.mark.usefixtures("director")
def test_the_list_marks_what_was_changed(capsys):
    assert main(["settings", "net.ipv4.vs.sloppy_tcp=1"]) == 0
    assert capsys.readouterr().out == "net.ipv4.vs.sloppy_tcp = 1\n"
    assert main(["settings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line.startswith("*")] == [
        ["*", "net.ipv4.vs.sloppy_tcp", "1", "(default", "0)"]
    ]
    (threshold,) = [line for line in lines if "sync_threshold" in line]
    assert threshold.split("  ")[1].strip() == "net.ipv4.vs.sync_threshold"
    assert "no effect: stored" in threshold


@pytest.mark.usefixtures("director")
def test_some_are_shown_as_sysctl_shows_them(capsys):
    assert main(["settings", "net/ipv4/vs/pmtu_disc", "net.xlvs.profile", "pmtu_disc"]) == 0
    assert capsys.readouterr().out == "net.ipv4.vs.pmtu_disc = 1\nnet.xlvs.profile = ipvs\n"


def test_all_are_changed_or_none(director, capsys):
    assert main(["settings", "net.ipv4.vs.sloppy_tcp=1", "net.ipv4.vs.drop_entry=9"]) == 1
    assert capsys.readouterr().err == (
        "xlvs settings: net.ipv4.vs.drop_entry must be 0 to 3, not 9\n"
    )
    assert main(["settings", "net.ipv4.vs.sloppy_tcp=1", "net.ipv4.vs.nonsense"]) == 1
    assert "there is no setting net.ipv4.vs.nonsense" in capsys.readouterr().err
    assert director.desired.settings == {}


@pytest.mark.usefixtures("director")
def test_json(capsys):
    assert main(["settings", "--json", "net.xlvs.profile=modern"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == {
        "settings": [
            {"name": "net.xlvs.profile", "value": "modern", "default": "ipvs", "remark": ""}
        ]
    }
    assert main(["settings", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["settings"]) > 30


def test_no_daemon(monkeypatch, capsys):
    def nobody():
        raise Problem(Code.INTERNAL, "xlvsd is not running")

    monkeypatch.setattr(command, "from_environment", nobody)
    assert main(["settings"]) == 255
    assert capsys.readouterr().err == "xlvs settings: xlvsd is not running\n"
