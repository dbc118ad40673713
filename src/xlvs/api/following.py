# SPDX-License-Identifier: Apache-2.0
"""What a director follows, a file and other directors, as the API shows it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from xlvs.engine.health.report import CheckReport, ServerReport, ServiceReport
from xlvs.engine.health.state import Result
from xlvs.io import clock
from xlvs.io.configured import Configured
from xlvs.io.syncing import Syncing
from xlvs.wire.following import (
    CheckView,
    FailureView,
    FileView,
    HealthView,
    PeerView,
    QuorumView,
    SyncView,
    VrrpView,
)


def file_view(configured: Configured) -> FileView:
    """All of it."""
    health = configured.health
    return replace(
        view_but_services(configured),
        services=[] if health is None else [service_view(each) for each in health.report()],
    )


def view_but_services(configured: Configured) -> FileView:
    """What does not grow with the services."""
    return FileView(
        path=configured.path,
        loaded=configured.loaded,
        applied=configured.applied,
        error=configured.error,
        reloads=configured.reloads,
        refusals=configured.refusals,
        services=[],
        vrrp=[
            VrrpView(
                instance=each.instance,
                state=each.state,
                priority=each.priority,
                since=each.since,
                cause=each.cause,
                addresses=list(each.addresses),
            )
            for each in configured.redundancy.states.values()
        ],
    )


def problems(view: FileView) -> Iterator[str]:
    """What an operator has to know at once."""
    if view.error:
        yield f"{view.path} was refused, what it said before is in force: {view.error}"
    if view.applied:
        yield f"a configuration is in force that {view.path} does not say: SIGHUP ends that"
    for service in view.services:
        yield from unwell(service)
    for each in view.vrrp:
        if each.state == "FAULT":
            yield f"VRRP {each.instance}: {each.state}: {each.cause}"


def sync_problems(view: SyncView) -> Iterator[str]:
    """What an operator has to know at once."""
    if view.error:
        yield f"sync does not run as asked for: {view.error}"
    for peer in view.peers:
        if not peer.there_in_sync:
            yield f"sync: {peer.address} does not know our connections: {peer.last_error}"


def unwell(service: QuorumView) -> Iterator[str]:
    """The same of one service."""
    for server in service.servers:
        if not server.up and server.last_failure is not None:
            yield f"{service.name}: {server.name} is down: {server.last_failure.cause}"
    if not service.up:
        yield f"{service.name}: no quorum: weight {service.weight}, {service.kept_at} is needed"


def service_view(report: ServiceReport) -> QuorumView:
    """One virtual service, or a group's."""
    epoch = clock.epoch()
    return QuorumView(
        name=report.name,
        up=report.up,
        since=report.since + epoch,
        weight=report.weight,
        gained_at=report.gain,
        kept_at=report.keep,
        sorry_server=report.sorry_in,
        suspended=report.suspended,
        servers=[_server(each, epoch) for each in report.servers],
    )


def _server(report: ServerReport, epoch: float) -> HealthView:
    return HealthView(
        name=report.name,
        up=report.up,
        since=report.since + epoch,
        in_rotation=report.in_rotation,
        weight=report.weight,
        asked=report.asked,
        last_failure=_failure(report.failure, epoch),
        checks=[_check(each, epoch) for each in report.checks],
    )


def _check(report: CheckReport, epoch: float) -> CheckView:
    return CheckView(
        check=report.check,
        passing=report.passing,
        failures=report.failures,
        last_failure=_failure(report.failure, epoch),
    )


def _failure(result: Result | None, epoch: float) -> FailureView | None:
    return None if result is None else FailureView(at=result.at + epoch, cause=result.cause)


def sync_view(syncing: Syncing) -> SyncView | None:
    """None: none is asked for."""
    sync = syncing.running
    if sync is None:
        if not syncing.error:
            return None
        return SyncView(
            in_sync=False,
            master=False,
            backup=False,
            taken=0,
            refused={},
            peers=[],
            error=syncing.error,
        )
    status = sync.status()
    return SyncView(
        in_sync=status.in_sync,
        master=status.master is not None,
        backup=status.backup is not None,
        taken=sync.taken,
        refused=dict(sync.refused),
        peers=[
            PeerView(
                address=each.address,
                there_in_sync=each.there_in_sync,
                there_behind=each.there_behind,
                there_queued=each.there_queued,
                here_in_sync=each.here_in_sync,
                here_behind=each.here_behind,
                here_received=each.here_received,
                last_error=each.last_error,
            )
            for each in status.peers
        ],
        error=syncing.error,
    )
