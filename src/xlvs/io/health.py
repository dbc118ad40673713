# SPDX-License-Identifier: Apache-2.0
"""Health checks at work: the engine's effects become probes, programs, lines and mails."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial

from msgspec.structs import replace

from xlvs.datapath.observed import Way
from xlvs.engine.health.effects import (
    Effect,
    Level,
    Log,
    RotationChanged,
    RunCommand,
    SendMail,
    StartProbe,
    StopProbe,
    WriteFifo,
)
from xlvs.engine.health.health import Health
from xlvs.engine.health.report import ServiceReport
from xlvs.engine.health.saved import SavedHealth
from xlvs.engine.health.standing import Standings
from xlvs.engine.health.state import Alerts
from xlvs.engine.health.tally import Tally
from xlvs.engine.health.verdict import word
from xlvs.io import clock, tracked_file
from xlvs.io.bus import Bus
from xlvs.io.checkers.channel import tls_context
from xlvs.io.checkers.prober import Prober
from xlvs.io.checkers.sockets import raise_file_limit
from xlvs.io.checkers.target import Target
from xlvs.io.notification.fifo import FifoWriter
from xlvs.io.notification.mail import Mailer
from xlvs.io.notification.runner import runner_of
from xlvs.io.tasks import Tasks
from xlvs.model.configuration import Configuration
from xlvs.model.notification import Command, Fifo
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address, Service, ServiceKey
from xlvs.protocols.checks.outcome import not_asked

FILE_PERIOD = 1.0
"""Seconds between two looks at tracked files."""

_PROGRAMS_MAX = 1000
_FILES_RESERVED = 512
_LAST = 5.0  # seconds that programs have at the end
_AGAIN = 5.0  # seconds, after a rotation that the data path refused

log = logging.getLogger("xlvs.health")


class HealthChecks:
    """All checkers of one configuration.

    ``turn`` is told which services stand otherwise (``Director.stand``); it may raise Problem.
    ``way``: the next hop to an address, as the director knows it. ``paused``: how long this
    process stood still since a moment (``Pauses.longest_since``).
    """

    def __init__(
        self,
        configuration: Configuration,
        turn: Callable[[Collection[ServiceKey]], object],
        way: Callable[[Address], Way | None],
        tasks: Tasks,
        *,
        bus: Bus,
        paused: Callable[[float], float],
    ) -> None:
        self.tally = Tally()
        """What probes found, and how long they took."""
        self._health = Health(random.random, _alerts(configuration), paused)
        self._bus = bus
        self._configuration = configuration
        self._turn = turn
        self._way = way
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._probes: dict[int, tuple[int, asyncio.Task[None]]] = {}
        self._unturned: set[ServiceKey] = set()
        self._turning: asyncio.Handle | None = None
        self._programs: set[asyncio.Task[None]] = set()
        self._services: dict[ServiceKey, Service] = {}
        # Each probe has a socket; what the daemon itself opens must not fail for want of one.
        self._probes_max = max(raise_file_limit() - _FILES_RESERVED, 1)
        self._files: dict[str, int] = {}
        self._open(configuration, _shown(configuration))
        self._running = [
            tasks.start("health: files", self._follow_files()),
            tasks.start("health: rotation", self._turn_again()),
        ]

    def _open(self, configuration: Configuration, shown: ssl.SSLContext | None) -> None:
        defs = configuration.globals
        self._runner = runner_of(defs)
        self._tracked = {each.name: each for each in configuration.files}
        self._prober = Prober(self._runner, shown)
        self._mailer = Mailer(defs.mail, self._prober.connector)
        self._mailing = self._tasks.start("health: mail", self._mailer.work())
        heard = (defs.notify_fifo, defs.lvs_notify_fifo)
        self._fifos = [_fifo(each.path) for each in heard if each is not None]
        # Whoever writes to them: their readers are the daemon's.
        readers = [each for each in (*heard, defs.vrrp_notify_fifo) if each is not None]
        self._readers = [
            self._loop.create_task(self._runner.run_and_tell(reader))
            for reader in map(_reader, readers)
            if reader is not None
        ]

    async def _close(self) -> None:
        for task in (self._mailing, *self._readers):
            task.cancel()
        await asyncio.gather(self._mailing, *self._readers, return_exceptions=True)
        self._prober.close()
        self._runner.close()
        for each in self._fifos:
            each.close()

    @property
    def standing(self) -> Standings:
        """How the servers stand: always the same object."""
        return self._health.standing

    @property
    def changes(self) -> int:
        """Counts up when there is something to save."""
        return self._health.changes

    def save(self) -> SavedHealth:
        """For the next daemon."""
        return self._health.save(clock.monotonic())

    def report(self) -> Iterator[ServiceReport]:
        """For an operator. Times are of ``clock.monotonic``."""
        return self._health.report()

    def restore(self, saved: SavedHealth) -> None:
        """What the last daemon knew; before ``start``."""
        self._health.restore(saved, clock.monotonic())

    def start(self) -> None:
        """Begin. What is read of files counts from the beginning."""
        for name, value in self._read_files():
            self._health.track_file(name, value, clock.monotonic())
        self._follow(self._configuration)

    async def reconfigure(self, configuration: Configuration) -> None:
        """The file says something else: what is unchanged goes on as it is. Raises Problem."""
        before = self._configuration
        if _means(before) != _means(configuration):
            shown = _shown(configuration)  # refused before anything is done
            # Probes that run end with what they were started with.
            await self._end_probes()
            await self._close()
            self._open(configuration, shown)
        self._configuration = configuration
        self._tracked = {each.name: each for each in configuration.files}
        self._follow(configuration)

    def _follow(self, configuration: Configuration) -> None:
        self._services = {each.service.key: each.service for each in configuration.services}
        self._do(
            self._health.reconfigured(
                configuration.services,
                clock.monotonic(),
                self._tracked,
                _alerts(configuration),
            )
        )

    async def stop(self, *, for_good: bool) -> None:
        """End all probes. ``for_good``: the director gives up its services (``omega``)."""
        if self._timer is not None:
            self._timer.cancel()
        if for_good:
            self._do(self._health.stop())
        if self._turning is not None:
            self._turning.cancel()
            self._turn_now()
        await self._end_probes()
        if self._programs:
            await asyncio.wait(self._programs, timeout=_LAST)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._close()

    def addresses(self, present: Collection[Address]) -> None:
        """The director has these addresses now (``ha_suspend``)."""
        self._do(self._health.addresses(present, clock.monotonic()))

    def mail(self, subject: str, text: str) -> None:
        """An alert of another part goes the way of its own ones."""
        self._mailer.alert(subject, text)

    def bfd(self, name: str, *, up: bool) -> None:
        """A BFD session changed."""
        self._do(self._health.bfd(name, clock.monotonic(), up=up))

    # ---- effects

    def _tick(self) -> None:
        self._timer = None
        self._do(self._health.tick(clock.monotonic()))

    def _do(self, effects: Iterable[Effect]) -> None:
        for each in effects:
            match each:
                case StartProbe():
                    self._start_probe(each)
                case RotationChanged(services):
                    self._turn_soon(services)
                case _:
                    self._tell(each)
        due = self._health.next_deadline
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            later = max(due - clock.monotonic(), 0)
            self._timer = self._loop.call_later(later, self._tick)

    def _tell(self, effect: Effect) -> None:
        match effect:
            case StopProbe(probe, run):
                running = self._probes.get(probe)
                if running is not None and running[0] == run:
                    running[1].cancel()
            case RunCommand(command):
                self._run(command)
            case WriteFifo(line):
                for fifo in self._fifos:
                    fifo.write(line)
            case SendMail(subject, body):
                self._mailer.alert(subject, body)
            case Log(text, level, kind, about, fields):
                if kind is not None:
                    self._bus.tell(kind, text, about)
                number = logging.WARNING if level is Level.WARNING else logging.INFO
                log.log(number, "%s", text, extra=fields)

    def _turn_soon(self, services: Collection[ServiceKey]) -> None:
        """What changes in one moment, when a rack dies, is one change of the rotation."""
        self._unturned.update(services)
        if self._turning is None:
            self._turning = self._loop.call_soon(self._turn_now)

    def _turn_now(self) -> None:
        self._turning = None
        try:
            self._turn(tuple(self._unturned))
        except Problem as problem:
            log.error("the rotation cannot be changed yet: %s", problem.message)  # noqa: TRY400
        else:
            self._unturned.clear()

    async def _turn_again(self) -> None:
        while True:
            await asyncio.sleep(_AGAIN)
            if self._unturned:
                self._turn_soon(())

    def _start_probe(self, start: StartProbe) -> None:
        destination = start.destination
        target = Target(
            address=destination.key.address,
            port=destination.key.port or start.service.port,
            virtualhost=start.virtualhost,
            service=self._services.get(start.service),
            destination=destination,
            way=self._way(destination.key.address) if start.check.through_datapath else None,
        )
        deadline = self._loop.time() + start.seconds
        task = self._loop.create_task(self._probe(start, target, deadline))
        self._probes[start.probe] = (start.run, task)
        task.add_done_callback(partial(self._probed, start.probe, start.run))

    async def _probe(self, start: StartProbe, target: Target, deadline: float) -> None:
        begun = clock.monotonic()
        if len(self._probes) > self._probes_max:
            outcome = not_asked(f"{self._probes_max} probes run already (LimitNOFILE=)")
        else:
            outcome = await self._prober.run(start.check, target, deadline=deadline)
        self.tally.count(word(start.check), outcome, clock.monotonic() - begun)
        self._do(self._health.result(start.probe, start.run, outcome, clock.monotonic()))

    def _probed(self, probe: int, run: int, task: asyncio.Task[None]) -> None:
        if self._probes.get(probe, (None,))[0] == run:
            del self._probes[probe]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a probe failed in itself: report this", exc_info=error)

    async def _end_probes(self) -> None:
        tasks = [task for _, task in self._probes.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- programs and files

    def _run(self, command: Command) -> None:
        """Beside everything else, as keepalived does: one that hangs holds up no other."""
        if len(self._programs) >= _PROGRAMS_MAX:
            log.warning("%d programs run: %s is not started", _PROGRAMS_MAX, command.argv[0])
            return
        task = self._loop.create_task(self._runner.run_and_tell(command))
        self._programs.add(task)
        task.add_done_callback(self._programs.discard)

    async def _follow_files(self) -> None:
        while True:
            await asyncio.sleep(FILE_PERIOD)
            for name, value in self._read_files():
                self._do(self._health.track_file(name, value, clock.monotonic()))

    def _read_files(self) -> Iterator[tuple[str, int]]:
        """Those that say something else than before."""
        for name, file in self._tracked.items():
            number = tracked_file.number(file.path)
            if number != self._files.get(name):
                self._files[name] = number
                yield name, number


def _shown(configuration: Configuration) -> ssl.SSLContext | None:
    """What SSL_GET shows to servers. Raises Problem if a file of it is none."""
    tls = configuration.tls
    if tls is None:
        return None
    try:
        return tls_context(tls.certificate, tls.key, tls.password, tls.ca)
    except OSError as error:
        files = ", ".join(path for path in (tls.ca, tls.certificate, tls.key) if path)
        cause = getattr(error, "reason", None) or error.strerror or str(error)
        raise Problem(Code.INVALID, f"SSL: {files}: {cause}") from error


def _fifo(path: str) -> FifoWriter:
    fifo = FifoWriter(path)
    try:
        fifo.open()
    except OSError as error:
        log.warning("%s cannot be written to: %s", path, error.strerror)
    return fifo


def _reader(fifo: Fifo) -> Command | None:
    """The program that reads it, with its path behind its own arguments."""
    script = fifo.script
    return None if script is None else replace(script, argv=(*script.argv, fifo.path))


def _alerts(configuration: Configuration) -> Alerts:
    defs = configuration.globals
    wanted = defs.smtp_alert if defs.smtp_alert_checker is None else defs.smtp_alert_checker
    return Alerts(defs.router_id, smtp_alert=wanted, at_start=defs.rs_init_notifies)


def _means(configuration: Configuration) -> object:
    """What probes and notifications are made with."""
    defs = configuration.globals
    return (
        defs.script_user,
        defs.script_group,
        defs.enable_script_security,
        configuration.tls,
        defs.mail,
        defs.notify_fifo,
        defs.lvs_notify_fifo,
        defs.vrrp_notify_fifo,
    )
