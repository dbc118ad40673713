# SPDX-License-Identifier: Apache-2.0
"""The VRRP process as the daemon has it: started, told what is wanted, listened to.

It is a process of its own so that nothing here can delay an advert.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable
from ipaddress import ip_interface

import msgspec

from xlvs.io import clock
from xlvs.io.logs import Format
from xlvs.io.tasks import Tasks
from xlvs.io.vrrp import messages as m
from xlvs.model.configuration import Configuration
from xlvs.model.service import Address
from xlvs.model.vrrp import Instance

_LINE_MAX = 1 << 26
_AGAIN = 1.0  # seconds after the process ended by itself
_STOP = 3.0  # seconds that it may take to hand over
_ASK = 2.0

HOLD = 3.0
"""Seconds without preemption that are asked for while connections are not in sync."""

MASTER, BACKUP, FAULT = "MASTER", "BACKUP", "FAULT"

log = logging.getLogger("xlvs.vrrp")


class Redundancy:
    """Which virtual addresses are ours now.

    ``changed`` is called after every change of a state, ``told`` with each message about one,
    ``bfd`` when a session of BFD comes up or goes down.
    """

    def __init__(
        self,
        tasks: Tasks,
        changed: Callable[[], None],
        told: Callable[[m.StateNow | m.GroupNow], None],
        bfd: Callable[[str, bool], None],
        log_format: Format = Format.TEXT,
    ) -> None:
        self.states: dict[str, m.StateNow] = {}
        """By instance."""
        self.remarks: list[str] = []
        self.restarts = -1
        self.backup_since = clock.monotonic()
        """When an instance last became a backup."""
        self._tasks = tasks
        self._changed = changed
        self._told = told
        self._bfd = bfd
        self._log_format = log_format
        self._wanted: m.Network | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._statistics: asyncio.Future[m.StatisticsNow] | None = None
        self._ending = False
        self._taking: set[str] = set()
        self._hold_until = 0.0

    @property
    def wanted(self) -> bool:
        """Whether there is any VRRP to do."""
        return self._wanted is not None

    @property
    def in_fault(self) -> bool:
        """Whether an instance cannot know what others do."""
        return any(state.state == FAULT for state in self.states.values())

    def standby(self) -> frozenset[Address]:
        """Virtual addresses that VRRP looks after and that this director does not hold."""
        if self._wanted is None:
            return frozenset()
        held: set[Address] = set()
        managed: set[Address] = set()
        for instance in self._wanted.instances:
            addresses = _addresses(instance)
            managed |= addresses
            if self.is_master(instance.name) or instance.name in self._taking:
                held |= addresses
        return frozenset(managed - held)

    def is_master(self, instance: str) -> bool:
        """Whether this director is master of that instance."""
        state = self.states.get(instance)
        return state is not None and state.state == MASTER

    async def configure(self, configuration: Configuration) -> None:
        """Make this so; at the first time, and if there is anything to do, start the process."""
        wanted = network(configuration)
        nothing = not (wanted.instances or wanted.static != m.Network().static or wanted.bfds)
        if nothing and self._task is None:
            return
        self._wanted = None if nothing else wanted
        names = {each.name for each in wanted.instances}
        self.states = {name: state for name, state in self.states.items() if name in names}
        if self._task is None:
            self._task = self._tasks.start("vrrp", self._keep())
        else:
            self._send(wanted)
        self._changed()

    def hold(self, seconds: float) -> None:
        """No preemption for that long; 0: go ahead."""
        self._hold_until = clock.monotonic() + seconds
        self._send(m.Hold(seconds))

    async def ready(self, seconds: float) -> bool:
        """Wait until what is wanted is in effect; False: it took too long."""
        if self._task is None:
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        return self._ready.is_set()

    async def statistics(self) -> m.StatisticsNow | None:
        """All counters; None if the process does not answer."""
        if self._writer is None:
            return None
        if self._statistics is None or self._statistics.done():
            self._statistics = asyncio.get_running_loop().create_future()
            self._send(m.AskStatistics())
        try:
            async with asyncio.timeout(_ASK):
                return await asyncio.shield(self._statistics)
        except TimeoutError:
            return None

    async def stop(self) -> None:
        """Hand over: priority 0, addresses away; the process ends."""
        self._ending = True
        if self._task is None:
            return
        self._send(m.Stop())
        process = self._process
        if process is not None:
            try:
                async with asyncio.timeout(_STOP):
                    await process.wait()
            except TimeoutError:
                log.warning("the VRRP process did not hand over in %g s: killed", _STOP)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    # ---- the process

    async def _keep(self) -> None:
        while not self._ending:
            self.restarts += 1
            await self._live()
            if not self._ending:
                log.error("the VRRP process ended by itself; another one begins")
                await asyncio.sleep(_AGAIN)

    async def _live(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "xlvs.vrrpd",
                "--fd",
                str(theirs.fileno()),
                "--log-format",
                self._log_format,
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                env=_environment(),
            )
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=_LINE_MAX)
        try:
            if self._hold_until > clock.monotonic():
                self._send(m.Hold(self._hold_until - clock.monotonic()))
            if self._wanted is not None:
                self._send(self._wanted)
            while line := await reader.readline():
                self._read(line)
        except (ConnectionError, ValueError) as error:
            log.warning("the VRRP process: %s", error)
        finally:
            self._ready.clear()
            self._writer.close()
            self._writer = None
        await self._process.wait()

    def _send(self, message: m.Down) -> None:
        if self._writer is not None and not self._writer.is_closing():
            if isinstance(message, m.Network):
                self._ready.clear()
            self._writer.write(m.line(message))

    def _read(self, line: bytes) -> None:
        try:
            self._hear(m.up(line))
        except msgspec.DecodeError as error:
            log.warning("the VRRP process said what cannot be read: %s", error)

    def _hear(self, message: m.Up) -> None:
        match message:
            case m.Taking(instance=instance):
                self._taking.add(instance)
                self._changed()
                self._send(m.Go(instance))
            case m.StateNow():
                self._is_now(message)
                self._told(message)
            case m.GroupNow():
                self._told(message)
            case m.Ready():
                self._ready.set()
            case m.BfdNow(name=name, up=up):
                self._bfd(name, up)
            case m.StatisticsNow():
                if self._statistics is not None and not self._statistics.done():
                    self._statistics.set_result(message)
            case m.Refused(problem=problem):
                log.error("the VRRP process refused: %s", problem)
            case _:
                pass  # it logs its sentences itself

    def _is_now(self, state: m.StateNow) -> None:
        if state.state != MASTER:
            self._taking.discard(state.instance)
        if state.state == BACKUP and state.before != BACKUP:
            self.backup_since = clock.monotonic()
        # One that is gone says farewell.
        if self._wanted is not None and any(
            each.name == state.instance for each in self._wanted.instances
        ):
            self.states[state.instance] = state
        self._changed()


def network(configuration: Configuration) -> m.Network:
    """What the VRRP process has to know of a configuration."""
    defs = configuration.globals
    fifos = [each for each in (defs.notify_fifo, defs.vrrp_notify_fifo) if each is not None]
    return m.Network(
        instances=configuration.instances,
        groups=configuration.groups,
        static=configuration.static,
        scripts=configuration.scripts,
        files=configuration.files,
        processes=configuration.processes,
        bfds=configuration.bfds,
        fifos=tuple(fifos),
        track_groups=configuration.track_groups,
        notify_priority_changes=defs.notify_priority_changes,
        fifo_states_on_reload=defs.fifo_states_on_reload,
        asks=True,
        hold_after_fault=HOLD if configuration.sync and configuration.sync.peers else 0.0,
        realtime=defs.vrrp_rt_priority or 1,  # a busy CPU delays adverts by 100 ms otherwise
        nice=defs.vrrp_priority,
        no_swap=defs.vrrp_no_swap,
    )


def _addresses(instance: Instance) -> set[Address]:
    return {each.address.ip for each in (*instance.addresses, *instance.excluded)}


def _environment() -> dict[str, str]:
    """The way to our own modules, if they are not installed."""
    path = os.pathsep.join(each for each in sys.path if each)
    return {**os.environ, "PYTHONPATH": path}


def held(state: m.StateNow) -> set[Address]:
    """The addresses that an instance's state says are on this machine."""
    return {ip_interface(each).ip for each in state.addresses}
