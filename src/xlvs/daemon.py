# SPDX-License-Identifier: Apache-2.0
"""xlvsd: wiring only. Ends on SIGTERM or SIGINT and leaves the data path running."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version

from msgspec.structs import replace

from xlvs.api import watching
from xlvs.api.app import application
from xlvs.api.backend import Backend
from xlvs.api.following import file_view, sync_view
from xlvs.api.listening import Listening
from xlvs.api.metrics import app as metrics_app
from xlvs.api.metrics.scrape import Identity, Scraper
from xlvs.api.views import Facts
from xlvs.api.watching import Watch
from xlvs.cli.xlvsd import Config, read_command_line
from xlvs.datapath import keepalive, pins
from xlvs.datapath.effective import Options, addresses
from xlvs.datapath.loader import DataPath, Sizes, remove
from xlvs.engine import defence, estimator
from xlvs.engine.following import check_plain
from xlvs.engine.in_words import about, in_words, summary
from xlvs.engine.reconcile import displaced, reconcile
from xlvs.io import adoption, clock, forwarding, hooks, logs, memory, statefile, syn_proxy
from xlvs.io.bus import Bus
from xlvs.io.configured import Configured, sorry_servers
from xlvs.io.director import Director
from xlvs.io.explaining import Explainer
from xlvs.io.hooks import Hook
from xlvs.io.kernel import Kernel
from xlvs.io.lock import Lock
from xlvs.io.notify import notify
from xlvs.io.packet_events import PacketEvents
from xlvs.io.paths import Paths, paths
from xlvs.io.pauses import Pauses
from xlvs.io.surroundings import Surroundings
from xlvs.io.syn_proxy import SynProxying
from xlvs.io.syncing import Syncing
from xlvs.io.tasks import Tasks
from xlvs.model import settings
from xlvs.model.configuration import Configuration
from xlvs.model.desired import Desired
from xlvs.model.edit import AddDestination, AnyEdit, EditDestination, StartSync, StopSync
from xlvs.model.problem import Problem
from xlvs.model.service import Address
from xlvs.model.words import host_port, key_title
from xlvs.wire.events import Kind
from xlvs.wire.planning import ApplyRequest

FAILURE = 1
REAP_PERIOD = 5.0
"""Seconds between two looks at removed destinations."""

DEFENCE_PERIOD = 1.0
"""Seconds between two looks at how much memory is free, the kernel's DEFENSE_TIMER_PERIOD."""

DRAIN_PERIOD = 1.0
"""Seconds between two looks at drains' deadlines."""

SETTLE = 0.05
"""Seconds that an edit waits at most for the next hops that it needs."""

_COLLECT_AFTER = 200_000
"""New objects between two looks of the garbage collector at the youngest: a table that is
restored brings millions."""

log = logging.getLogger("xlvs")


