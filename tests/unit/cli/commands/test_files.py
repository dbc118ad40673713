# SPDX-License-Identifier: Apache-2.0
"""``xlvs plan`` and ``xlvs apply``: exit statuses and words."""

from __future__ import annotations

import pytest

from xlvs import client
from xlvs.cli import main
from xlvs.model.problem import Code, Problem

FILE = """
virtual_server 10.0.0.1 80 {
    protocol TCP
    lb_kind NAT
    real_server 10.2.0.11 80 { weight 3 }
}
"""


class Director:
    def __init__(self):
        self.asked = []
        self.problem = None
        self.changes = ["add tcp 10.0.0.1:80: scheduler wlc"]

    def plan(self, wanted):
        return self._answer("plan", wanted)

    def apply(self, wanted, *, services_only):
        return self._answer("services" if services_only else "apply", wanted)

    def _answer(self, what, wanted):
        if self.problem:
            raise self.problem
        self.asked.append((what, [each.name for each in wanted.services]))
        return self.changes


@pytest.fixture
def director(monkeypatch):
    made = Director()
    monkeypatch.setattr(client, "from_environment", lambda: made)
    return made


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "keepalived.conf"
    path.write_text(FILE)
    return str(path)


def test_what_changes_is_told(director, file, capsys):
    assert main.main(["plan", file]) == 0
    assert main.main(["apply", file]) == 0
    assert main.main(["apply", "--services-only", file]) == 0
    assert capsys.readouterr().out.splitlines() == director.changes * 3
    assert [what for what, _ in director.asked] == ["plan", "apply", "services"]
    director.changes = []
    assert main.main(["apply", file]) == 0
    assert capsys.readouterr().out == "nothing changes\n"


def test_a_wrong_file_is_not_sent(director, tmp_path, capsys):
    path = tmp_path / "wrong"
    path.write_text("virtual_server {")
    assert main.main(["apply", str(path)]) == 1
    assert f"{path}:1" in capsys.readouterr().err
    assert not director.asked


@pytest.mark.parametrize(("code", "status"), [(Code.NOT_SUPPORTED, 1), (Code.INTERNAL, 255)])
def test_refused_or_unanswered(director, file, capsys, code, status):
    director.problem = Problem(code, "the reason")
    assert main.main(["apply", file]) == status
    assert capsys.readouterr().err == "xlvs apply: the reason\n"
