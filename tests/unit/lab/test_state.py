# SPDX-License-Identifier: Apache-2.0
"""A lab's record, written whole and read back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xlvs.lab import state
from xlvs.lab.problem import LabError
from xlvs.lab.processes import Process, identify


@pytest.fixture(autouse=True)
def run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XLVS_RUN", str(tmp_path))
    return tmp_path


def record(prefix: str = "xlvs-a", *, kept: bool = False) -> state.Record:
    return state.Record(
        prefix=prefix, topology="full", owner=state.owner(), kept=kept, directory="/nowhere"
    )


def test_comes_back_as_it_was() -> None:
    written = record()
    written.add(identify(os.getpid(), "me"))
    assert state.load("xlvs-a") == written
    assert [process.what for process in written.running()] == ["me"]
    assert written.instance == "a"


def test_forgets_without_a_trace(run_directory: Path) -> None:
    written = record()
    written.save()
    written.forget()
    assert state.load("xlvs-a") is None
    assert list(run_directory.iterdir()) == []


def test_is_abandoned_when_its_owner_is_gone() -> None:
    mine, kept = record(), record("xlvs-b", kept=True)
    assert not mine.abandoned
    gone = type(mine.owner)(mine.owner.pid, mine.owner.start - 1, "owner")
    mine.owner = kept.owner = gone
    assert mine.abandoned
    assert not kept.abandoned


def test_lists_every_readable_one(run_directory: Path) -> None:
    record("xlvs-a").save()
    record("xlvs-b").save()
    (run_directory / "lab" / "xlvs-c.json").write_text("{")
    assert [found.prefix for found in state.load_all()] == ["xlvs-a", "xlvs-b"]
    with pytest.raises(LabError, match=r"xlvs-c\.json is not readable"):
        state.load("xlvs-c")


def test_running_leaves_out_what_has_ended() -> None:
    written = record()
    written.add(Process(2**22 - 1, 5, "gone"))
    assert written.running() == []
