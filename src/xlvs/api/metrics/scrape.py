# SPDX-License-Identifier: Apache-2.0
"""Reads a director for Prometheus, a little at a time: requests and checks go on between.

What there is, is taken down in one moment; its numbers are read after that.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric

from xlvs.api import following as file_views
from xlvs.api import problems as problems_of
from xlvs.api import views
from xlvs.api.metrics import catalogue, following, labels, services, state
from xlvs.api.metrics.family import Lines
from xlvs.datapath import support
from xlvs.datapath.records import DestinationLoad, Stats
from xlvs.engine.counting import total
from xlvs.engine.health.report import ServiceReport
from xlvs.engine.histogram import Histogram
from xlvs.io import clock
from xlvs.io.configured import Configured
from xlvs.io.director import Director
from xlvs.io.health import HealthChecks
from xlvs.io.ledger import counters
from xlvs.io.syn_proxy import SynProxying
from xlvs.io.syncing import Syncing
from xlvs.model.detail import Detail
from xlvs.model.listed import Entry
from xlvs.model.mark import Marked, marked
from xlvs.model.service import ServiceKey

_AT_ONCE = 500
"""Real servers that are read before others have their turn."""

_WAYS_AT_ONCE = 5000


class Identity(NamedTuple):
    """What the daemon knows of itself. ``hooks``: interface, hook, why."""

    version: str
    director: str
    hooks: Callable[[], Sequence[tuple[str, str, str]]]
    warnings: Callable[[], Sequence[str]]
    loop_lag: Histogram
    refused_tokens: Callable[[], int]


class _Row(NamedTuple):
    key: ServiceKey
    entry: Entry
    id: int
    destination_ids: Sequence[int]


class Scraper:
    """Of one director; ``configured`` is None if it follows no file."""

    def __init__(
        self,
        director: Director,
        configured: Configured | None,
        syncing: Syncing,
        syn_proxying: SynProxying,
        identity: Identity,
        *,
        detail: Detail,
    ) -> None:
        self._director = director
        self._configured = configured
        self._syncing = syncing
        self._syn_proxying = syn_proxying
        self._identity = identity
        self._detail = detail
        self._process = ProcessCollector(registry=None)

    async def metrics(self) -> AsyncIterator[Metric | Lines]:
        """All families; big ones in parts, which follow one another."""
        problems: Counter[str] = Counter()
        for metric in state.families(await self._state(problems)):
            yield metric
        for metric in self._process.collect():
            yield metric
        for part in services.families(await self._services(problems), self._detail):
            yield part
        if self._configured is not None:
            async for part in self._of_file(self._configured, problems):
                yield part
        for metric in self._sync(problems):
            yield metric
        yield catalogue.PROBLEMS.of(((of,), count) for of, count in problems.items())

    async def _state(self, problems: Counter[str]) -> state.DirectorState:
        director, identity, port = self._director, self._identity, self._director.port
        tables, capacity = director.effective.tables, port.capacity
        listed = sum(len(each) for _, each in director.rotated.services.values())
        interfaces = views.interface_list(director, identity.hooks())
        ports = views.local_port_list(director)
        table = port.table()
        told = problems_of.of_director(director, interfaces, views.table_view(port), ports.servers)
        problems["director"] = len(identity.warnings()) + _count(told)
        next_hops: Counter[str] = Counter()
        ways = list(director.effective.ways.values())
        for at in range(0, len(ways), _WAYS_AT_ONCE):
            next_hops += state.next_hops(way.words for way in ways[at : at + _WAYS_AT_ONCE])
            await asyncio.sleep(0)
        return state.DirectorState(
            version=identity.version,
            director=identity.director,
            reasons=port.reasons(),
            streams=port.streams(),
            table=table,
            table_size=port.connections_size,
            maps={
                "services": (len(tables.services), capacity.services),
                "destinations": (len(tables.destinations), capacity.destinations),
                # A list is written beside the old one before it takes its place.
                "service_destinations": (listed, capacity.service_destinations // 2),
                "port_blocks": (len(tables.port_blocks), capacity.port_blocks),
            },
            ports=[each for each in ports.ports if not each.retired],
            next_hops=next_hops,
            interfaces=interfaces,
            expiry_stands_still=director.expiry_stands_still,
            loop_lag=identity.loop_lag,
            refused_tokens=identity.refused_tokens(),
        )

    # ---- services

    async def _services(self, problems: Counter[str]) -> services.Read:
        director, rows = self._director, list(self._rows())
        retired = director.ledger.retired
        resting = director.effective.tables.services.keys() - {row.id for row in rows}
        of_resting = director.port.service_stats(resting)
        by_rules = marked(director.desired.marks)
        problems["services"] = 0
        found: list[services.Counted] = []
        for some in _light(rows):
            found += self._read(some)
            problems["services"] += sum(self._problems_of(row, by_rules) for row in some)
            await asyncio.sleep(0)
        counted = chain(of_resting.values(), (each.stats for each in found))
        return services.Read(found, total(chain([retired], map(counters, counted))))

    def _rows(self) -> Iterator[_Row]:
        effective = self._director.effective
        for key, entry in self._director.rotated.services.items():
            yield _Row(key, entry, effective.service_ids[key], effective.destination_ids[key])

    def _read(self, rows: Sequence[_Row]) -> Iterator[services.Counted]:
        port = self._director.port
        ids = [id_ for row in rows for id_ in row.destination_ids]
        of_services, load = port.service_stats([row.id for row in rows]), port.load(ids)
        admissions = self._director.effective.tables.admissions
        refusals = port.refusals([row.id for row in rows if row.id in admissions])
        proxied = self._syn_proxying.proxied(row.key for row in rows)
        detailed = self._detail is Detail.DESTINATIONS
        of_servers = port.destination_stats(ids) if detailed else {}
        for row in rows:
            service, destinations = row.entry
            name = labels.of_service(row.key)
            loads = [load[id_] for id_ in row.destination_ids]
            stats = [of_servers[id_] for id_ in row.destination_ids] if detailed else []
            yield services.Counted(
                labels=name,
                scheduler=service.scheduler,
                stats=of_services[row.id],
                load=DestinationLoad(*map(sum, zip(*loads, strict=True))),
                listed=len(destinations),
                usable=sum(each.weight > 0 for each in destinations),
                servers=list(_servers(name, row, stats, loads)) if detailed else (),
                refusals=refusals.get(row.id),
                proxied=proxied.get(row.key),
            )

    def _problems_of(self, row: _Row, by_rules: Marked) -> int:
        service, destinations = row.entry
        ways = self._director.effective.ways
        hops = (
            (each.key.address, ways[each.key.address].words)
            for each in destinations
            if each.key.address in ways  # it was there when the scrape began
        )
        remarks = support.remarks(service, destinations, by_rules)
        return _count(problems_of.of_service(service, remarks, hops))

    # ---- what a file asks for

    async def _of_file(
        self, configured: Configured, problems: Counter[str]
    ) -> AsyncIterator[Metric | Lines]:
        problems["file"] = _count(file_views.problems(file_views.view_but_services(configured)))
        file = following.FileState(
            refused=bool(configured.error),
            loaded=configured.loaded,
            reloads=configured.reloads,
            refusals=configured.refusals,
        )
        for metric in following.file(file):
            yield metric
        if configured.health is not None:
            reports = await self._reports(configured.health, problems)
            seen = following.HealthState(reports, configured.health.tally, clock.epoch())
            for part in following.health(seen, self._detail):
                yield part
        redundancy = configured.redundancy
        if redundancy.wanted:
            statistics = await redundancy.statistics()
            vrrp = following.VrrpState(redundancy.states, statistics, redundancy.restarts)
            for metric in following.vrrp(vrrp):
                yield metric

    def _sync(self, problems: Counter[str]) -> Iterator[Metric]:
        view, running = file_views.sync_view(self._syncing), self._syncing.running
        problems["sync"] = 0 if view is None else _count(file_views.sync_problems(view))
        if running is not None:
            sync = following.SyncState(running.status(), running.taken, running.refused)
            yield from following.sync(sync)
        elif view is not None:
            yield catalogue.SYNC_OK.one(False)

    async def _reports(
        self, health: HealthChecks, problems: Counter[str]
    ) -> Sequence[ServiceReport]:
        problems["health"] = 0
        found: list[ServiceReport] = []
        servers = 0
        for each in health.report():
            found.append(each)
            if not (each.up and all(server.up for server in each.servers)):
                problems["health"] += _count(file_views.unwell(file_views.service_view(each)))
            servers += 1 + len(each.servers)
            if servers > _AT_ONCE:
                servers = 0
                await asyncio.sleep(0)
        return found


def _servers(
    service: str, row: _Row, stats: Iterable[Stats], loads: Iterable[DestinationLoad]
) -> Iterator[services.Server]:
    local = labels.of_local(row.key)
    for each, counted, load in zip(row.entry[1], stats, loads, strict=True):
        yield services.Server(
            labels.of_server(service, each.key),
            labels.of_backend(local, each.key),
            each.weight,
            counted,
            load,
        )


def _light(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """As many at a time as are read in some milliseconds."""
    some: list[_Row] = []
    servers = 0
    for row in rows:
        some.append(row)
        servers += 1 + len(row.destination_ids)
        if servers > _AT_ONCE:
            yield some
            some, servers = [], 0
    yield some


def _count(things: Iterable[object]) -> int:
    return sum(1 for _ in things)
