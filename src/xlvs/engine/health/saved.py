# SPDX-License-Identifier: Apache-2.0
"""Health that outlives the daemon: nothing flaps at a restart, nobody is told twice."""

from __future__ import annotations

import msgspec

from xlvs.engine.health import schedule
from xlvs.engine.health.dampener import Belief
from xlvs.engine.health.effects import Effects
from xlvs.engine.health.names import units
from xlvs.engine.health.reconfigure import create, recount
from xlvs.engine.health.state import Result, Server, State, Watch
from xlvs.engine.health.verdict import place, replace
from xlvs.model.checker import VirtualService
from xlvs.model.tracking import File


class SavedCheck(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True):
    """One check, in the order of the file. ``due``: when the next probe is, None: none."""

    passing: bool
    known: bool = False
    failures: int = 0
    successes: int = 0
    due: float | None = None
    weight: int | None = None
    added: int = 0
    last: Result | None = None
    failure: Result | None = None


class SavedServer(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True):
    """One real server, in the order of the file."""

    since: float
    told: bool
    checks: list[SavedCheck] = []
    came_up: float | None = None
    failure: Result | None = None


class SavedUnit(msgspec.Struct, frozen=True, array_like=True):
    """One virtual service, or a group's."""

    up: bool
    since: float
    servers: list[SavedServer]


class SavedHealth(msgspec.Struct, frozen=True, kw_only=True):
    """``at``: when; all times are of the engine's clock. ``units``: by identity.

    The configuration is part of it: what the next one has no more is told at the restart.
    """

    at: float
    services: list[VirtualService]
    files: dict[str, File]
    units: dict[str, SavedUnit]
    heard: list[tuple[str, str, int]] = []


def save(state: State, now: float) -> SavedHealth:
    """All that is remembered."""
    return SavedHealth(
        at=now,
        services=[each for unit in state.units.values() for each in unit.members],
        files=dict(state.files),
        units={
            id_: SavedUnit(
                up=unit.up,
                since=unit.since,
                servers=[_server(each) for each in unit.servers.values()],
            )
            for id_, unit in state.units.items()
        },
        heard=[(*subject, value) for subject, value in state.heard.items()],
    )


def restore(state: State, saved: SavedHealth, now: float) -> None:
    """The state as it was, its checks spread over the next seconds if they were due before."""
    # After a boot the clock began anew.
    shift = min(now - saved.at, 0.0)
    state.files = dict(saved.files)
    for kind, name, value in saved.heard:
        state.heard.setdefault((kind, name), value)
    for id_, services in units(saved.services).items():
        unit = create(state, id_, services, now)
        state.units[id_] = unit
        was = saved.units.get(id_)
        if was is None:
            was = SavedUnit(up=False, since=now, servers=[])
        for server, kept in zip(unit.servers.values(), was.servers, strict=False):
            _restore_server(state, server, kept, now, shift)
        unit.up, unit.since = was.up, was.since + shift
        recount(unit)
        out = Effects()  # nobody is told: this is how it stood all the time
        for server in unit.servers.values():
            place(state, server, now, out)
        replace(state, unit, now, out)


def _server(server: Server) -> SavedServer:
    return SavedServer(
        since=server.since,
        told=server.told,
        checks=[_check(each) for each in server.watches],
        came_up=server.came_up,
        failure=server.failure,
    )


def _check(watch: Watch) -> SavedCheck:
    passing, known, failures, successes = watch.belief
    return SavedCheck(
        passing=passing,
        known=known,
        failures=failures,
        successes=successes,
        due=watch.started if watch.running else watch.due,
        weight=watch.weight,
        added=watch.added,
        last=watch.last,
        failure=watch.failure,
    )


def _restore_server(
    state: State, server: Server, kept: SavedServer, now: float, shift: float
) -> None:
    server.since, server.told = kept.since + shift, kept.told
    server.came_up = None if kept.came_up is None else kept.came_up + shift
    server.failure = _shifted(kept.failure, shift)
    for watch, was in zip(server.watches, kept.checks, strict=False):
        watch.belief = Belief(was.passing, was.known, was.failures, was.successes)
        watch.weight, watch.added = was.weight, was.added
        watch.last, watch.failure = _shifted(was.last, shift), _shifted(was.failure, shift)
        if watch.due is not None and was.due is not None:
            due = was.due + shift
            late = due <= now
            due = schedule.again(watch.timing, now, state.draw) if late else due
            state.agenda.put(watch, due)
    server.failing = sum(not each.belief.passing for each in server.watches)


def _shifted(result: Result | None, shift: float) -> Result | None:
    return None if result is None else result._replace(at=result.at + shift)