class Daemon:
    """One running director and what it does beside answering."""

    def __init__(self, config: Config, place: Paths, kernel: Kernel) -> None:
        self.config = config
        self.exit_status = 0
        self.stop = asyncio.Event()
        self.tasks = Tasks(self._died)
        self.pauses = Pauses()
        self._place = place
        self._kernel = kernel
        self._started = clock.wall()
        self._hooks: list[Hook] = []
        self._attached = False
        self._blind = False  # nobody tells how much memory is free
        self._versions_of: Desired | None = None
        self._versions_found: set[int] = set()
        self._seen = 0  # the surroundings' revision that the maps are of
        self._links: tuple[object, ...] = ()
        self.director = Director(
            kernel,
            Options(
                config.local_addresses,
                config.tunnel_sources,
                local_clients=config.local_clients,
            ),
            statefile.StateFile(place.state),
        )
        self.bus = Bus()
        self.listening = Listening(place.socket, config.api_group, config.api, config.metrics)
        self.surroundings = Surroundings(self.tasks, self._on_surroundings)
        self.syncing = Syncing(self.director, kernel, self.tasks)
        self.syn_proxying = SynProxying(
            self.director,
            kernel.syn_maps(),
            self.bus,
            config.syn_cookie_secret,
            place.syn_secret,
        )
        self.configured = (
            None
            if config.file is None
            else Configured(
                config.file,
                config.config_id,
                self.director,
                self.syncing,
                place,
                self.tasks,
                self.prepare,
                self.settle,
                self.learn,
                self.bus,
                self.syn_proxying.follow,
                self.pauses.longest_since,
                config.log_format,
            )
        )
        self.explainer = Explainer(kernel, self.surroundings, lambda: self.director.desired.marks)
        self.scraper = Scraper(
            self.director,
            self.configured,
            self.syncing,
            self.syn_proxying,
            Identity(
                version=_version(),
                director=config.instance,
                hooks=lambda: self._hooks,
                warnings=self._warnings,
                loop_lag=self.pauses.late,
                refused_tokens=self.listening.refused_tokens,
            ),
            detail=config.metrics_detail,
        )

    async def start(self) -> None:
        """From what there is to a working director. Raises Problem."""
        await self.surroundings.start()
        links = list(self.surroundings.observed.links.values())
        self._hooks = hooks.chosen(self.config.interfaces, self.config.hook, links)
        if self.config.local_clients:
            self._hooks.append(hooks.LOOPBACK)
        for each in self._hooks:
            about = {"interface": each.ifname, "hook": each.hook}
            log.info("%s: hook %s (%s)", each.ifname, each.hook, each.why, extra=about)
        if self.configured is not None:
            await self.configured.prepare()
        self.syn_proxying.start()
        await self._take_over()
        for warning in settings.warnings(self.director.desired.settings):
            log.warning("%s", warning)
        hooks.attach(self._kernel, self._hooks)
        self._attached = True
        self._links = self._link_names()
        self._kernel.start_sweep()
        self.tasks.start("estimator", self._estimate())
        self.tasks.start("defence", _every(DEFENCE_PERIOD, self._defend))
        watch = Watch(self.director, self.bus, lambda: sync_view(self.syncing))
        self.tasks.start("watch", _every(watching.PERIOD, watch.look))
        self.tasks.start("SYN proxy", _every(syn_proxy.PERIOD, self._proxy_syns))
        self.tasks.start("drains", _every(DRAIN_PERIOD, self._end_drains))
        self.tasks.start("reaper", _every(REAP_PERIOD, self._reap))
        if self.configured is not None:
            self.configured.addresses(self._own_addresses())
            await self.configured.start()
        await self.syncing.follow()

    async def _take_over(self) -> None:
        adopted = adoption.adopt(
            self._kernel.have(),
            lambda: statefile.load(self._place.state),
            running=self._kernel.adopted,
        )
        for remark in adopted.remarks:
            log.warning("%s", remark)
        wanted = settings.changed(adopted.desired.settings, self.config.settings)
        adopted = adopted._replace(desired=replace(adopted.desired, settings=wanted))
        self._look_at_memory(adopted.desired.settings)
        await self.surroundings.learn(addresses(adopted.desired) | self._sorry_servers())
        self.surroundings.remember(adopted.have.tables.destinations.values())
        self._seen = self.surroundings.revision
        self.syn_proxying.resume(adopted.have.tables, adopted.desired)
        writes = self.director.start(adopted, self.surroundings.observed)
        if self._kernel.adopted:
            log.info(
                "adopted the running data path: %d services, %d connections, %d repairs",
                len(adopted.desired.services),
                self._kernel.table().used,
                len(writes),
            )
            for write in writes:
                log.info("repaired: %s", type(write).__name__)
        self._keep_alive()
        await self._settled(addresses(adopted.desired))

    async def prepare(self, edits: Sequence[AnyEdit]) -> None:
        """Before edits: know the routes to new destinations."""
        await self.learn(_destinations(edits))

    async def learn(self, wanted: set[Address]) -> None:
        """Know the routes to these addresses."""
        await self.surroundings.learn(wanted)
        self._observe()
        self.director.observed = self.surroundings.observed

    async def settle(self, edits: Sequence[AnyEdit]) -> None:
        """After edits: sync as asked for; know the neighbours on the way to new destinations."""
        if any(isinstance(edit, StartSync | StopSync) for edit in edits):
            await self.syncing.follow()
        await self._settled(_destinations(edits))

    async def _settled(self, wanted: set[Address]) -> None:
        ways = self.director.effective.ways
        targets = keepalive.targets({a: ways[a] for a in wanted if a in ways})
        self.surroundings.want_too(targets)
        await self.surroundings.resolved(targets, SETTLE)
        self._observe()

    def _observe(self) -> None:
        if self.surroundings.revision != self._seen:
            self._seen = self.surroundings.revision
            self.director.observe(self.surroundings.observed)
            self._keep_alive()

    def _keep_alive(self) -> None:
        self.surroundings.want(keepalive.targets(self.director.effective.ways))

    def facts(self) -> Facts:
        """What the daemon knows about itself."""
        values = self.director.desired.settings
        return Facts(
            instance=self.config.instance,
            version=_version(),
            pid=os.getpid(),
            started=self._started,
            hooks=tuple(self._hooks),
            warnings=self._warnings(),
            settings=tuple(settings.numbers(values).items()),
            file=None if self.configured is None else file_view(self.configured),
            sync=sync_view(self.syncing),
        )

    def _warnings(self) -> tuple[str, ...]:
        return (
            *settings.warnings(self.director.desired.settings),
            *self._not_forwarding(),
            *self.syn_proxying.warnings(),
        )

    def _not_forwarding(self) -> Iterator[str]:
        versions = self._versions()
        yield from forwarding.missing(self.config.interfaces, versions)
        if self.config.local_clients:
            yield from forwarding.refuses_local_clients(versions)

    def _versions(self) -> set[int]:
        desired = self.director.desired
        if desired is not self._versions_of:  # there may be a hundred thousand addresses
            self._versions_of = desired
            self._versions_found = {address.version for address in addresses(desired)}
        return self._versions_found

    def _on_surroundings(self) -> None:
        self._try(self._observe)
        if self.configured is not None:
            self.configured.addresses(self._own_addresses())
        links = self._link_names()
        # The first time is the start's, after the maps are as they should be.
        if self._attached and links != self._links:
            self._links = links
            self._try(self._attach_again)

    def _attach_again(self) -> None:
        links = list(self.surroundings.observed.links.values())
        for each in hooks.attach_again(self._kernel, self._hooks, links):
            log.info("%s is there again: attached (%s)", each.ifname, each.hook)

    async def _estimate(self) -> None:
        async for _ in _beat(estimator.PERIOD):
            for _ in self.director.estimate():
                await asyncio.sleep(0)  # others have their turn

    def _end_drains(self) -> None:
        def end() -> None:
            for (service, destination), left in self.director.end_drains():
                title = key_title(service)
                server = host_port(destination.address, destination.port)
                count = left.active + left.inactive
                words = f"the drain of {title} {server} is over: "
                words += f"removed with {count} connections left"
                log.info("%s", words)
                self.bus.tell(Kind.DRAINED, words, title)

        self._try(end)

    def _defend(self) -> None:
        self._look_at_memory(self.director.desired.settings)
        self._try(lambda: self.director.defend(self.director.available))

    def _proxy_syns(self) -> None:
        self._try(self.syn_proxying.look)

    def _look_at_memory(self, values: settings.Values) -> None:
        if not defence.automatic(values):
            return
        try:
            self.director.available = memory.available()
        except OSError as error:
            if not self._blind:
                log.warning("how much memory is free cannot be read: %s", error)
            self._blind = True

    def _reap(self) -> None:
        self._try(lambda: self.director.reap(clock.monotonic()))
        # Not with each edit: it would have to look at all destinations.
        desired, known = self.director.desired, self.director.effective.ways.keys()
        out = set() if self.director.rotated is desired else addresses(desired)
        self.surroundings.forget_others(known | out | self._sorry_servers())
        self._keep_alive()

    def _sorry_servers(self) -> set[Address]:
        return set() if self.configured is None else sorry_servers(self.configured.configuration)

    def _own_addresses(self) -> frozenset[Address]:
        links = self.surroundings.observed.links.values()
        return frozenset(address for link in links for address in link.addresses)

    def plan(self, wanted: Configuration) -> list[str]:
        """What a reload of this would do, in words. Raises Problem."""
        if self.configured is None:
            desired = self.director.desired
            edits = [
                *displaced(desired, wanted.sync),
                *reconcile(
                    desired, {}, wanted.services, wanted.globals.timeouts, lists=wanted.lists
                ),
            ]
            return list(in_words(desired, edits))
        return self.configured.plan(wanted)

    async def apply(self, wanted: ApplyRequest, by: str) -> list[str]:
        """Make a configuration so, as ``plan`` says it; what has changed. Raises Problem."""
        if self.configured is not None and not wanted.services_only:
            return await self.configured.apply(wanted.configuration, by)
        if not wanted.services_only:
            check_plain(wanted.configuration)
        asked = wanted.configuration

        def edits() -> list[AnyEdit]:
            return reconcile(
                self.director.desired,
                {},
                asked.services,
                asked.globals.timeouts,
                lists=asked.lists,
            )

        await self.prepare(edits())
        made, before = edits(), self.director.desired
        changes = list(in_words(before, made))
        if made:
            self.director.edit(made, go_on=False)
            await self.settle(made)
            self.bus.tell(Kind.EDIT, summary(before, made), about(made), by)
        return changes

    def reload(self) -> None:
        """SIGHUP: read the configuration file again, the API's tokens, SYN cookies' secret."""
        self.listening.reload()
        if self.configured is None:
            self._try(self.syn_proxying.reload)
            if self.config.api is None and self.config.syn_cookie_secret is None:
                log.warning("SIGHUP: there is no configuration file (xlvsd --use-file)")
            return
        self.tasks.start("reload", self.configured.reload())

    def _try(self, work: Callable[[], object]) -> None:
        """What nobody asked for has nobody to tell but the log."""
        try:
            work()
        except Problem as problem:
            log.error("%s", problem.message)  # noqa: TRY400 - a sentence, no traceback

    def _link_names(self) -> tuple[object, ...]:
        links = self.surroundings.observed.links.values()
        return tuple((link.name, link.ifindex) for link in links)

    def _died(self, name: str, error: BaseException) -> None:
        log.error("task %s failed: %r; ending, the data path goes on", name, error, exc_info=error)
        self.exit_status = FAILURE
        self.stop.set()


