# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import asyncio
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.api.metrics.scraping import (
    OPENMETRICS,
    samples,
    scraped,
    scraper,
    text,
    value,
)
from tests.unit.datapath_plan.build import KEY, World, add, add_service, drop, real

from xlvs.api.metrics.catalogue import FAMILIES
from xlvs.datapath.effective import Options
from xlvs.datapath.port import PortUse, TableUse
from xlvs.datapath.records import DestinationLoad, Stats, SynLoad
from xlvs.io.syn_proxy import Proxied
from xlvs.model.detail import Detail
from xlvs.model.edit import DeleteService, Zero
from xlvs.model.service import Method, SynProxyMode

SERVICE = "tcp 10.0.0.1:80"
FIRST = "192.168.200.11:80"
NODE = {
    "local_address": "10.0.0.1",
    "local_port": "80",
    "remote_address": "192.168.200.11",
    "remote_port": "80",
    "proto": "TCP",
    "local_mark": "",
}


@pytest.fixture
def world():
    found = World()
    found.port.attach("eth0", "tc")
    found.do(add_service(), add(1, weight=3), add(2, weight=0))
    count(found, 5)
    ids = found.director.effective.destination_ids[KEY]
    found.port.connected[ids[-1]] = DestinationLoad(active=4, inactive=2, persistent=1)
    return found


def count(world, more, key=KEY):
    """So many connections more, each of three packets in and two out."""
    port, effective = world.port, world.director.effective
    counted = (
        (port.counted_services, effective.service_ids[key]),
        (port.counted_destinations, effective.destination_ids[key][-1]),
    )
    for known, id_ in counted:
        before = known.get(id_, Stats())
        known[id_] = Stats(
            before.connections + more,
            before.in_packets + 3 * more,
            before.out_packets + 2 * more,
            before.in_bytes + 300 * more,
            before.out_bytes + 200 * more,
        )


def test_a_service_and_its_servers(world):
    found = samples(text(world))
    assert value(found, "xlvs_service_connections_total", service=SERVICE) == 5
    assert value(found, "xlvs_service_packets_total", service=SERVICE, direction="in") == 15
    assert value(found, "xlvs_service_bytes_total", service=SERVICE, direction="out") == 1000
    assert value(found, "xlvs_service_current_connections", service=SERVICE, state="active") == 4
    assert value(found, "xlvs_service_usable_destinations", service=SERVICE) == 1
    assert value(found, "xlvs_service_info", service=SERVICE, scheduler="rr") == 1
    server = {"service": SERVICE, "destination": FIRST}
    assert value(found, "xlvs_destination_packets_total", **server, direction="out") == 10
    for state, number in (("active", 4), ("inactive", 2), ("persistent", 1)):
        name = "xlvs_destination_current_connections"
        assert value(found, name, **server, state=state) == number
    assert value(found, "xlvs_destination_weight", **server) == 3


def test_node_exporters_names(world):
    found = samples(text(world))
    assert value(found, "node_ipvs_connections_total") == 5
    assert value(found, "node_ipvs_incoming_packets_total") == 15
    assert value(found, "node_ipvs_outgoing_packets_total") == 10
    assert value(found, "node_ipvs_incoming_bytes_total") == 1500
    assert value(found, "node_ipvs_outgoing_bytes_total") == 1000
    assert value(found, "node_ipvs_backend_connections_active", **NODE) == 4
    assert value(found, "node_ipvs_backend_connections_inactive", **NODE) == 2
    assert value(found, "node_ipvs_backend_weight", **NODE) == 3


def test_the_director_itself(world):
    world.port.table_now = TableUse(used=7, high_water=9, half_open=2, evicted=3, full=1, untold=6)
    found = samples(text(world))
    assert value(found, "xlvs_build_info", version="1.2", director="edge") == 1
    assert value(found, "xlvs_packets_total", reason="fwd_nat") == 3
    assert value(found, "xlvs_bytes_total", reason="fwd_nat") == 180
    assert value(found, "xlvs_packets_total", reason="drop_no_next_hop") == 0, "rates need it"
    assert value(found, "xlvs_interface_attached", interface="eth0", hook="tc") == 1
    assert value(found, "xlvs_interface_attached", interface="eth1", hook="tc") == 0
    assert value(found, "xlvs_stream_packets_total", what="toa_no_room") == 1
    assert value(found, "xlvs_stream_packets_total", what="toa_mtu") == 0, "rates need it"
    assert value(found, "xlvs_table_connections") == 7
    assert value(found, "xlvs_table_full_total") == 1
    assert value(found, "xlvs_sync_changes_lost_total") == 6
    assert value(found, "xlvs_map_entries", map="destinations") == 2
    assert value(found, "xlvs_next_hops", state="resolved") == 2
    assert value(found, "xlvs_event_loop_lag_seconds_count") == 0
    assert value(found, "xlvs_api_refused_tokens_total") == 3
    assert value(found, "process_open_fds") > 0


