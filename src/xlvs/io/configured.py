# SPDX-License-Identifier: Apache-2.0
"""A director that follows a configuration file: services, health, VRRP, connection sync.

A file is taken as a whole or not at all. It is compared with what there is, so a reload
touches only what differs, and brings back what somebody has removed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from xlvs.config.keepalived.places import ConfigurationError
from xlvs.datapath.observed import Way, way_to
from xlvs.engine.in_words import in_words
from xlvs.engine.reconcile import Owned, displaced, owned, reconcile
from xlvs.io import clock, filestate
from xlvs.io.bus import Bus
from xlvs.io.config_files import read_configuration
from xlvs.io.connection_sync import ConnectionSync
from xlvs.io.director import Director
from xlvs.io.filestate import FileState
from xlvs.io.health import HealthChecks
from xlvs.io.logs import Format
from xlvs.io.notification.runner import runner_of
from xlvs.io.paths import Paths
from xlvs.io.redundancy import HOLD, Redundancy
from xlvs.io.syncing import Syncing
from xlvs.io.tasks import Tasks
from xlvs.io.vrrp.messages import GroupNow, StateNow
from xlvs.io.vrrp_mails import mail_about
from xlvs.model.configuration import Configuration, LvsFlush
from xlvs.model.desired import apply_all
from xlvs.model.edit import AnyEdit, DeleteService
from xlvs.model.notification import Command
from xlvs.model.problem import Problem
from xlvs.model.service import Address, DestinationKey, ServiceKey
from xlvs.wire.events import Kind

SAVE_PERIOD = 5.0
"""Seconds between two looks at whether there is something to save."""

SAVE_SHARE = 50
"""Times as long as saving took: what it takes of a CPU is bounded."""

PATIENCE = 30.0
"""Seconds after which a backup may preempt without knowing its peers' connections."""

WATCH_PERIOD = 0.2

log = logging.getLogger("xlvs")