async def _every(period: float, work: Callable[[], None]) -> None:
    """Do the work every ``period`` seconds, without drift."""
    async for _ in _beat(period):
        work()


async def _beat(period: float) -> AsyncIterator[None]:
    """Every ``period`` seconds, without drift."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due = max(due + period, loop.time())
        await asyncio.sleep(due - loop.time())
        yield


def _destinations(edits: Sequence[AnyEdit]) -> set[Address]:
    return {
        edit.destination.key.address
        for edit in edits
        if isinstance(edit, AddDestination | EditDestination)
    }


def _version() -> str:
    try:
        return version("xlvs")
    except PackageNotFoundError:
        return "not installed"


def run(config: Config) -> int:
    """Run until a signal; the exit status. Raises Problem when it cannot start."""
    place = paths(config.instance)
    lock = Lock(place.lock)
    sizes = Sizes.rated(config.table_size, config.table_size_ipv6)
    kernel = Kernel(DataPath.open(pins.folder(config.instance), sizes))
    try:
        return asyncio.run(_run(config, place, kernel))
    except Problem:
        if not kernel.adopted:
            remove(pins.folder(config.instance))  # a start that fails leaves nothing behind
        raise
    finally:
        kernel.close()
        lock.release()


async def _run(config: Config, place: Paths, kernel: Kernel) -> int:
    daemon = Daemon(config, place, kernel)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop.set)
    loop.add_signal_handler(signal.SIGHUP, daemon.reload)
    events: PacketEvents | None = None
    try:
        await daemon.start()
        _collect_little()
        events = PacketEvents(kernel, daemon.surroundings.asked_for)
        await _serve(daemon)
    finally:
        if events is not None:
            events.close()
        if daemon.configured is not None:
            await daemon.configured.stop()
        await daemon.syncing.stop()
        await daemon.tasks.stop()
        await daemon.surroundings.stop()
        daemon.pauses.close()
    return daemon.exit_status


def _collect_little() -> None:
    """What there is stays: the collector need not look at it again and again.

    There may be a hundred thousand destinations, in values that lead back to nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


