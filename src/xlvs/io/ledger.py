# SPDX-License-Identifier: Apache-2.0
"""Counters in time: the estimator's samples, and where ``ipvsadm -Z`` began anew.

By id, as the counters are. A destination that was removed and comes back while its id
is kept finds its numbers again.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from xlvs.datapath.port import Port
from xlvs.datapath.records import (
    Destination,
    DestinationFlag,
    Service,
    ServiceFlag,
    Stats,
)
from xlvs.datapath.tables import Tables
from xlvs.datapath.writes import (
    ByKind,
    ClearDestination,
    ClearService,
    PutDestination,
    PutService,
    Write,
)
from xlvs.engine.counting import since, total
from xlvs.engine.estimator import Estimator
from xlvs.model.problem import Problem
from xlvs.wire.messages import Counters, Rates

NOTHING = Counters()

AT_ONCE = 8192
"""Ids whose counters are read at once: that takes some milliseconds."""

_USED, _AVAILABLE = int(ServiceFlag.USED), int(DestinationFlag.AVAILABLE)
_NO_SERVICE, _NO_DESTINATION = Service(), Destination()


class Page:
    """The numbers of services, or of destinations."""

    def __init__(self, baselines: dict[int, Counters]) -> None:
        self.estimator = Estimator()
        self._baselines = baselines

    def adopt(self, now: Mapping[int, Stats], runs: Mapping[int, bool]) -> None:
        """There are these ids, and no others; where their counters stand is no rate."""
        self.estimator.begin(list(now), [counters(stats) for stats in now.values()])
        self.estimator.turn(runs)
        self.forget([id_ for id_ in self._baselines if id_ not in now])

    def forget(self, ids: Iterable[int]) -> bool:
        """They begin at zero by themselves; whether any had a baseline."""
        known = [id_ for id_ in ids if id_ in self._baselines]
        for id_ in known:
            self._baselines.pop(id_, None)
        return bool(known)

    def zero(self, now: Mapping[int, Stats]) -> None:
        """These begin at zero."""
        for id_, stats in now.items():
            self._baselines[id_] = counters(stats)
        self.estimator.silence(list(now))

    def last(self, ids: Sequence[int]) -> Iterator[Counters]:
        """What listings show: as of the last run."""
        return self.since(ids, self.estimator.last(ids))

    def since(self, ids: Iterable[int], totals: Iterable[Counters]) -> Iterator[Counters]:
        """Of totals what was counted since the counters were zeroed."""
        if not self._baselines:
            return iter(totals)
        return map(since, totals, map(self._baselines.get, ids))

    def rates(self, ids: Sequence[int]) -> Iterator[Rates]:
        """As of the last run."""
        return self.estimator.rates(ids)


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
        self.services = Page(self.service_baselines)
        self.destinations = Page(self.destination_baselines)

    def adopt(self, port: Port, tables: Tables) -> None:
        """Ids of a data path that runs: where their counters stand now is no rate."""
        self.services.adopt(
            port.service_stats(tables.services),
            {id_: bool(each.flags & _USED) for id_, each in tables.services.items()},
        )
        self.destinations.adopt(
            port.destination_stats(tables.destinations),
            {id_: bool(each.flags & _AVAILABLE) for id_, each in tables.destinations.items()},
        )

    def follow(self, writes: Iterable[Write]) -> None:
        """Ids began anew, came, or went."""
        kinds = ByKind(writes)
        # Of an id the last write tells.
        services = dict(kinds.of(PutService))
        self._follow(
            self.services,
            [each.id for each in kinds.of(ClearService)],
            {id_: bool(each.flags & _USED) for id_, each in services.items()},
            [id_ for id_, each in services.items() if each == _NO_SERVICE],
        )
        destinations = dict(kinds.of(PutDestination))
        runs = {id_: bool(each.flags & _AVAILABLE) for id_, each in destinations.items()}
        self._follow(
            self.destinations,
            [each.id for each in kinds.of(ClearDestination)],
            runs,
            [id_ for id_, run in runs.items() if not run and destinations[id_] == _NO_DESTINATION],
        )

    def _follow(
        self, page: Page, begun: Sequence[int], runs: Mapping[int, bool], gone: Iterable[int]
    ) -> None:
        """``runs``: whether ids are wanted, or not any more; ``gone``: they are nobody's."""
        page.estimator.begin(begun)
        page.estimator.turn(runs)
        if page.forget([*begun, *gone]):
            self.revision += 1

    @contextmanager
    def retiring(
        self, port: Port, writes: Iterable[Write], services: Container[int]
    ) -> Iterator[None]:
        """While these are written: what they make ``services`` forget is kept in ``retired``."""
        before = self.retired
        kinds = ByKind(writes)
        forgotten = [each.id for each in kinds.of(ClearService)]
        forgotten += [id_ for id_, value in kinds.of(PutService) if value == _NO_SERVICE]
        last = port.service_stats(dict.fromkeys(id_ for id_ in forgotten if id_ in services))
        if last:
            self.retired = total([before, *map(counters, last.values())])
        try:
            yield
        except Problem:
            self.retired = before
            raise

    def run(self, port: Port) -> Iterator[None]:
        """One run of the estimator, part by part: others may have their turn between."""
        for estimator, totals in (
            (self.services.estimator, port.service_totals),
            (self.destinations.estimator, port.destination_totals),
        ):
            for first in range(0, estimator.reach, AT_ONCE):
                ids = range(first, min(first + AT_ONCE, estimator.reach))
                estimator.run(first, totals(ids))
                yield

    def zero(self, port: Port, services: Iterable[int], destinations: Iterable[int]) -> None:
        """Counters and rates of these begin at zero."""
        self.revision += 1
        self.services.zero(port.service_stats(services))
        self.destinations.zero(port.destination_stats(destinations))


def counters(stats: Stats) -> Counters:
    """The same numbers as the API spells them."""
    return Counters(
        connections=stats.connections,
        in_packets=stats.in_packets,
        out_packets=stats.out_packets,
        in_bytes=stats.in_bytes,
        out_bytes=stats.out_bytes,
    )
