# SPDX-License-Identifier: Apache-2.0
"""Scripts, files and processes as they are tracked."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from pathlib import Path

import pytest

from xlvs.io.vrrp.watching import count_processes, matches, run, watch_file, watch_script
from xlvs.model.notification import Command
from xlvs.model.tracking import File, Process, Script
from xlvs.protocols.vrrp.track import Kind


async def followed(watching, seconds, meanwhile=()):
    found = []
    task = asyncio.create_task(watching(lambda *result: found.append(result)))
    for pause, act in meanwhile:
        await asyncio.sleep(pause)
        act()
    await asyncio.sleep(seconds)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return found


def script(tmp_path, **more):
    command = Command(("/usr/bin/test", "-e", str(tmp_path / "flag")))
    return Script(name="s", command=command, **{"interval": 0.05} | more)


def test_a_script_rises_and_falls(tmp_path):
    wanted = script(tmp_path, rise=2, fall=2)
    flag = tmp_path / "flag"
    found = asyncio.run(
        followed(
            lambda report: watch_script(wanted, report),
            0.5,
            ((0.3, flag.touch), (0.5, flag.unlink)),
        )
    )
    assert found == [(Kind.SCRIPT, "s", 0), (Kind.SCRIPT, "s", 1), (Kind.SCRIPT, "s", 0)]


def test_init_fail_is_told_before_the_first_run(tmp_path):
    (tmp_path / "flag").touch()
    wanted = script(tmp_path, init_fail=True, rise=2)
    found = asyncio.run(followed(lambda report: watch_script(wanted, report), 0.4))
    assert found == [(Kind.SCRIPT, "s", 0), (Kind.SCRIPT, "s", 1)]


def test_a_script_that_hangs_has_failed_and_its_children_end_with_it(tmp_path):
    pid = tmp_path / "pid"
    command = Command(("/bin/sh", "-c", f"sleep 60 & echo $! > {pid}; wait"))
    begun = time.monotonic()
    assert asyncio.run(run(command, limit=0.3)) == -1
    assert time.monotonic() - begun < 5
    state = Path("/proc", pid.read_text().strip(), "stat")
    for _ in range(100):
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.02)
    raise AssertionError(state.read_text())


def test_a_program_that_is_not_there():
    assert asyncio.run(run(Command(("/nonexistent",)))) == 127


def test_a_file_and_its_first_value(tmp_path):
    path = tmp_path / "file"
    wanted = File(name="f", path=str(path), initial=7)
    found = asyncio.run(
        followed(
            lambda report: watch_file(wanted, report),
            0.4,
            ((0.1, lambda: path.write_text("-3\n")), (0.4, lambda: path.write_text("what?"))),
        )
    )
    assert found == [(Kind.FILE, "f", 7), (Kind.FILE, "f", -3), (Kind.FILE, "f", 0)]


@pytest.mark.parametrize(("overwrite", "expected"), [(False, "5\n"), (True, "7\n")])
def test_an_existing_file_is_overwritten_only_on_demand(tmp_path, overwrite, expected):
    path = tmp_path / "file"
    path.write_text("5\n")
    wanted = File(name="f", path=str(path), initial=7, overwrite=overwrite)
    asyncio.run(followed(lambda report: watch_file(wanted, report), 0.05))
    assert path.read_text() == expected


@pytest.mark.parametrize(
    ("more", "name", "argv", "expected"),
    [
        ({"program": "nginx"}, "nginx", ("nginx:", "master"), True),
        ({"program": "ssh"}, "sshd", ("sshd",), False),
        ({"program": "a-name-longer-than-15"}, "a-name-longer-t", (), True),
        ({"program": "/bin/x", "full_command": True}, "x", ("/bin/x", "1"), True),
        ({"program": "x", "arguments": ("1",)}, "x", ("x", "1"), True),
        ({"program": "x", "arguments": ("1",)}, "x", ("x", "1", "2"), False),
        (
            {"program": "x", "arguments": ("1",), "param_match": "partial"},
            "x",
            ("x", "1", "2"),
            True,
        ),
        ({"program": "x", "arguments": ("12",), "param_match": "initial"}, "x", ("x", "123"), True),
        ({"program": "x", "arguments": ("12",), "param_match": "initial"}, "x", ("x", "1"), False),
        ({"program": "x", "param_match": "exact"}, "x", ("x",), True),
        ({"program": "x", "param_match": "exact"}, "x", ("x", "1"), False),
    ],
)
def test_which_processes_are_meant(more, name, argv, expected):
    assert matches(Process(name="p", **more), name, argv) is expected


def test_this_process_is_found():
    mine = Process(name="me", program=sys.argv[0], full_command=True)
    name = Path("/proc/self/comm").read_text().strip()
    python = Process(name="python", program=name)
    assert count_processes((python,))["python"] >= 1
    assert set(count_processes((mine, python))) == {"me", "python"}
