# SPDX-License-Identifier: Apache-2.0
"""Processes are ended by number and start time, never by number alone."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from xlvs.lab.processes import Process, end, identify, spawn

Started = tuple["subprocess.Popen[bytes]", Process]


@pytest.fixture
def sleeper() -> Iterator[Started]:
    child, process = spawn(
        ["sh", "-c", "sleep 60 & wait"], "sleep", output=subprocess.DEVNULL, keep=False
    )
    yield child, process
    end([process])
    child.wait()


def test_recognises_itself() -> None:
    me = identify(os.getpid(), "me")
    assert me.alive
    assert not replace(me, start=me.start + 1).alive


def test_ends_a_process_with_its_children(sleeper: Started) -> None:
    child, process = sleeper
    assert process.alive
    end([process])
    assert not process.alive
    assert child.wait() == -15
    # Whoever adopted the grandchild takes its exit status in a moment.
    end_of_patience = time.monotonic() + 5
    while True:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        assert time.monotonic() < end_of_patience
        time.sleep(0.01)


def test_leaves_another_process_of_the_same_number_alone(sleeper: Started) -> None:
    child, process = sleeper
    end([replace(process, start=process.start - 1)])
    assert child.poll() is None


def test_kills_what_does_not_listen() -> None:
    child, process = spawn(
        ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"],
        "deaf",
        output=subprocess.PIPE,
        keep=False,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    end([process], patience=0.2)
    assert child.wait() == -9
    child.stdout.close()


def test_a_process_that_is_gone_is_no_problem() -> None:
    end([Process(2**22 - 1, 1, "nobody")])
