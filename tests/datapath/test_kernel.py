# SPDX-License-Identifier: Apache-2.0
"""The port over real maps: what the daemon writes is what it reads back, and what it lists."""

from __future__ import annotations

import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.unit.datapath_plan.build import KEY, Store, add, add_service, drop, observed, real

from xlvs.datapath import libbpf
from xlvs.datapath.addresses import packed, slot
from xlvs.datapath.effective import Options
from xlvs.datapath.loader import DataPath, Sizes
from xlvs.datapath.records import (
    CHAIN,
    CONNECTION_METHOD_SHIFT,
    AddressRole,
    ConnectionFlag,
    DestinationLoad,
    Entry,
    Entry4,
    Entry6,
    Line4,
    Line6,
    Method,
    State,
    Stats,
    TableCounts,
)
from xlvs.io.adoption import adopt
from xlvs.io.director import REST, Director
from xlvs.io.kernel import Kernel
from xlvs.model import service as model
from xlvs.model.edit import DeleteService
from xlvs.model.problem import Problem
from xlvs.model.service import Protocol, ServiceKey
from xlvs.wire.codec import decode_lines
from xlvs.wire.messages import ConnectionView

from .conftest import occupy

KEY6 = ServiceKey(protocol=Protocol.TCP, address=ip_address("fd00:1::1"), port=80)
MARK = ServiceKey(protocol=Protocol.FWM, fwmark=7)
OPTIONS = Options(local_addresses=(real(8), real(9)))


@pytest.fixture
def kernel(data_path: DataPath) -> Iterator[Kernel]:
    made = Kernel(data_path)
    yield made
    made.close()


def director(kernel: Kernel, *, running: bool) -> Director:
    made = Director(kernel, OPTIONS, Store())
    assert made.start(adopt(kernel.have(), lambda: None, running=running), observed()) is not None
    return made


def test_what_is_written_is_read_back(kernel: Kernel) -> None:
    made = director(kernel, running=False)
    edits = [
        add_service("wrr"),
        add(1, 3),
        add(2, 5, model.Method.FULLNAT),
        add_service("rr", KEY6),
        add_service("lc", MARK),
        add(0, 1, model.Method.DR, MARK),
    ]
    assert made.edit(edits, go_on=False) == [None] * len(edits)
    have = kernel.have()
    assert have.tables == made.effective.tables
    assert have.tables.pools() == {0: (packed(real(8)), packed(real(9)))}
    assert have.roles == have.tables.roles()
    assert have.roles[slot(packed(ip_address("10.0.0.1")))] & AddressRole.VIRTUAL
    assert have.roles[slot(packed(real(9)))] & AddressRole.LOCAL
    again = Director(kernel, OPTIONS, Store())
    assert again.start(adopt(have, lambda: None, running=True), observed()) == ()
    assert again.desired.timeouts == made.desired.timeouts
    made.edit([DeleteService(key=key) for key in (KEY, KEY6, MARK)], go_on=False)
    assert kernel.have().tables.keys == {}
    made.reap(0.0)
    made.reap(1000.0)
    left = kernel.have()
    assert not any(left.roles)
    assert left.tables.port_blocks == {}
    assert left.tables.destinations == {}


@pytest.mark.usefixtures("namespace")
def test_egress_is_attached_while_a_server_is_on_the_director(kernel: Kernel) -> None:
    made = director(kernel, running=False)
    made.edit([add_service(), add(1)], go_on=False)
    kernel.attach("t0", "tc")
    kernel.attach("t1", "xdp")

    def egress() -> list[bool]:
        return [found.egress for found in kernel.attachments()]

    assert egress() == [False, False]
    made.edit([add(0)], go_on=False)
    assert egress() == [True, True]
    assert kernel.have().egress
    made.edit([drop(0)], go_on=False)
    made.reap(0.0)
    assert egress() == [True, True]
    made.reap(REST)
    assert egress() == [False, False]


@pytest.mark.usefixtures("namespace", "no_tcx")
def test_a_server_on_the_director_is_refused_without_egress(kernel: Kernel, tmp_path: Path) -> None:
    made = director(kernel, running=False)
    made.edit([add_service(), add(1)], go_on=False)
    occupy("t1", "egress", tmp_path)
    kernel.attach("t0", "xdp")
    kernel.attach("t1", "xdp")
    tables, desired = kernel.have().tables, made.desired
    with pytest.raises(Problem, match="attaching to egress of t1: another program holds the hook"):
        made.edit([add(0)], go_on=False)
    assert kernel.have().tables == tables
    assert made.desired == desired
    assert [found.egress for found in kernel.attachments()] == [False, False]


def test_the_table_is_summed_over_all_cpus(kernel: Kernel, data_path: DataPath) -> None:
    counts = TableCounts(10, 4, 3, 1, 2, 5)
    data_path.map("table_counts").update(0, data_path.layout.pack(counts))
    cpus = len(data_path.map("table_counts").lookup_percpu(0))
    table = kernel.table()
    assert (table.used, table.half_open) == (6 * cpus, 2 * cpus)
    assert (table.created, table.ended) == (10 * cpus, 4 * cpus)
    assert (table.evicted, table.full) == (2 * cpus, 5 * cpus)
    assert table.high_water == table.used
    assert table.half_open_max == data_path.sizes.connections // 4


