# SPDX-License-Identifier: Apache-2.0
"""Running programs: as somebody, without a shell, for a while, and not too many at once."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import pwd
import signal
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

from xlvs.io.notification import security
from xlvs.model.configuration import Global
from xlvs.model.notification import Command

AT_ONCE = 32
"""Programs that run at the same time."""

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL."""

OUTPUT_MAX = 4096
"""Bytes of output that go to the log; the rest is read and forgotten."""

# A program in an uninterruptible sleep survives SIGKILL: leave it, and its status.
_STUCK = 0.1

_LINE_MAX = 200
_PIPE = 65536

# Programs get this and nothing of the daemon's own environment.
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}

log = logging.getLogger(__name__)


class Ended(NamedTuple):
    """How a program ended.

    ``status``: its exit status; None: it was not started, or ended by a signal. ``fault``: why,
    in words. ``late``: it was ended because its time was over. ``said``: the first line of its
    output. ``ours``: it could not be started for lack of something on our side.
    """

    status: int | None
    fault: str = ""
    late: bool = False
    said: str = ""
    ours: bool = False


class Who(NamedTuple):
    """User, group, further groups, by number. None: as the daemon."""

    uid: int
    gid: int
    groups: tuple[int, ...]


class Runner:
    """``secure``: ``enable_script_security``. ``user``, ``group``: ``script_user``."""

    def __init__(self, *, user: str = "", group: str = "", secure: bool = False) -> None:
        self._user = user
        self._group = group
        self._secure = secure
        self._places = asyncio.Semaphore(AT_ONCE)
        self._running: set[int] = set()

    def close(self) -> None:
        """Ask all that run to end."""
        for pid in self._running:
            _signal(pid, signal.SIGTERM)

    async def run(
        self,
        command: Command,
        seconds: float = 0.0,
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """Run it to its end; ``seconds`` that it may take, 0: the command's own (0: any).

        The time counts from when it is started; to be started it waits as long at most.
        Cancelling ends the program.
        """
        seconds = seconds or command.timeout
        try:
            async with asyncio.timeout(seconds or None):
                await self._places.acquire()
        except TimeoutError:
            return Ended(None, f"{AT_ONCE} programs run already", ours=True)
        try:
            return await self._run(command, seconds, environment or {})
        finally:
            self._places.release()

    async def run_and_tell(self, command: Command) -> None:
        """Run it to its end; if that is a bad one, the log says so."""
        ended = await self.run(command)
        if ended.status:
            log.warning("%s ended with status %d", command.argv[0], ended.status)
        elif ended.fault:
            log.warning("%s: %s", command.argv[0], ended.fault)

    async def _run(self, command: Command, seconds: float, environment: Mapping[str, str]) -> Ended:
        try:
            child = self._start(command, environment)
        except _RefusedError as refused:
            return Ended(None, str(refused), ours=refused.ours)
        output = _Output(child)
        self._running.add(child.pid)
        try:
            late = await _end_of(child, seconds)
        finally:
            self._running.discard(child.pid)
            output.close(command.argv[0])
        return _ended(child, output.first, late=late)

    def _start(self, command: Command, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        who = self._who(command)
        if self._secure and (who.uid if who else os.geteuid()) == 0:
            why = security.insecure(command.argv[0])
            if why:
                raise _RefusedError(f"not run as root: {why}")
        try:
            return subprocess.Popen(  # noqa: S603  # the operator's own words, and no shell
                command.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=_ENVIRONMENT | dict(environment),
                cwd="/",
                process_group=0,
                user=who.uid if who else None,
                group=who.gid if who else None,
                extra_groups=who.groups if who else None,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            ours = isinstance(error, BlockingIOError | MemoryError)
            why = getattr(error, "strerror", None) or str(error)
            raise _RefusedError(f"{command.argv[0]}: {why.lower()}", ours=ours) from None

    def _who(self, command: Command) -> Who | None:
        user = command.user or self._user
        group = command.group or ("" if command.user else self._group)
        if not user and not group:
            return None
        return who(user, group)


def runner_of(defs: Global) -> Runner:
    """As the file's ``global_defs`` want it."""
    return Runner(
        user=defs.script_user, group=defs.script_group, secure=defs.enable_script_security
    )


class _RefusedError(Exception):
    def __init__(self, why: str, *, ours: bool = False) -> None:
        super().__init__(why)
        self.ours = ours


def who(user: str, group: str) -> Who:
    """A user and a group by names or numbers; without group the user's own."""
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user or "root")
        gid = entry.pw_gid
        if group:
            gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
        groups = os.getgrouplist(entry.pw_name, gid)
    except KeyError:
        raise _RefusedError(f"there is no user {user!r} or group {group!r}") from None
    return Who(entry.pw_uid, gid, tuple(groups))


class _Output:
    """Reads what a program says, keeps a little."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None  # noqa: S101  # it was asked for
        self._pipe = child.stdout
        self._loop = asyncio.get_running_loop()
        self._kept = bytearray()
        self._open = True
        self.first = ""
        os.set_blocking(self._pipe.fileno(), False)
        self._loop.add_reader(self._pipe.fileno(), self._read)

    def close(self, name: str) -> None:
        """What has been said by now is all: a grandchild may hold the pipe for ever."""
        if self._open:
            self._read()
        self._stop()
        self._pipe.close()
        lines = self._kept.decode("utf-8", "replace").split("\n")
        self.first = lines[0][:_LINE_MAX].strip()
        for line in filter(None, map(str.strip, lines)):
            log.info("%s: %s", name, line[:_LINE_MAX])

    def _read(self) -> None:
        try:
            data = os.read(self._pipe.fileno(), _PIPE)
        except BlockingIOError:
            return
        if not data:
            self._stop()
        self._kept += data[: OUTPUT_MAX - len(self._kept)]

    def _stop(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._pipe.fileno())


async def _end_of(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for the end; whether it had to be ended."""
    loop = asyncio.get_running_loop()
    pidfd = os.pidfd_open(child.pid)
    over = loop.create_future()

    def ended() -> None:
        loop.remove_reader(pidfd)
        if not over.done():
            over.set_result(None)

    loop.add_reader(pidfd, ended)
    late = True  # also if nobody waits any more
    try:
        late = not await _within(over, seconds or None)
        if late:
            _signal(child.pid, signal.SIGTERM)
            await _within(over, GRACE)
        return late
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        if late:  # its children too; before wait(), while the group is surely this one
            _signal(child.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_STUCK)


async def _within(over: asyncio.Future[None], seconds: float | None) -> bool:
    done, _ = await asyncio.wait((over,), timeout=seconds)
    return bool(done)


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _ended(child: subprocess.Popen[bytes], said: str, *, late: bool) -> Ended:
    if child.returncode is None:
        return Ended(None, "it cannot be ended", late=late, said=said)
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        return Ended(None, f"ended by {name}", late=late, said=said)
    return Ended(child.returncode, late=late, said=said)
