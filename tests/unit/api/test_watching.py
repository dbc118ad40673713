# SPDX-License-Identifier: Apache-2.0
"""Problems are told when they appear and when they are over, once each."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.unit.datapath_plan.build import World, add, add_service, observed, real

from xlvs.api.watching import Trouble, Watch
from xlvs.datapath.effective import Options
from xlvs.datapath.port import PortUse, TableUse
from xlvs.io.bus import Bus
from xlvs.model.edit import SetSettings
from xlvs.model.service import Method
from xlvs.wire.events import Kind
from xlvs.wire.following import PeerView, SyncView

PEER = PeerView(
    address="10.9.0.2",
    there_in_sync=False,
    there_behind=None,
    there_queued=0,
    here_in_sync=True,
    here_behind=0.0,
    here_received=0,
    last_error="",
)


class Watched:
    def __init__(self):
        self.world = World(options=Options(local_addresses=(real(9),)))
        self.sync = None
        self._bus = Bus(lambda: 0.0)
        self._seen = -1
        self._watch = Watch(self.world.director, self._bus, lambda: self.sync)

    def look(self):
        """What is told."""
        self._watch.look()
        found = self._bus._ring.after(self._seen, 0.0)
        self._seen += len(found)
        return [(each.kind, each.text) for each in found]


@pytest.fixture
def watched():
    return Watched()


def test_a_table_that_fills_and_empties(watched):
    assert watched.look() == []
    watched.world.port.table_now = TableUse(used=1000)
    ((kind, text),) = watched.look()
    assert kind is Kind.PROBLEM
    assert "nearly full (1000 of 1024)" in text
    watched.world.port.table_now = TableUse(used=1010)
    assert watched.look() == []  # the same problem
    watched.world.port.table_now = TableUse(used=10)
    ((kind, text),) = watched.look()
    assert (kind, text.startswith("no longer: ")) == (Kind.SOLVED, True)


def test_local_ports_that_ran_out(watched):
    watched.world.do(add_service(), add(1, method=Method.FULLNAT))
    watched.world.port.ports[0] = PortUse(64512, 3)
    (crowded, refused) = watched.look()
    assert (crowded[0], "64512 of 64512 local ports" in crowded[1]) == (Kind.PROBLEM, True)
    assert refused[0] is Kind.PROBLEM
    assert "3 connections found no free local port" in refused[1]
    ((kind, _),) = watched.look()  # none since
    assert kind is Kind.SOLVED
    watched.world.port.ports[0] = PortUse(64512, 4)
    ((kind, _),) = watched.look()
    assert kind is Kind.PROBLEM


def test_local_ports_are_told_of_before_they_run_out_and_once(watched, caplog):
    """Of all local addresses towards a server together; numbers around the limit are no news."""
    watched.world.do(add_service(), add(1, method=Method.FULLNAT))
    told = []
    for used in (51_000, 51_610, 51_600, 51_620, 48_500, 51_610, 48_300, 51_610):
        watched.world.port.ports[0] = PortUse(used, 0)
        told.append([kind for kind, _ in watched.look()])
    assert told == [[], [Kind.PROBLEM], [], [], [], [], [Kind.SOLVED], [Kind.PROBLEM]]
    first, second = caplog.records
    assert (first.real_server, first.used, first.free) == (f"tcp {real(1)}:80", 51_610, 12_902)
    assert first.message == second.message
    assert "51610 of 64512 local ports are taken (80.0 %)" in first.message


def test_from_when_on_local_ports_are_told_of_can_be_set(watched):
    watched.world.do(add_service(), add(1, method=Method.FULLNAT))
    watched.world.port.ports[0] = PortUse(40_000, 0)
    assert watched.look() == []
    watched.world.do(SetSettings(values={"net.xlvs.local_ports_warning": "60"}))
    ((kind, text),) = watched.look()
    assert (kind, "40000 of 64512" in text) == (Kind.PROBLEM, True)


def test_a_next_hop_that_is_lost(watched):
    watched.world.do(add_service(), add(1), add(2))
    assert watched.look() == []
    watched.world.director.observe(observed(count=1))
    ((kind, text),) = watched.look()
    assert (kind, text.startswith(f"{real(2)}: unresolved")) == (Kind.PROBLEM, True)
    watched.world.director.observe(observed())
    ((kind, _),) = watched.look()
    assert kind is Kind.SOLVED


def test_sync_peers(watched):
    def synced(peer):
        return SyncView(in_sync=True, master=True, backup=False, taken=0, refused={}, peers=[peer])

    watched.sync = synced(PEER)
    assert watched.look() == [(Kind.SYNC, "it does not know our connections: not yet")]
    watched.sync = synced(replace(PEER, there_in_sync=True))
    assert watched.look() == [(Kind.SYNC, "it knows our connections")]
    assert watched.look() == []
    watched.sync = synced(replace(PEER, last_error="no route"))
    assert watched.look() == [(Kind.SYNC, "it does not know our connections: no route")]


def test_a_lost_link_is_not_a_flood(watched, monkeypatch):
    many = {("next hop", str(n)): f"{n}: unresolved" for n in range(1000)}
    troubles = [Trouble(*key, text) for key, text in many.items()]
    monkeypatch.setattr(watched._watch, "_troubles", lambda: iter(troubles))
    told = watched.look()
    assert len(told) == 17
    assert told[-1][1].startswith("984 more")
    troubles.clear()
    assert watched.look()[-1][1].startswith("no longer: 984 more")