async def _serve(daemon: Daemon) -> None:
    backend = Backend(
        daemon.director,
        daemon.facts,
        prepare=daemon.prepare,
        settle=daemon.settle,
        explain=daemon.explainer.explain,
        plan=daemon.plan,
        apply=daemon.apply,
        bus=daemon.bus,
        refused_tokens=daemon.listening.refused_tokens,
        scraper=daemon.scraper,
        sync_roles=daemon.syncing.roles,
    )
    metrics = metrics_app.application(daemon.scraper)
    daemon.listening.start(application(backend), daemon.tasks, metrics)
    log.info(
        "ready: instance %s, %s, table of %d connections",
        daemon.config.instance,
        ", ".join(f"{name} ({hook})" for name, hook, _ in daemon.facts().hooks),
        daemon.director.port.connections_size,
    )
    notify("READY=1")
    await daemon.stop.wait()
    notify("STOPPING=1")
    daemon.bus.close()
    await daemon.listening.stop()
    log.info(
        "ended; the data path goes on (xlvs --instance %s down removes it)", daemon.config.instance
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon; its exit status."""
    config = read_command_line(sys.argv[1:] if argv is None else argv)
    logs.configure(config.log_format, "xlvsd: %(message)s")
    # Below that it tells of every malformed request, as many as anybody likes to send.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    try:
        return run(config)
    except Problem as problem:
        log.error("%s", problem)  # noqa: TRY400 - a sentence, no traceback
        verdict = getattr(problem, "log", "")
        if verdict:
            log.error("%s", verdict)  # noqa: TRY400 - the verifier's words
        return FAILURE


if __name__ == "__main__":
    sys.exit(main())
