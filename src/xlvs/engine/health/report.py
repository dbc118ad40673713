# SPDX-License-Identifier: Apache-2.0
"""What ``xlvs status`` says about health. Times are of the engine's clock."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from xlvs.engine.health.standing import AS_ASKED, OUT
from xlvs.engine.health.state import Result, Server, State, Unit, Watch
from xlvs.engine.health.verdict import word
from xlvs.model.service import DestinationKey, ServiceKey


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """One check. ``due``: when the next probe starts, None: not at all, or one is running."""

    check: str
    passing: bool
    last: Result | None
    failure: Result | None
    failures: int
    due: float | None
    running: bool


class ServerReport(msgspec.Struct, frozen=True, kw_only=True):
    """One real server. ``weight``: what connections are balanced by now, 0 when out."""

    name: str
    key: DestinationKey
    up: bool
    since: float
    in_rotation: bool
    weight: int
    asked: int
    failure: Result | None
    checks: tuple[CheckReport, ...]


class ServiceReport(msgspec.Struct, frozen=True, kw_only=True):
    """One virtual service, or a group's: ``services``.

    ``weight``: the sum of live servers'; the quorum is gained with ``gain``, lost below
    ``keep``. ``suspended``: by ``ha_suspend``.
    """

    name: str
    services: tuple[ServiceKey, ...]
    up: bool
    since: float
    weight: int
    gain: int
    keep: int
    sorry_in: bool
    suspended: bool
    servers: tuple[ServerReport, ...]


def report(state: State) -> Iterator[ServiceReport]:
    """Of all virtual services, one at a time; a reload meanwhile does no harm."""
    return (of_unit(state, each) for each in tuple(state.units.values()))


def of_unit(state: State, unit: Unit) -> ServiceReport:
    """Of one."""
    return ServiceReport(
        name=unit.name,
        services=tuple(each.service.key for each in unit.members),
        up=unit.up,
        since=unit.since,
        weight=unit.weight,
        gain=unit.quorum.gain,
        keep=unit.quorum.keep,
        sorry_in=unit.sorry_in,
        suspended=unit.suspended,
        servers=tuple(_server(state, each) for each in unit.servers.values()),
    )


def _server(state: State, server: Server) -> ServerReport:
    asked = server.real.destination.weight
    place = state.standings.place(*server.places[0])
    return ServerReport(
        name=server.name,
        key=server.key,
        up=server.alive,
        since=server.since,
        in_rotation=place is not OUT,
        weight=asked if place == AS_ASKED else place or 0,
        asked=asked,
        failure=server.failure,
        checks=tuple(_check(each) for each in server.watches),
    )


def _check(watch: Watch) -> CheckReport:
    return CheckReport(
        check=word(watch.check),
        passing=watch.belief.passing,
        last=watch.last,
        failure=watch.failure,
        failures=watch.belief.failures,
        due=None if watch.running else watch.due,
        running=watch.running,
    )
