# SPDX-License-Identifier: Apache-2.0
"""What a file asks for: values in, series out."""

from __future__ import annotations

import asyncio

from prometheus_client.exposition import generate_latest
from tests.unit.api.metrics.scraping import samples, value
from tests.unit.engine.health.build import World, key, mark, real, virtual

from xlvs.api.metrics import following
from xlvs.api.metrics.exposition import pieces
from xlvs.engine.health.outcome import Heard
from xlvs.engine.health.tally import Tally
from xlvs.io.sync.ipvs import ReceiverStatus
from xlvs.io.sync.service import PeerStatus, Status
from xlvs.io.vrrp.messages import InstanceStatistics, StateNow, StatisticsNow
from xlvs.model.detail import Detail
from xlvs.model.service import Family

SERVICE = "tcp 10.0.0.1:80"
EPOCH = 1_000_000.0


def shown(families):
    async def all_of_them():
        for each in families:
            yield each

    async def main():
        return [each async for each in pieces(all_of_them(), generate_latest, "text/plain")]

    return samples(b"".join(asyncio.run(main())).decode())


# ---- the file


def test_a_refused_file():
    found = shown(following.file(following.FileState(True, 12.5, 3, 2)))
    assert value(found, "xlvs_config_last_reload_successful") == 0
    assert value(found, "xlvs_config_last_reload_success_timestamp_seconds") == 12.5
    assert value(found, "xlvs_config_reloads_total") == 3
    assert value(found, "xlvs_config_refusals_total") == 2


# ---- health


def checked(*services, detail=Detail.DESTINATIONS, dead=(), tally=None):
    world = World(*services)
    world.answers |= dict.fromkeys(dead, 1)
    world.run(10)
    reports = tuple(world.health.report())
    return shown(following.health(following.HealthState(reports, tally or Tally(), EPOCH), detail))


def test_who_is_up_and_since_when():
    found = checked(virtual(real(1), real(2)), dead=["r2"])
    for n, up in ((1, 1), (2, 0)):
        server = {"service": SERVICE, "destination": f"192.168.200.1{n}:80"}
        assert value(found, "xlvs_destination_up", **server) == up
        assert value(found, "xlvs_destination_failing_checks", **server) == 1 - up
        since = value(found, "xlvs_destination_last_change_timestamp_seconds", **server)
        assert EPOCH <= since <= EPOCH + 1010
    assert value(found, "xlvs_service_up", service=SERVICE) == 1
    assert value(found, "xlvs_checked_destinations", state="up") == 1
    assert value(found, "xlvs_checked_destinations", state="down") == 1
    assert value(found, "xlvs_checked_services", state="down") == 0


def test_no_quorum_and_a_sorry_server():
    found = checked(virtual(real(1), sorry=True), dead=["r1"], detail=Detail.SERVICES)
    assert value(found, "xlvs_service_up", service=SERVICE) == 0
    assert value(found, "xlvs_service_sorry_server", service=SERVICE) == 1
    assert not any(name.startswith("xlvs_destination_") for name, _ in found)


def test_a_marks_families_are_two_services():
    found = checked(virtual(real(1), at=mark(7)), virtual(real(2), at=mark(7, Family.INET6)))
    assert value(found, "xlvs_service_up", service="fwm 7") == 1
    assert value(found, "xlvs_service_up", service="fwm 7 inet6") == 1


def test_checks_by_kind():
    tally = Tally()
    tally.count("TCP_CHECK", Heard(ok=True), 0.004)
    tally.count("TCP_CHECK", Heard(ok=False), 3)
    found = checked(virtual(real(1), at=key()), tally=tally)
    for result, number in (("ok", 1), ("failed", 1), ("not_made", 0)):
        assert value(found, "xlvs_checks_total", check="TCP_CHECK", result=result) == number
    name = "xlvs_check_duration_seconds"
    assert value(found, f"{name}_bucket", check="TCP_CHECK", le="0.005") == 1
    assert value(found, f"{name}_bucket", check="TCP_CHECK", le="+Inf") == 2
    assert value(found, f"{name}_sum", check="TCP_CHECK") == 3.004


# ---- VRRP