def test_counters_by_id_whatever_lies_between(kernel: Kernel, data_path: DataPath) -> None:
    stats, cpus = data_path.map("destination_stats"), libbpf.possible_cpus()
    counted = {0: 3, 1: 5, 200: 7, 255: 9}
    for id_, number in counted.items():
        stats.update(id_, data_path.layout.pack(Stats(number, 2 * number, 0, 1, 4)))
    ids = [255, 0, 3, 200, 1, 0]
    expected = [counted.get(id_, 0) * cpus for id_ in ids]
    assert kernel.destination_totals(ids)[:, 0].tolist() == expected
    assert kernel.destination_totals(ids)[:, 1].tolist() == [2 * each for each in expected]
    assert kernel.destination_stats([255]) == {
        255: Stats(*(each * cpus for each in (9, 18, 0, 1, 4)))
    }
    assert kernel.destination_totals([]).shape == (0, 5)
    loads = data_path.map("destination_load")
    loads.update(7, data_path.layout.pack(DestinationLoad(active=4, inactive=5, persistent=6)))
    assert kernel.loads([7, 0, 7]) == ([4, 0, 4], [5, 0, 5], [6, 0, 6])


def test_many_services_are_written_in_few_calls(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apart from the one commit that each has, which is a step of its own for packets."""
    made = director(kernel, running=False)
    calls: list[str] = []
    monkeypatch.setattr(libbpf, "map_update", lambda *_: calls.append("one"))
    batch = libbpf.map_update_batch
    monkeypatch.setattr(libbpf, "map_update_batch", lambda *a: calls.append("many") or batch(*a))
    keys = [ServiceKey(protocol=Protocol.TCP, address=KEY.address, port=n) for n in range(1, 51)]
    edits = [
        each
        for key in keys
        for each in (add_service("wrr", key), *(add(n, n, key=key) for n in (1, 2, 3)))
    ]
    assert made.edit(edits, go_on=False) == [None] * 200
    monkeypatch.undo()
    assert calls.count("many") < 20
    assert calls.count("one") <= 2  # settings
    assert kernel.have().tables.servers.keys() == set(range(50))


def test_connections_of_both_families_are_listed(kernel: Kernel, data_path: DataPath) -> None:
    made = director(kernel, running=False)
    made.edit([add_service(), add(1, 1, model.Method.FULLNAT)], go_on=False)
    expires = data_path.ticks() + 60 * data_path.geometry.hz & 0xFFFFFFFF
    word = State.ESTABLISHED | ConnectionFlag.LIVE
    entry = Entry(word | Method.FULLNAT << CONNECTION_METHOD_SHIFT, expires, 0, 1, 2000)
    client, vip = ip_address("192.168.100.9"), ip_address("10.0.0.1")
    line = Line4(way=(Entry4(), Entry4(entry, int(client), int(vip), 30000, 80)))
    last = data_path.geometry.lines4 + CHAIN - 2
    data_path.map("connections4").update(last, data_path.layout.pack(line))
    client6, vip6 = ip_address("2001:db8::9"), ip_address("fd00:1::1")
    entry6 = Entry6(Entry(word, expires), packed(client6), packed(vip6), 30001, 80)
    data_path.map("connections6").update(3, data_path.layout.pack(Line6(way=(entry6,))))
    four, six = decode_lines(b"".join(each.lines for each in kernel.connections()), ConnectionView)
    assert (four.client, four.client_port, four.virtual) == ("192.168.100.9", 30000, "10.0.0.1")
    assert (four.destination, four.destination_port) == (str(real(1)), 80)
    assert (four.local, four.local_port) == (str(real(9)), 2000)
    assert four.expires in (59, 60)
    assert (six.client, six.virtual, six.method) == ("2001:db8::9", "fd00:1::1", "nat")


def test_pages_have_every_connection_once(kernel: Kernel, data_path: DataPath) -> None:
    made = director(kernel, running=False)
    made.edit([add_service(), add(1, 1)], go_on=False)
    expires = data_path.ticks() + 60 * data_path.geometry.hz & 0xFFFFFFFF
    word = State.ESTABLISHED | ConnectionFlag.LIVE
    geometry = data_path.geometry
    vip, client6 = int(ip_address("10.0.0.1")), packed(ip_address("2001:db8::9"))
    for port in range(1, 40):
        entries = [Entry4(Entry(word, expires), vip, vip, port, way) for way in (1, 2)]
        at = port * geometry.lines4 // 40
        data_path.map("connections4").update(at, data_path.layout.pack(Line4(way=(*entries,))))
        six = Entry6(Entry(word, expires), client6, client6, port, 3)
        at = port * geometry.lines6 // 40
        data_path.map("connections6").update(at, data_path.layout.pack(Line6(way=(six,))))
    for limit in (1, 7, 1000):
        seen, after = [], 0
        while True:
            *_, last = pieces = list(kernel.connections(after=after, limit=limit))
            found = decode_lines(b"".join(each.lines for each in pieces), ConnectionView)
            assert len(found) <= limit
            seen += [(each.client_port, each.virtual_port) for each in found]
            if last.after is None:
                break
            assert last.after > after
            after = last.after
        assert len(seen) == len(set(seen)) == 39 * 3


def test_ten_million_connections_fit_and_an_empty_table_is_listed_at_once(
    pin_folder: Path,
) -> None:
    path = DataPath.open(pin_folder, Sizes(connections=10_000_000))
    kernel = Kernel(path)
    try:
        begin = time.monotonic()
        assert not any(each.lines for each in kernel.connections())
        assert time.monotonic() - begin < 15
    finally:
        kernel.close()
