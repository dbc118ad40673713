# SPDX-License-Identifier: Apache-2.0
"""Which programs are meant, and what is said when one is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from xlvs.lab import run
from xlvs.lab.problem import LabError


def test_our_commands_never_come_from_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python").touch()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert run.program("ipvsadm")[:2] == [str(tmp_path / "python"), "-m"]
    (tmp_path / "ipvsadm").touch()
    assert run.program("ipvsadm") == [str(tmp_path / "ipvsadm")]


def test_missing_programs_are_named_by_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(run.PACKAGES, "surely-not-there", "nginx-light")
    with pytest.raises(LabError, match="apt-get install nginx-light"):
        run.need("surely-not-there")


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(LabError, match="needs root"):
        run.need_root()