STATE = StateNow(
    instance="one",
    state="MASTER",
    before="BACKUP",
    priority=150,
    cause="",
    addresses=("10.0.0.1/32",),
    since=99.0,
)
COUNTED = InstanceStatistics(
    instance="one",
    state="MASTER",
    priority=150,
    master="",
    rival="",
    faults=(),
    adverts_sent=10,
    adverts_received=20,
    zero_priority_sent=1,
    zero_priority_received=2,
    became_master=3,
    left_master=4,
    rivals_lower=5,
    rivals_higher=6,
    restored=7,
    conflicts=8,
    rejected={"password": 9},
)


def test_vrrp():
    statistics = StatisticsNow(instances=(COUNTED,), strangers=11, late_max=0.002)
    state = following.VrrpState({"one": STATE}, statistics, -1)
    found = shown(following.vrrp(state))
    one = {"vrrp_instance": "one"}
    states = {
        name: value(found, "xlvs_vrrp_state", **one, state=name)
        for name in ("init", "backup", "master", "fault")
    }
    assert states == {"init": 0, "backup": 0, "master": 1, "fault": 0}
    assert value(found, "xlvs_vrrp_priority", **one) == 150
    assert value(found, "xlvs_vrrp_adverts_total", **one, direction="received") == 20
    assert value(found, "xlvs_vrrp_resignations_total", **one, direction="sent") == 1
    assert value(found, "xlvs_vrrp_transitions_total", **one, change="from_master") == 4
    assert value(found, "xlvs_vrrp_rival_adverts_total", **one, priority="higher") == 6
    assert value(found, "xlvs_vrrp_restored_total", **one) == 7
    assert value(found, "xlvs_vrrp_address_conflicts_total", **one) == 8
    assert value(found, "xlvs_vrrp_rejected_adverts_total", **one, reason="password") == 9
    assert value(found, "xlvs_vrrp_rejected_adverts_total", **one, reason="checksum") == 0
    assert value(found, "xlvs_vrrp_unknown_adverts_total") == 11
    assert value(found, "xlvs_vrrp_process_restarts_total") == 0, "the first start is none"


def test_a_vrrp_process_that_does_not_answer():
    found = shown(following.vrrp(following.VrrpState({"one": STATE}, None, 2)))
    assert value(found, "xlvs_vrrp_state", vrrp_instance="one", state="master") == 1
    assert value(found, "xlvs_vrrp_process_restarts_total") == 2
    assert not any("adverts" in name for name, _ in found)


# ---- sync


def test_sync():
    peer = PeerStatus(
        address="10.0.1.2",
        there_in_sync=True,
        there_behind=0.25,
        there_queued=3,
        there_sent=100,
        there_resyncs=2,
        there_sessions=1,
        here_in_sync=False,
        here_behind=None,
        here_queued=4,
        here_received=50,
        last_error="",
    )
    backup = ReceiverStatus(
        connections=7, messages=2, bytes=300, faults={"size": 1}, last_fault="too short"
    )
    status = Status(in_sync=False, master=None, backup=backup, peers=(peer,), strangers=0)
    found = shown(following.sync(following.SyncState(status, 42, {"no_server": 5})))
    assert value(found, "xlvs_sync_in_sync") == 0
    assert value(found, "xlvs_sync_taken_total") == 42
    assert value(found, "xlvs_sync_refused_total", reason="no_server") == 5
    assert value(found, "xlvs_sync_refused_total", reason="full") == 0
    there, here = ({"peer": "10.0.1.2", "side": side} for side in ("there", "here"))
    assert value(found, "xlvs_sync_peer_lag_seconds", **there) == 0.25
    assert ("xlvs_sync_peer_lag_seconds", frozenset(here.items())) not in found
    assert value(found, "xlvs_sync_peer_in_sync", **here) == 0
    assert value(found, "xlvs_sync_peer_queued", **here) == 4
    assert value(found, "xlvs_sync_peer_connections_total", **there) == 100
    assert value(found, "xlvs_sync_peer_resyncs_total", peer="10.0.1.2") == 2
    assert value(found, "xlvs_sync_ipvs_role", role="backup") == 1
    assert value(found, "xlvs_sync_ipvs_messages_total", direction="received") == 2
    assert value(found, "xlvs_sync_ipvs_faults_total", fault="size") == 1
