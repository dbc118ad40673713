# SPDX-License-Identifier: Apache-2.0
"""Series of what a configuration file asks for: health, VRRP, connection sync."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from prometheus_client.core import Metric

from xlvs.api.metrics import catalogue as c
from xlvs.api.metrics import labels
from xlvs.api.metrics.family import Column, Family, Lines, Sample
from xlvs.datapath.records import SyncedResult
from xlvs.datapath.synced import Refusal
from xlvs.engine.health.report import ServerReport, ServiceReport
from xlvs.engine.health.tally import Result, Tally
from xlvs.io.sync.service import PeerStatus, Status
from xlvs.io.vrrp.messages import StateNow, StatisticsNow
from xlvs.model.detail import Detail
from xlvs.protocols.ipvs_sync.faults import Kind
from xlvs.protocols.vrrp.effects import State
from xlvs.protocols.vrrp.packet import Reason

REFUSALS = (
    *(each.value for each in Refusal),
    *(
        each.name.lower()
        for each in SyncedResult
        if each not in {SyncedResult.OPENED, SyncedResult.UPDATED}
    ),
)
"""Why another director's connection is not taken: by the daemon, and by the data path."""


class FileState(NamedTuple):
    """How the file itself fares. ``loaded``: seconds since the epoch."""

    refused: bool
    loaded: float
    reloads: int
    refusals: int


class HealthState(NamedTuple):
    """Of checks. ``epoch``: what makes reports' times seconds since the epoch."""

    reports: Sequence[ServiceReport]
    tally: Tally
    epoch: float


class VrrpState(NamedTuple):
    """Of VRRP. ``statistics``: None if its process did not answer."""

    states: Mapping[str, StateNow]
    statistics: StatisticsNow | None
    restarts: int


class SyncState(NamedTuple):
    """Of connection sync."""

    status: Status
    taken: int
    refused: Mapping[str, int]


def file(state: FileState) -> Iterator[Metric]:
    """Of the file."""
    yield c.FILE_OK.one(not state.refused)
    yield c.FILE_LOADED.one(state.loaded)
    yield c.FILE_RELOADS.one(state.reloads)
    yield c.FILE_REFUSALS.one(state.refusals)


# ---- health


def health(state: HealthState, detail: Detail) -> Iterator[Metric | Lines]:
    """Of health checks; families come in parts, as in ``services``."""
    tally, reports, epoch = state.tally, state.reports, state.epoch
    kinds = sorted(tally.seconds)
    yield c.CHECKS.of(
        ((kind, each.value), tally.results[kind, each]) for kind, each in product(kinds, Result)
    )
    yield c.CHECK_SECONDS.times(((kind,), tally.seconds[kind]) for kind in kinds)
    up = sum(each.up for each in reports)
    yield c.CHECKED_SERVICES.of([(("up",), up), (("down",), len(reports) - up)])
    servers = [server for each in reports for server in each.servers]
    up = sum(each.up for each in servers)
    yield c.CHECKED_DESTINATIONS.of([(("up",), up), (("down",), len(servers) - up)])
    rows = [(labels.of_service(key), each) for each in reports for key in each.services]
    yield from c.SERVICE_UP.parts(rows, [Column(lambda row: int(row.up))])
    yield from c.SERVICE_SINCE.parts(rows, [Column(lambda row: round(row.since + epoch, 1))])
    yield from c.SERVICE_SORRY.parts(rows, [Column(lambda row: int(row.sorry_in))])
    if detail is Detail.DESTINATIONS:
        yield from _servers(reports, epoch)


def _servers(reports: Sequence[ServiceReport], epoch: float) -> Iterator[Lines]:
    columns: Sequence[tuple[Family, Callable[[ServerReport], float]]] = (
        (c.DESTINATION_UP, lambda row: int(row.up)),
        (c.DESTINATION_SINCE, lambda row: round(row.since + epoch, 1)),
        (c.DESTINATION_FAILING, lambda row: sum(not each.passing for each in row.checks)),
    )
    for family, number in columns:
        rows = (
            (labels.of_server(service, server.key), server)
            for each in reports
            for service in map(labels.of_service, each.services)
            for server in each.servers
        )
        yield from family.parts(rows, [Column(number)])