def test_problems_are_those_of_status(world):
    world.do(add(0))  # NAT to the director itself
    world.port.attached = [each._replace(egress=False) for each in world.port.attached]
    found = samples(text(world))
    # One warning, eth1 without a data path, eth0 without the program on egress.
    assert value(found, "xlvs_problems", of="director") == 3
    assert value(found, "xlvs_problems", of="services") == 0


def test_local_ports():
    world = World(options=Options(local_addresses=(real(9),)))
    world.do(add_service(), add(1, method=Method.FULLNAT))
    (block,) = world.director.effective.tables.blocks()
    world.port.ports[block] = PortUse(used=12, exhausted=3)
    found = samples(text(world))
    at = {"local": "192.168.200.19", "destination": FIRST, "protocol": "tcp"}
    assert value(found, "xlvs_local_ports_used", **at) == 12
    assert value(found, "xlvs_local_ports_free", **at) == 64512 - 12
    assert value(found, "xlvs_local_ports_exhausted_total", **at) == 3


def test_both_formats_say_the_same(world):
    def told(found):
        return {at: number for at, number in found.items() if not at[0].startswith("process_")}

    assert told(samples(text(world, OPENMETRICS), OPENMETRICS)) == told(samples(text(world)))
    assert text(world, OPENMETRICS).endswith("# EOF\n")


def test_less_detail(world):
    found = samples(text(world, detail=Detail.SERVICES))
    left_out = {each.name for each in FAMILIES if each.detail is Detail.DESTINATIONS}
    assert value(found, "xlvs_service_connections_total", service=SERVICE) == 5
    assert {name for name, _ in found} & left_out == set()


def test_syn_proxy(world):
    load = SynLoad(syns=100, proved=40, answered=90, unknown=5, expired=6, odd=7)
    proxied = Proxied(SynProxyMode.AUTO, active=True, load=load, given_up=3)
    seen = []

    def of(keys):
        seen.extend(keys)
        return {KEY: proxied}

    found = samples(text(world, syn_proxying=SimpleNamespace(proxied=of)))
    assert seen == [KEY]
    assert value(found, "xlvs_service_syn_proxy_active", service=SERVICE, mode="auto") == 1
    for name, number in (
        ("syns", 100),
        ("syn_proved_clients", 40),
        ("syn_cookies", 90),
        ("syn_servers_silent", 3),
    ):
        assert value(found, f"xlvs_service_{name}_total", service=SERVICE) == number
    for reason, number in (("unknown", 5), ("expired", 6), ("odd", 7)):
        name = "xlvs_service_syn_refused_total"
        assert value(found, name, service=SERVICE, reason=reason) == number


def test_without_syn_proxy_there_are_no_series_of_it(world):
    assert not [name for name, _ in samples(text(world)) if "_syn_" in name or "_syns_" in name]


def test_others_have_their_turn(world):
    """A service that goes while it is read does no harm."""

    async def main():
        scraping = asyncio.create_task(scraped(scraper(world)))
        await asyncio.sleep(0)
        assert not scraping.done()
        world.do(DeleteService(key=KEY))
        return b"".join(await scraping).decode()

    assert "xlvs_problems" in asyncio.run(main())


# ---- counters never go back


def total(world):
    return value(samples(text(world)), "node_ipvs_incoming_bytes_total")


def test_zeroing_is_not_seen(world):
    world.do(Zero(service=KEY))
    found = samples(text(world))
    assert value(found, "xlvs_service_connections_total", service=SERVICE) == 5
    assert (
        value(found, "xlvs_destination_connections_total", service=SERVICE, destination=FIRST) == 5
    )
    world.start()
    assert total(world) == 1500


def test_a_server_that_returns_goes_on(world):
    world.do(drop(1))
    world.do(add(1))
    found = samples(text(world))
    assert (
        value(found, "xlvs_destination_connections_total", service=SERVICE, destination=FIRST) == 5
    )


STEPS = st.lists(
    st.sampled_from(["count", "remove", "add", "both", "zero", "restart"]), max_size=12
)


@settings(max_examples=60)
@given(STEPS)
def test_totals_never_go_back(steps):
    world = World()
    world.do(add_service(), add(1))
    seen, counted = [0.0], 0
    for step in steps:
        there = KEY in world.director.desired.services
        match step:
            case "count" if there:
                count(world, 1)
                counted += 1
            case "remove" if there:
                world.do(DeleteService(key=KEY))
            case "add" if not there:
                world.do(add_service(), add(1))
            case "both" if there:
                world.do(DeleteService(key=KEY), add_service(), add(1))
            case "zero" if there:
                world.do(Zero(service=KEY))
            case "restart":
                world.start()
        seen.append(total(world))
    assert all(before <= after for before, after in pairwise(seen)), seen
    assert seen[-1] == 300 * counted


def test_sync_that_does_not_run_is_told_without_a_file_too(world):
    failed = SimpleNamespace(running=None, error="eth9 is not there")
    found = samples(text(world, syncing=failed))
    assert value(found, "xlvs_sync_in_sync") == 0
    assert value(found, "xlvs_problems", of="sync") == 1
    found = samples(text(world))
    assert ("xlvs_sync_in_sync", frozenset()) not in found
    assert value(found, "xlvs_problems", of="sync") == 0