class Configured:
    """One file's part of a director."""

    def __init__(  # noqa: PLR0917 - the parts that it puts together
        self,
        path: str,
        config_id: str | None,
        director: Director,
        syncing: Syncing,
        place: Paths,
        tasks: Tasks,
        prepare: Callable[[Sequence[AnyEdit]], Awaitable[None]],
        settle: Callable[[Sequence[AnyEdit]], Awaitable[None]],
        learn: Callable[[set[Address]], Awaitable[None]],
        bus: Bus,
        follow_secrets: Callable[[tuple[bytes, ...]], None],
        paused: Callable[[float], float],
        log_format: Format = Format.TEXT,
    ) -> None:
        self.path = path
        self.configuration = Configuration()
        self.error = ""
        """Why the file was refused at the last look, "" if it was not."""
        self.loaded = 0.0
        self.applied = 0.0
        """When a configuration was applied that the file does not say, 0: the file is in force."""
        self.reloads = 0
        self.refusals = 0
        self.redundancy = Redundancy(
            tasks, self._role_changed, self._mail, self._bfd_changed, log_format
        )
        self.health: HealthChecks | None = None
        self._config_id = config_id
        self._director = director
        self._syncing = syncing
        self._place = place
        self._tasks = tasks
        self._prepare = prepare
        self._settle = settle
        self._learn = learn
        self._follow_secrets = follow_secrets
        self._paused = paused
        self._bus = bus
        self._states: dict[str, str] = {}  # VRRP's, as far as told
        self._owned: dict[ServiceKey, frozenset[DestinationKey]] = {}
        self._lists: frozenset[str] = frozenset()
        self._started = False
        self._saved = -1
        self._working = asyncio.Lock()
        self._present: frozenset[Address] | None = None
        self._released = 0.0  # the time as a backup that was told to go ahead

    @property
    def sync(self) -> ConnectionSync | None:
        """Connection sync while it runs, the file's or not."""
        return self._syncing.running

    async def read(self) -> Configuration:
        """What the file says now. Raises ConfigurationError."""
        return await asyncio.to_thread(read_configuration, self.path, self._config_id)

    async def prepare(self) -> None:
        """Before the director starts: the first file, and what the last daemon knew.

        Raises ConfigurationError, Problem.
        """
        self.configuration = await self.read()
        self.loaded = clock.wall()
        self._follow_secrets(self.configuration.globals.syn_cookie_secrets)
        try:
            left = filestate.load(self._place.file_state)
        except (ValueError, OSError) as error:
            log.warning("what the last daemon left cannot be read, health begins anew: %s", error)
            left = FileState()
        self._owned = {each.service: frozenset(each.destinations) for each in left.owned}
        self._lists = frozenset(left.lists)
        self.health = HealthChecks(
            self.configuration,
            self._director.stand,
            self._way,
            self._tasks,
            bus=self._bus,
            paused=self._paused,
        )
        if left.health is not None:
            self.health.restore(left.health)
        self._director.standing = self.health.standing
        managed = _virtual_addresses(self.configuration)
        self._director.options = self._director.options._replace(
            standby=managed, sync=self.configuration.sync is not None
        )

    async def start(self) -> None:
        """The director runs: make it as the file says. Raises Problem."""
        for remark in self.configuration.remarks:
            log.info("%s", remark)
        edits = self._edits(self.configuration)
        apply_all(self._director.desired, edits, "abort")  # refused before anything is done
        assert self.health is not None  # noqa: S101 - prepare() made it
        await self._script(self.configuration.globals.startup_script)
        self.health.start()
        await self._apply(edits, self.configuration)
        self._started = True
        await self.redundancy.configure(self.configuration)
        await self._configure_sync()
        self._tasks.start("file: state", self._keep_saving())
        self._tasks.start("file: in sync", self._watch_sync())

    async def reload(self) -> None:
        """The file may say something else. A wrong one changes nothing, and is told."""
        async with self._working:
            self.reloads += 1
            try:
                wanted = await self.read()
                await self._change(wanted)
            except ConfigurationError as error:
                self._refuse(str(error))
            except Problem as problem:
                self._refuse(f"{problem.where}: {problem.message}".removeprefix(": "))
            else:
                self.error = ""
                self.loaded = clock.wall()
                self.applied = 0.0
                log.info("%s: read again", self.path, extra={"file": self.path})
                self._bus.tell(Kind.RELOAD, "read again", self.path)

    async def apply(self, wanted: Configuration, by: str) -> list[str]:
        """Make this so until the file is read again; what has changed of services, in words.

        Raises Problem, and then nothing has changed.
        """
        async with self._working:
            changes = self.plan(wanted)
            await self._change(wanted)
            self.applied = clock.wall() if await self._is_other(wanted) else 0.0
        said = "; ".join(changes) or "no service changes"
        self._bus.tell(Kind.RELOAD, f"a configuration was applied: {said}", self.path, by)
        return changes

    async def _is_other(self, wanted: Configuration) -> bool:
        try:
            file = await self.read()
        except ConfigurationError:
            return True
        plain = msgspec.structs.replace
        return plain(file, remarks=()) != plain(wanted, remarks=())

    def plan(self, wanted: Configuration) -> list[str]:
        """What a reload of this would do to services, in words. Raises Problem."""
        edits = self._edits(wanted)
        apply_all(self._director.desired, edits, "abort")
        return list(in_words(self._director.desired, edits))

    async def stop(self) -> None:
        """The daemon ends: hand over, end probes, keep what the next one needs."""
        await self.redundancy.stop()
        if self.health is not None:
            self._save()
            flushed = self.configuration.globals.lvs_flush_on_stop is not LvsFlush.NO
            await self.health.stop(for_good=flushed)
        self._flush()
        await self._script(self.configuration.globals.shutdown_script)

    def addresses(self, present: frozenset[Address]) -> None:
        """The director's own addresses changed."""
        if self.health is not None and present != self._present:
            self._present = present
            self.health.addresses(present)

    # ---- changes

    def _edits(self, wanted: Configuration) -> list[AnyEdit]:
        before: Owned = self._owned
        if wanted.globals.lvs_flush and not self._started:
            # At a start whatever else there is goes, as keepalived has it.
            before = {**dict.fromkeys(self._director.desired.services, ()), **self._owned}
        desired = self._director.desired
        return [
            *displaced(desired, wanted.sync),
            *reconcile(
                desired,
                before,
                wanted.services,
                wanted.globals.timeouts,
                lists=wanted.lists,
                lists_before=self._lists,
            ),
        ]

    async def _script(self, command: Command | None) -> None:
        if command is not None:
            await runner_of(self.configuration.globals).run_and_tell(command)

    def _flush(self) -> None:
        """``lvs_flush_on_stop``: services do not outlive the daemon."""
        does = self.configuration.globals.lvs_flush_on_stop
        if does is LvsFlush.NO:
            return
        keys = self._director.desired.services.keys()
        gone = keys if does is LvsFlush.ALL else keys & self._owned.keys()
        try:
            self._director.edit([DeleteService(key=key) for key in gone], go_on=True)
        except Problem as problem:
            log.error("%s", problem.message)  # noqa: TRY400 - a sentence, no traceback

    async def _change(self, wanted: Configuration) -> None:
        edits = self._edits(wanted)
        apply_all(self._director.desired, edits, "abort")
        before, health = self.configuration, self.health
        assert health is not None  # noqa: S101
        self._follow_secrets(wanted.globals.syn_cookie_secrets)
        # Who begins as down must not be in rotation for a moment.
        await health.reconfigure(wanted)
        try:
            await self._apply(edits, wanted)
        except Problem:
            self._follow_secrets(before.globals.syn_cookie_secrets)
            await health.reconfigure(before)
            raise
        self.configuration = wanted
        await self.redundancy.configure(wanted)
        await self._configure_sync()

    async def _apply(self, edits: list[AnyEdit], wanted: Configuration) -> None:
        # Sorry servers come without being asked for: their way has to be known.
        await self._learn(sorry_servers(wanted))
        if edits:
            await self._prepare(edits)
            self._director.edit(edits, go_on=False)
            await self._settle(edits)
            log.info("%s: %d changes", self.path, len(edits))
        self._owned = owned(wanted.services)
        self._lists = frozenset(wanted.lists)
        self._save()

    def _refuse(self, why: str) -> None:
        self.error = why
        self.refusals += 1
        words = "%s is refused, everything stays as it was:\n%s"
        log.error(words, self.path, why, extra={"file": self.path})
        self._bus.tell(Kind.REFUSED, why, self.path)

    def _way(self, address: Address) -> Way | None:
        # Not by what is in rotation: a server that is out is asked the same way.
        return way_to(self._director.observed, address)

    # ---- VRRP and sync

    def _tell_states(self) -> None:
        before, now = self._states, self.redundancy.states
        self._states = {name: each.state for name, each in now.items()}
        for name in before.keys() - now.keys():
            self._bus.tell(Kind.VRRP, "it is not configured any more", name)
        for name, each in now.items():
            if before.get(name) != each.state:
                self._bus.tell(Kind.VRRP, f"{each.state}: {each.cause}", name)

    def _role_changed(self) -> None:
        self._tell_states()
        standby = self.redundancy.standby()
        options = self._director.options
        if standby != options.standby:
            try:
                self._director.hold(standby)
            except Problem as problem:
                log.error("%s", problem.message)  # noqa: TRY400 - a sentence, no traceback
        sync = self.configuration.sync
        if sync is not None and sync.instance:
            is_master = self.redundancy.is_master(sync.instance)
            self._tasks.start("sync: role", self._syncing.take_role(is_master=is_master))

    def _mail(self, message: StateNow | GroupNow) -> None:
        mail = mail_about(self.configuration, message)
        if mail is not None and self.health is not None:
            self.health.mail(*mail)

    def _bfd_changed(self, name: str, up: bool) -> None:  # noqa: FBT001 - a callback's shape
        if self.health is not None:
            self.health.bfd(name, up=up)

    async def _configure_sync(self) -> None:
        """After the edits: those of run-time daemons are refused where the file has its own."""
        wanted = self.configuration.sync
        owns = wanted is not None and bool(wanted.interface)
        self._director.sync_owner = f"lvs_sync_daemon of {self.path}" if owns else ""
        await self._syncing.configure(wanted)
        self._role_changed()

    async def _watch_sync(self) -> None:
        """No preemption before this director knows the connections that it would take over.

        In FAULT it is asked for as well: a cable that is plugged in again finds it in force.
        What peers said before that is old. A peer that does not sync is not waited for for
        ever.
        """
        while True:
            waited = clock.monotonic() - self.redundancy.backup_since
            fault = self.redundancy.in_fault
            behind = self.sync is not None and (fault or not self.sync.is_fresh(waited))
            if behind and self.redundancy.wanted and (fault or waited < PATIENCE):
                self.redundancy.hold(HOLD)
                self._released = 0.0
            elif self._released != self.redundancy.backup_since and not fault:
                self.redundancy.hold(0)
                self._released = self.redundancy.backup_since
                if behind:
                    log.warning("connections are not in sync after %g s: no more waiting", PATIENCE)
            await asyncio.sleep(WATCH_PERIOD)

    # ---- what the next daemon finds

    async def _keep_saving(self) -> None:
        took = 0.0
        while True:
            # With 40,000 servers it takes a second: then it comes once a minute at most.
            await asyncio.sleep(max(SAVE_PERIOD, SAVE_SHARE * took))
            if self.health is not None and self.health.changes != self._saved:
                begin = clock.monotonic()
                self._save()
                took = clock.monotonic() - begin

    def _save(self) -> None:
        health = self.health
        state = FileState(
            path=self.path,
            owned=filestate.owned_services(self._owned),
            lists=sorted(self._lists),
            health=None if health is None else health.save(),
        )
        try:
            filestate.save(self._place.file_state, state)
        except (OSError, msgspec.EncodeError) as error:
            log.warning("what the next daemon needs cannot be saved: %s", error)
        else:
            self._saved = -1 if health is None else health.changes


def sorry_servers(configuration: Configuration) -> set[Address]:
    """Whose routes must be observed although nobody asks for them."""
    return {
        each.sorry_server.key.address
        for each in configuration.services
        if each.sorry_server is not None
    }


def _virtual_addresses(configuration: Configuration) -> frozenset[Address]:
    return frozenset(
        each.address.ip
        for instance in configuration.instances
        for each in (*instance.addresses, *instance.excluded)
    )