# ---- VRRP


def vrrp(state: VrrpState) -> Iterator[Metric]:
    """Of VRRP."""
    now = state.states.values()
    yield c.VRRP_STATE.of(
        ((each.instance, word.lower()), each.state == word) for each in now for word in State
    )
    yield c.VRRP_PRIORITY.of(((each.instance,), each.priority) for each in now)
    yield c.VRRP_SINCE.of(((each.instance,), each.since) for each in now)
    yield c.VRRP_RESTARTS.one(max(state.restarts, 0))
    counted = state.statistics
    if counted is None:
        return
    yield c.VRRP_STRANGERS.one(counted.strangers)
    yield c.VRRP_LATE.one(counted.late_max)
    instances = counted.instances
    for family, numbers in _OF_INSTANCES:
        yield family.of(
            ((each.instance, *values), getattr(each, field))
            for each in instances
            for values, field in numbers
        )
    yield c.VRRP_REJECTED.of(
        ((each.instance, why.value), each.rejected.get(why.value, 0))
        for each in instances
        for why in Reason
    )


_OF_INSTANCES: Sequence[tuple[Family, Sequence[tuple[tuple[str, ...], str]]]] = (
    (c.VRRP_TRANSITIONS, ((("to_master",), "became_master"), (("from_master",), "left_master"))),
    (c.VRRP_ADVERTS, ((("sent",), "adverts_sent"), (("received",), "adverts_received"))),
    (
        c.VRRP_GIVING_UP,
        ((("sent",), "zero_priority_sent"), (("received",), "zero_priority_received")),
    ),
    (c.VRRP_RIVALS, ((("higher",), "rivals_higher"), (("lower",), "rivals_lower"))),
    (c.VRRP_CONFLICTS, (((), "conflicts"),)),
    (c.VRRP_RESTORED, (((), "restored"),)),
)
"""Family -> label's values and field of ``InstanceStatistics``."""


# ---- sync


def sync(state: SyncState) -> Iterator[Metric]:
    """Of connection sync."""
    status = state.status
    yield c.SYNC_OK.one(status.in_sync)
    master, backup = status.master, status.backup
    yield c.SYNC_ROLE.of([(("master",), master is not None), (("backup",), backup is not None)])
    yield c.SYNC_TAKEN.one(state.taken)
    yield c.SYNC_REFUSED.of(((why,), state.refused.get(why, 0)) for why in REFUSALS)
    peers = status.peers
    yield c.PEER_OK.of(_sides(peers, "in_sync"))
    yield c.PEER_LAG.of(_sides(peers, "behind"))
    yield c.PEER_QUEUED.of(_sides(peers, "queued"))
    yield c.PEER_MOVED.of(
        ((each.address, side), number)
        for each in peers
        for side, number in (("there", each.there_sent), ("here", each.here_received))
    )
    yield c.PEER_RESYNCS.of(((each.address,), each.there_resyncs) for each in peers)
    roles = [(word, role) for word, role in (("sent", master), ("received", backup)) if role]
    yield c.IPVS_MESSAGES.of(((word,), role.messages) for word, role in roles)
    yield c.IPVS_CONNECTIONS.of(((word,), role.connections) for word, role in roles)
    if master is not None:
        yield c.IPVS_DROPPED.of(
            [(("queue_full",), master.dropped), (("unencodable",), master.unencodable)]
        )
    if backup is not None:
        yield c.IPVS_FAULTS.of(((kind.value,), backup.faults.get(kind.value, 0)) for kind in Kind)


def _sides(peers: Sequence[PeerStatus], what: str) -> Iterator[Sample]:
    """Of both sides; what is not known is left out."""
    for peer, side in product(peers, ("there", "here")):
        number = getattr(peer, f"{side}_{what}")
        if number is not None:
            yield (peer.address, side), number
