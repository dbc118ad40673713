# SPDX-License-Identifier: Apache-2.0
"""Servers of the lab in cgroups, and without any."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from xlvs.lab import cgroups
from xlvs.model.problem import Code, Problem
from xlvs.realserver.client_address import cgroup


def test_a_program_enters_before_it_begins(tmp_path: Path) -> None:
    place = tmp_path / "xlvs-lab" / "rs1"
    argv = cgroups.enter(str(place), ["echo", "a b", "c"])
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == "a b c\n"
    assert int((place / "cgroup.procs").read_text())


def test_none_are_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(_path: object) -> cgroup.Cgroup:
        raise Problem(Code.NOT_SUPPORTED, "none")

    monkeypatch.setattr(cgroup, "find", nowhere)
    assert cgroups.path("xlvs-lab", "rs1") == ""
    assert cgroups.enter("", ("nginx", "-v")) == ["nginx", "-v"]
    cgroups.remove("xlvs-lab")


def test_another_lab_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cgroup, "find", lambda _: cgroup.Cgroup(str(tmp_path), 1, root=True))
    other = tmp_path / "xlvs-other" / "rs1"
    other.mkdir(parents=True)
    cgroups.remove("xlvs-lab")
    assert other.is_dir()
