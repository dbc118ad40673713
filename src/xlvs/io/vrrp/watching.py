# SPDX-License-Identifier: Apache-2.0
"""Scripts, files and processes, looked at again and again; runs in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

from xlvs.io import tracked_file
from xlvs.model.notification import Command
from xlvs.model.tracking import File, Process, Script
from xlvs.protocols.vrrp.track import Dampener, Kind

Report = Callable[[Kind, str, int], None]

_FILE_PERIOD = 0.25
_PROCESS_PERIOD = 0.5

log = logging.getLogger(__name__)


async def run(command: Command, extra: tuple[str, ...] = (), limit: float = 0.0) -> int:
    """Run a command and give its exit status; one that takes too long is ended: -1."""
    try:
        child = await asyncio.create_subprocess_exec(
            *command.argv,
            *extra,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            user=command.user or None,
            group=command.group or None,
        )
    except (OSError, ValueError) as error:
        log.warning("%s: %s", command.argv[0], error)
        return 127
    try:
        return await asyncio.wait_for(child.wait(), limit or command.timeout or None)
    except TimeoutError:
        await _end(child)
        return -1
    except asyncio.CancelledError:
        await _end(child)
        raise


async def _end(child: asyncio.subprocess.Process) -> None:
    # Its own session: the children of a shell end with it.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        await child.wait()


async def watch_script(script: Script, report: Report) -> None:
    """``vrrp_script``: for ever."""
    loop = asyncio.get_running_loop()
    dampener = Dampener(script.rise, script.fall)
    if script.init_fail:
        dampener.up = False
        report(Kind.SCRIPT, script.name, 0)
    while True:
        begun = loop.time()
        status = await run(script.command, limit=script.timeout or script.interval)
        if dampener.result(success=status == 0):
            report(Kind.SCRIPT, script.name, int(bool(dampener.up)))
        await asyncio.sleep(max(0.0, begun + script.interval - loop.time()))


async def watch_file(file: File, report: Report) -> None:
    """``track_file``: for ever. A file that is missing or says no number counts as 0."""
    if file.initial is not None:
        _initialise(file, Path(file.path))
    before: int | None = None
    while True:
        number = tracked_file.number(file.path)
        if number != before:
            before = number
            report(Kind.FILE, file.name, number)
        await asyncio.sleep(_FILE_PERIOD)


def _initialise(file: File, path: Path) -> None:
    if not file.overwrite and path.exists():
        return
    try:
        path.write_text(f"{file.initial}\n")
    except OSError as error:
        log.warning("track_file %s: %s", file.name, error)


async def watch_processes(wanted: tuple[Process, ...], report: Report) -> None:
    """``track_process``: for ever; one walk through /proc for all of them."""
    loop = asyncio.get_running_loop()
    believed: dict[str, bool] = {}
    doubted: dict[str, float] = {}
    while True:
        counts = count_processes(wanted)
        now = loop.time()
        for process in wanted:
            number = counts[process.name]
            most = process.quorum_max
            up = number >= process.quorum and (most is None or number <= most)
            if most == 0:
                up = number == 0
            if believed.get(process.name) == up:
                doubted.pop(process.name, None)
                continue
            delay = process.fork_delay if up else process.terminate_delay
            since = doubted.setdefault(process.name, now)
            if process.name not in believed or now - since >= delay:
                believed[process.name] = up
                doubted.pop(process.name, None)
                report(Kind.PROCESS, process.name, int(up))
        await asyncio.sleep(_PROCESS_PERIOD)


def count_processes(wanted: tuple[Process, ...], root: Path = Path("/proc")) -> dict[str, int]:
    """How many processes run of each kind; zombies do not."""
    counts = dict.fromkeys((one.name for one in wanted), 0)
    lines = any(one.full_command or one.arguments or one.param_match for one in wanted)
    for entry in os.scandir(root):
        if not entry.name.isdecimal():
            continue
        try:
            stat = Path(entry.path, "stat").read_text(errors="replace")
            line = Path(entry.path, "cmdline").read_bytes() if lines else b""
        except OSError:
            continue  # it ended meanwhile
        name = stat[stat.index("(") + 1 : stat.rindex(")")]
        if stat[stat.rindex(")") + 2 : stat.rindex(")") + 3] in ("Z", "X"):
            continue
        argv = tuple(word.decode(errors="replace") for word in line.split(b"\0")[:-1])
        for one in wanted:
            counts[one.name] += matches(one, name, argv)
    return counts


def matches(process: Process, name: str, argv: tuple[str, ...]) -> bool:
    """Whether a process with this name and command line is meant."""
    with_arguments = bool(process.arguments) or bool(process.param_match)
    if process.full_command or with_arguments:
        if not argv or argv[0] != process.program:
            return False
    elif name != process.program[:15]:  # what the kernel keeps of a name
        return False
    if not with_arguments:
        return True
    given, wanted = argv[1:], process.arguments
    if process.param_match == "partial":
        return given[: len(wanted)] == wanted
    if process.param_match == "initial" and wanted:
        return (
            len(given) >= len(wanted)
            and given[: len(wanted) - 1] == wanted[:-1]
            and given[len(wanted) - 1].startswith(wanted[-1])
        )
    return given == wanted
