# SPDX-License-Identifier: Apache-2.0
"""The demo keeps its promises and leaves nothing, however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from xlvs.lab.cleanup import PINS, namespaces, remove_abandoned
from xlvs.lab.run import program, run_directory

pytestmark = pytest.mark.alone  # it says how long things take

Demo = subprocess.Popen[str]


Start = Callable[..., Demo]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the demo as a person does, without a terminal."""
    with ExitStack() as stack:

        def demo(*acts: str) -> Demo:
            child = subprocess.Popen(
                [*program("xlvs"), "demo", "--fast", *acts],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            stack.enter_context(child)
            stack.callback(child.kill)
            return child

        yield demo
    remove_abandoned()


def left_of(demo: Demo) -> list[str]:
    """Namespaces, pins, files and processes of this demo."""
    name = f"demo{demo.pid}"
    found = namespaces(f"xlvs-{name}")
    found += [str(path) for path in (PINS / name,) if path.exists()]
    for folder in (run_directory(), run_directory() / "lab", Path("/tmp")):  # noqa: S108
        if folder.is_dir():
            found += [str(path) for path in folder.iterdir() if name in path.name]
    return found + processes_of(name)


def processes_of(name: str) -> list[str]:
    """By their environment, or by their command line."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            text = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if name.encode() in text:
            found.append(f"process {process.name}")
    return found


def read_until(demo: Demo, pattern: str) -> str:
    """Its output up to a line with this pattern."""
    said = ""
    assert demo.stdout is not None
    for line in demo.stdout:
        said += line
        if re.search(pattern, line):
            return said
    pytest.fail(f"the demo ended before {pattern!r}:\n{said}")


def test_everything_is_as_promised(start: Start) -> None:
    began = time.monotonic()
    demo = start()
    first = read_until(demo, r"^rs\d saw 10\.1\.0\.2")
    assert time.monotonic() - began < 15
    said = first + demo.communicate(timeout=120)[0]
    assert demo.returncode == 0, said
    assert "✗" not in said
    assert "\x1b" not in said
    for method in ("-m", "-g", "-i", "--fullnat"):
        assert re.search(rf"^director# ipvsadm -a -t .* {method}( |$)", said, re.MULTILINE)
    assert said.count("ipvsadm -Ln --stats") >= 4
    assert "none failed" in said
    assert left_of(demo) == []


@pytest.mark.parametrize(
    ("sign", "act", "moment", "status"),
    [
        (signal.SIGINT, "nat", "^director# xlvsd", 130),
        (signal.SIGINT, "kill", "^client. wrk", 130),
        (signal.SIGTERM, "tun", "^rs4 saw", 143),
    ],
)
def test_interrupted_in_the_middle(
    start: Start, sign: signal.Signals, act: str, moment: str, status: int
) -> None:
    demo = start(act)
    read_until(demo, moment)
    demo.send_signal(sign)
    said = demo.communicate(timeout=30)[0]
    assert demo.returncode == status, said
    assert left_of(demo) == []


def test_killed_in_the_middle(start: Start) -> None:
    """Nobody can tidy up after kill -9 but the next one."""
    demo = start("nat")
    read_until(demo, "^rs1 saw")
    demo.kill()
    demo.communicate(timeout=10)
    assert left_of(demo) != []
    assert f"xlvs-demo{demo.pid}" in remove_abandoned()
    assert left_of(demo) == []
