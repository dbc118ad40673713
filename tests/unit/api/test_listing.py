# SPDX-License-Identifier: Apache-2.0
"""Services in parts: each once, in their order, with the numbers of their own ids."""

from __future__ import annotations

from itertools import chain, islice

import pytest
from tests.unit.datapath_plan.build import VIP, World, add, add_service, drop
from tests.unit.datapath_plan.fake import FakePort, Sizes

from xlvs.api import listing
from xlvs.datapath.records import DestinationLoad, Stats
from xlvs.model.edit import DeleteService
from xlvs.model.service import Protocol, ServiceKey
from xlvs.wire.messages import Counters, Rates

KEYS = [ServiceKey(protocol=Protocol.TCP, address=VIP, port=80 + n) for n in range(7)]


@pytest.fixture
def world(monkeypatch):
    """Seven services, in parts of some; ids are not in the order of services."""
    monkeypatch.setattr(listing, "PART", 5)
    made = World(FakePort(Sizes(services=32, destinations=128, service_destinations=512)))
    for key in (*KEYS[4:], *KEYS):
        made.director.edit([add_service("rr", key), add(1, key=key), add(2, key=key)], go_on=True)
    made.do(drop(2, KEYS[5]))
    made.do(DeleteService(key=KEYS[4]), add_service("rr", KEYS[4]))
    director = made.director
    for id_ in director.effective.service_ids.values():
        made.port.counted_services[id_] = Stats(id_, 8 * id_, 3, 4, 5)
    for id_ in chain.from_iterable(director.effective.destination_ids.values()):
        made.port.counted_destinations[id_] = Stats(id_, 16 * id_, 3, 4, 5)
        made.port.connected[id_] = DestinationLoad(active=id_, inactive=1, persistent=2)
    list(director.estimate())
    return made


def everything(parts):
    return list(chain.from_iterable(parts))


def test_lines_in_parts(world):
    director = world.director
    parts = list(listing.lines(director, ""))
    assert len(parts) > 2
    shown = everything(parts)
    assert [each.service.key for each in shown] == list(director.desired.services)
    for each in shown:
        ids = director.effective.destination_ids[each.service.key]
        assert [d.active for d in each.destinations] == list(ids)
        assert all((d.stats, d.rates) == (None, None) for d in each.destinations)
        assert (each.stats, each.rates, each.asked) == (None, None, None)
        assert (
            tuple(d.destination for d in each.destinations)
            == (director.desired.services[each.service.key][1])
        )


@pytest.mark.parametrize("numbers", ["stats", "rates"])
def test_numbers_are_those_of_the_whole_view(world, numbers):
    lines = everything(listing.lines(world.director, numbers))
    views = everything(listing.views(world.director))
    other = {"stats": "rates", "rates": "stats"}[numbers]
    for line, view in zip(lines, views, strict=True):
        assert getattr(line, numbers) == getattr(view, numbers)
        assert getattr(line, other) is None
        for one, all_ in zip(line.destinations, view.destinations, strict=True):
            assert getattr(one, numbers) == getattr(all_, numbers)
            assert (one.active, one.inactive, one.persistent) == (
                all_.active,
                all_.inactive,
                all_.persistent,
            )


def test_views_have_the_numbers_of_their_ids(world):
    effective = world.director.effective
    for view in everything(listing.views(world.director)):
        id_ = effective.service_ids[view.service.key]
        assert view.stats == view.live == Counters(id_, 8 * id_, 3, 4, 5)
        for each, one in zip(
            view.destinations, effective.destination_ids[view.service.key], strict=True
        ):
            assert each.live == Counters(one, 16 * one, 3, 4, 5)
            assert each.rates == Rates((128 * one + 511) >> 10, 2 * one, 0, 0, 1)


def test_after_zeroing_counters_begin_anew(world):
    silent, counting = world.director.effective.destination_ids[KEYS[0]]
    (other, _) = world.director.effective.destination_ids[KEYS[1]]
    world.director.ledger.zero(world.port, [], [silent, counting])
    before = world.port.counted_destinations[counting]
    world.port.counted_destinations[counting] = before._replace(in_packets=before.in_packets + 4)
    found = {
        each: view
        for shown in everything(listing.views(world.director))
        for each, view in zip(
            world.director.effective.destination_ids[shown.service.key],
            shown.destinations,
            strict=True,
        )
    }
    assert found[silent].live == Counters()
    assert found[counting].live == Counters(in_packets=4)
    assert found[counting].rates == Rates()
    assert found[other].live.connections == other


def test_what_changes_between_two_parts_is_not_in_the_listing(world):
    parts = listing.lines(world.director, "")
    first = next(parts)
    before = list(world.director.desired.services)
    world.do(DeleteService(key=KEYS[3]), add_service("rr", KEYS[3]))
    rest = everything(parts)
    assert [each.service.key for each in (*first, *rest)] == before


def test_a_part_is_asked_for_when_it_is_wanted(world):
    asked = []
    loads = world.port.loads
    world.port.loads = lambda ids: asked.append(len(ids)) or loads(ids)
    list(islice(listing.lines(world.director, ""), 2))
    assert len(asked) == 2
    assert sum(asked) < len(world.port.destinations)
