# SPDX-License-Identifier: Apache-2.0
"""Counters in time: the estimator's samples, and where ``ipvsadm -Z`` began anew.

By id, as the counters are. A destination that was removed and comes back while its id
is kept finds its numbers again.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager

from xlvs.datapath.port import Port
from xlvs.datapath.records import Destination, Service, Stats
from xlvs.datapath.tables import Tables
from xlvs.datapath.writes import (
    ClearDestination,
    ClearService,
    PutDestination,
    PutService,
    Write,
)
from xlvs.engine import estimator
from xlvs.engine.counting import since, total
from xlvs.engine.estimator import Estimate
from xlvs.model.problem import Problem
from xlvs.wire.messages import Counters, Rates

NOTHING = Counters()


class Ledger:
    """Estimates and baselines of one director."""

    def __init__(
        self,
        service_baselines: Mapping[int, Counters] | None = None,
        destination_baselines: Mapping[int, Counters] | None = None,
        retired: Counters = NOTHING,
    ) -> None:
        self.service_baselines = dict(service_baselines or {})
        self.destination_baselines = dict(destination_baselines or {})
        self.retired = retired
        """Of services that are gone: with those that there are, a total that only grows."""
        self.revision = 0
        """Raised with everything that changes in the baselines."""
        self._services: dict[int, Estimate] = {}
        self._destinations: dict[int, Estimate] = {}

    def adopt(self, port: Port, tables: Tables) -> None:
        """Ids of a data path that runs: where their counters stand now is no rate."""
        for known in (self._services, self.service_baselines):
            _drop(known, known.keys() - tables.services.keys())
        for known in (self._destinations, self.destination_baselines):
            _drop(known, known.keys() - tables.destinations.keys())
        services = tables.services.keys() - self._services.keys()
        for id_, stats in port.service_stats(services).items():
            self._services[id_] = estimator.begin(counters(stats))
        destinations = tables.destinations.keys() - self._destinations.keys()
        for id_, stats in port.destination_stats(destinations).items():
            self._destinations[id_] = estimator.begin(counters(stats))

    def follow(self, writes: Iterable[Write]) -> None:
        """Ids began anew, came, or went."""
        for write in writes:
            match write:
                case ClearService(id_):
                    self._services[id_] = Estimate()
                    self._forget(self.service_baselines, id_)
                case ClearDestination(id_):
                    self._destinations[id_] = Estimate()
                    self._forget(self.destination_baselines, id_)
                case PutService(id_, value) if value == Service():
                    self._services.pop(id_, None)
                    self._forget(self.service_baselines, id_)
                case PutDestination(id_, value) if value == Destination():
                    self._destinations.pop(id_, None)
                    self._forget(self.destination_baselines, id_)

    def _forget(self, baselines: dict[int, Counters], id_: int) -> None:
        if baselines.pop(id_, None) is not None:
            self.revision += 1

    @contextmanager
    def retiring(
        self, port: Port, writes: Iterable[Write], services: Container[int]
    ) -> Iterator[None]:
        """While these are written: what they make ``services`` forget is kept in ``retired``."""
        before = self.retired
        gone = [id_ for id_ in dict.fromkeys(map(_forgotten, writes)) if id_ in services]
        last = port.service_stats(id_ for id_ in gone if id_ is not None)
        if last:
            self.retired = total([before, *map(counters, last.values())])
        try:
            yield
        except Problem:
            self.retired = before
            raise

    def run(self, port: Port, services: Iterable[int], destinations: Iterable[int]) -> None:
        """One run of the estimator."""
        for id_, stats in port.service_stats(services).items():
            self._services[id_] = estimator.run(self._services[id_], counters(stats))
        for id_, stats in port.destination_stats(destinations).items():
            self._destinations[id_] = estimator.run(self._destinations[id_], counters(stats))

    def zero(self, port: Port, service: int, destinations: Iterable[int]) -> None:
        """A service's counters and rates, and its destinations', begin at zero."""
        self.revision += 1
        for id_, stats in port.service_stats([service]).items():
            self.service_baselines[id_] = counters(stats)
            self._services[id_] = estimator.silenced(self._services[id_])
        for id_, stats in port.destination_stats(destinations).items():
            self.destination_baselines[id_] = counters(stats)
            self._destinations[id_] = estimator.silenced(self._destinations[id_])

    def service(self, id_: int, now: Stats) -> tuple[Counters, Counters, Rates]:
        """As of the last run, now, and the rates."""
        return _shown(self._services.get(id_), self.service_baselines.get(id_), now)

    def destination(self, id_: int, now: Stats) -> tuple[Counters, Counters, Rates]:
        """As of the last run, now, and the rates."""
        return _shown(self._destinations.get(id_), self.destination_baselines.get(id_), now)


def _forgotten(write: Write) -> int | None:
    match write:
        case ClearService(id_):
            return id_
        case PutService(id_, value) if value == Service():
            return id_
        case _:
            return None


def counters(stats: Stats) -> Counters:
    """The same numbers as the API spells them."""
    return Counters(
        connections=stats.connections,
        in_packets=stats.in_packets,
        out_packets=stats.out_packets,
        in_bytes=stats.in_bytes,
        out_bytes=stats.out_bytes,
    )


def _shown(
    estimate: Estimate | None, baseline: Counters | None, now: Stats
) -> tuple[Counters, Counters, Rates]:
    known = estimate or Estimate()
    return (
        since(known.last, baseline),
        since(counters(now), baseline),
        estimator.rates(known),
    )


def _drop(known: dict[int, Estimate] | dict[int, Counters], ids: Iterable[int]) -> None:
    for id_ in ids:
        del known[id_]
