# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path

import pytest

from xlvs.io.notification import runner
from xlvs.io.notification.runner import Ended, Runner
from xlvs.model.notification import Command


def sh(script: str, user: str = "", group: str = "") -> Command:
    return Command(("/bin/sh", "-c", script), user, group)


def run(command: Command, seconds: float = 5.0, **more: object) -> Ended:
    async def play() -> Ended:
        return await Runner(**more).run(command, seconds, {"STATE": "UP"})  # type: ignore[arg-type]

    return asyncio.run(play())


def test_status_output_and_environment(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    ended = run(sh('echo "$STATE $HOME."; echo more >&2; exit 7'))
    assert ended == Ended(7, said="UP .")
    assert [record.getMessage() for record in caplog.records] == ["/bin/sh: UP .", "/bin/sh: more"]


def test_much_output_is_read_and_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    ended = run(sh("head -c 1000000 /dev/zero | tr '\\0' x"))
    assert ended.status == 0
    assert sum(len(record.getMessage()) for record in caplog.records) < 5000


def test_as_somebody() -> None:
    assert run(sh("id -un", "nobody")).said == "nobody"
    assert run(sh("id -gn", "nobody", "daemon")).said == "daemon"
    assert run(sh("id -un"), user="nobody").said == "nobody"
    assert run(sh("id -G", "nobody")).said == "65534"
    assert "there is no user 'who'" in run(sh("", "who")).fault


def test_not_there() -> None:
    assert run(Command(("/no/such",))).fault == "/no/such: no such file or directory"


def test_late_ones_are_ended_with_their_children(tmp_path: Path) -> None:
    begin = time.monotonic()
    ended = run(sh(f"sleep 60 & echo $! > {tmp_path}/pid; wait"), 0.3)
    assert ended.late
    assert time.monotonic() - begin < 30
    child = int((tmp_path / "pid").read_text())
    for _ in range(50):
        stat = Path(f"/proc/{child}/stat")
        if not stat.exists() or stat.read_text().split()[2] == "Z":
            return
        time.sleep(0.02)
    pytest.fail("the child lives")


def test_who_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "GRACE", 0.2)
    ended = run(sh("trap '' TERM; while :; do sleep 0.05; done"), 0.2)
    assert (ended.late, ended.fault) == (True, "ended by SIGKILL")


def test_a_daemon_left_behind_does_not_hold_up() -> None:
    begin = time.monotonic()
    assert run(sh("sleep 30 & exit 0")).status == 0
    assert time.monotonic() - begin < 25


def test_not_too_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "AT_ONCE", 2)

    async def play() -> float:
        begin = time.monotonic()
        several = Runner()
        await asyncio.gather(*(several.run(sh("sleep 0.2")) for _ in range(6)))
        return time.monotonic() - begin

    assert asyncio.run(play()) >= 0.6


def test_no_place_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "AT_ONCE", 1)

    async def play() -> Ended:
        several = Runner()
        first = asyncio.create_task(several.run(sh("sleep 0.5")))
        await asyncio.sleep(0.1)
        second = await several.run(sh("true"), 0.1)
        await first
        return second

    assert asyncio.run(play()) == Ended(None, "1 programs run already", ours=True)


def test_cancelling_ends_it() -> None:
    async def play() -> None:
        task = asyncio.create_task(Runner().run(sh("echo $$ > /dev/null; sleep 77")))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(play())
    assert not [
        pid for pid in os.listdir("/proc")
        if pid.isdigit() and Path(f"/proc/{pid}/cmdline").exists()
        and Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x0077\0"
    ]  # fmt: skip


def test_script_security(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o777)
    command = Command((str(script),))
    assert run(command).status == 0
    assert run(command, secure=True).fault.startswith("not run as root: ")
    assert run(Command(("/bin/true",)), secure=True).status == 0
