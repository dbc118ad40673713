# SPDX-License-Identifier: Apache-2.0
"""Services with their numbers, some at a time: there may be ten thousand.

What is listed is what there is when the first are asked for. Between two parts others may
have their turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import NamedTuple

from xlvs.datapath import support, syn_promise
from xlvs.datapath.port import Totals
from xlvs.datapath.records import Service, ServiceFlag
from xlvs.engine import estimator
from xlvs.io.director import Director
from xlvs.io.ledger import Page
from xlvs.model.listed import Entry
from xlvs.model.mark import marked
from xlvs.model.service import Destination, ServiceKey
from xlvs.wire.messages import (
    Counters,
    DestinationLine,
    DestinationView,
    Numbers,
    Rates,
    ServiceLine,
    ServiceView,
    SynPromise,
)

PART = 1024
"""Destinations that are listed in one go, about: that takes some milliseconds."""


class _Each(NamedTuple):
    """A service as it is in rotation and as it was asked for; its id and its destinations'."""

    entry: Entry
    asked: tuple[Destination, ...]
    id: int
    ids: tuple[int, ...]


def _parts(director: Director, keys: Iterable[ServiceKey] | None = None) -> Iterator[list[_Each]]:
    """Of all services, or of some."""
    effective, asked = director.effective, director.desired.services
    rotated = director.rotated.services
    part: list[_Each] = []
    count = 0
    for key in rotated if keys is None else keys:
        ids = effective.destination_ids[key]
        part.append(_Each(rotated[key], asked[key][1], effective.service_ids[key], ids))
        count += len(ids) + 1
        if count >= PART:
            yield part
            part, count = [], 0
    if part:
        yield part


def lines(director: Director, numbers: Numbers) -> Iterator[list[ServiceLine]]:
    """As short as ``ipvsadm -L`` needs them."""
    ledger = director.ledger
    for part in _parts(director):
        ids = _ids(part)
        loads = zip(*director.port.loads(ids), strict=True)
        counted = _counted(ledger.destinations, ids, numbers)
        found = []
        for each, (stats, rates) in zip(
            part, _counted(ledger.services, [each.id for each in part], numbers), strict=True
        ):
            service, listed = each.entry
            # The list is the first: it ends before the others are asked for one too many.
            destinations = [
                DestinationLine(destination, *load, *numbers_of_it)
                for destination, load, numbers_of_it in zip(listed, loads, counted, strict=False)
            ]
            asked = None if each.asked is listed else list(each.asked)
            found.append(ServiceLine(service, destinations, stats, rates, asked))
        yield found


def _counted(
    page: Page, ids: Sequence[int], numbers: Numbers
) -> Iterator[tuple[Counters | None, Rates | None]]:
    match numbers:
        case "stats":
            return zip(page.last(ids), repeat(None), strict=False)
        case "rates":
            return zip(repeat(None), page.rates(ids), strict=False)
        case _:
            return repeat((None, None), len(ids))


def views(
    director: Director, keys: Iterable[ServiceKey] | None = None
) -> Iterator[list[ServiceView]]:
    """With everything that there is to be known; of all services, or of some."""
    ledger, port = director.ledger, director.port
    ways = director.effective.ways
    by_rules = marked(director.desired.marks)
    admissions = director.effective.tables.admissions
    for part in _parts(director, keys):
        ids = _ids(part)
        loads = zip(*port.loads(ids), strict=True)
        guarded = [each.id for each in part if each.id in admissions]
        refused, admitted = port.refusals(guarded), port.admitted(guarded)
        counted = _all_counted(ledger.destinations, ids, port.destination_totals)
        found = []
        for each, (stats, live, rates) in zip(
            part,
            _all_counted(ledger.services, [each.id for each in part], port.service_totals),
            strict=True,
        ):
            service, listed = each.entry
            found.append(
                ServiceView(
                    service=service,
                    destinations=[
                        DestinationView(
                            destination,
                            *load,
                            *counters,
                            ways[destination.key.address].words,
                        )
                        for destination, load, counters in zip(listed, loads, counted, strict=False)
                    ],
                    stats=stats,
                    live=live,
                    rates=rates,
                    remarks=support.remarks(service, listed, by_rules),
                    asked=None if each.asked is listed else list(each.asked),
                    refused=refused[each.id]._asdict() if each.id in refused else None,
                    counted=admitted.get(each.id, 0),
                    syn_promise=_syn_promise(director.effective.tables.services.get(each.id)),
                )
            )
        yield found


def _syn_promise(record: Service | None) -> SynPromise | None:
    if record is None or not record.flags & ServiceFlag.SYN_PROXY:
        return None
    return SynPromise(**syn_promise.of_record(record)._asdict())


def _all_counted(
    page: Page, ids: Sequence[int], totals: Callable[[Iterable[int]], Totals]
) -> Iterator[tuple[Counters, Counters, Rates]]:
    now = map(estimator.counters, totals(ids).tolist())
    return zip(page.last(ids), page.since(ids, now), page.rates(ids), strict=True)


def _ids(part: Iterable[_Each]) -> list[int]:
    """Of all destinations."""
    return list(chain.from_iterable(each.ids for each in part))
