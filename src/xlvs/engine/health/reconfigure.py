# SPDX-License-Identifier: Apache-2.0
"""A file is loaded again: what is the same keeps its health, its counts and its schedule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from xlvs.engine.health import schedule, tell
from xlvs.engine.health.dampener import Belief
from xlvs.engine.health.effects import Effects, StopProbe
from xlvs.engine.health.names import units
from xlvs.engine.health.outcome import Heard, of_bfd, of_file
from xlvs.engine.health.quorum import quorum
from xlvs.engine.health.standing import AS_ASKED
from xlvs.engine.health.state import Server, State, Unit, Watch, placed, primary
from xlvs.engine.health.verdict import judge, place, replace
from xlvs.model.checker import (
    AnyCheck,
    BfdCheck,
    FileCheck,
    RealServer,
    VirtualService,
)
from xlvs.model.service import DestinationKey, ServiceKey
from xlvs.model.tracking import File

Members = tuple[VirtualService, ...]


def reconfigure(
    state: State,
    services: Iterable[VirtualService],
    files: Mapping[str, File],
    now: float,
    out: Effects,
) -> None:
    """From what there is to what the file says now. Nothing happens to what is the same."""
    wanted = units(services)
    others = dict(state.files) != dict(files)
    owners = {each.service.key: id_ for id_, unit in state.units.items() for each in unit.members}
    state.files = dict(files)
    for id_ in [each for each in state.units if each not in wanted]:
        _remove(state, state.units.pop(id_), out)
    before, state.units = state.units, {}
    for id_, members in wanted.items():
        unit = before.get(id_)
        if unit is None:
            unit = create(state, id_, members, now)
            state.units[id_] = unit
            _begin(state, unit, now, out)
            continue
        state.units[id_] = unit
        if others or unit.members != members:
            _update(state, unit, members, now, out)
    # Whoever lost a service to another has withdrawn what health said of it.
    for id_, unit in state.units.items():
        if any(owners.get(each.service.key, id_) != id_ for each in unit.members):
            for server in unit.servers.values():
                place(state, server, now, out)
            replace(state, unit, now, out)
    state.changes += 1


def create(state: State, id_: str, members: Members, now: float) -> Unit:
    """A new unit with its servers and checks, of which nobody has been told yet."""
    unit = Unit(id_, members, now)
    suspend(state, unit)
    for key, (real, places) in _servers(members).items():
        unit.servers[key] = _new(state, unit, key, real, now)
        unit.servers[key].places = places
    return unit


def pause(state: State, unit: Unit, now: float, out: Effects) -> None:
    """Its checks stand still from now on, or begin again."""
    for server in unit.servers.values():
        for watch in server.watches:
            if unit.suspended:
                stop(state, watch, out)
            elif watch.due is None and not schedule.followed(watch.check):
                state.agenda.put(watch, schedule.again(watch.timing, now, state.draw))


def suspend(state: State, unit: Unit) -> bool:
    """Find out whether its checks stand still (``ha_suspend``); whether that is new."""
    suspended = False
    if state.present is not None and any(each.ha_suspend for each in unit.members):
        addresses = [each.service.key.address for each in unit.members]
        known = [each for each in addresses if each is not None]
        suspended = bool(known) and not any(each in state.present for each in known)
    before, unit.suspended = unit.suspended, suspended
    return before != suspended


def stop(state: State, watch: Watch, out: Effects) -> None:
    """No probe of it any more."""
    if watch.running:
        watch.running = False
        out.add(StopProbe(watch.probe, watch.run))
    state.agenda.put(watch, None)


def _servers(
    members: Members,
) -> dict[DestinationKey, tuple[RealServer, tuple[tuple[ServiceKey, DestinationKey], ...]]]:
    """By what they are called: the real server, and where its destinations are."""
    named = primary(members)
    found: dict[
        DestinationKey, tuple[RealServer, tuple[tuple[ServiceKey, DestinationKey], ...]]
    ] = {}
    for at, real in enumerate(named.real_servers):
        places = tuple(
            (each.service.key, placed(each.service.key, each.real_servers[at].destination))
            for each in members
            if at < len(each.real_servers)
        )
        key = real.destination.key
        if not named.group:
            key = placed(named.service.key, real.destination)
        found.setdefault(key, (real, places))
    return found


def _new(state: State, unit: Unit, key: DestinationKey, real: RealServer, now: float) -> Server:
    server = Server(unit, key, real, now)
    for check in real.checks:
        alpha = unit.primary.alpha if check.alpha is None else check.alpha
        watch = _add(state, server, check, Belief(passing=not alpha), now)
        server.told = server.told and watch.belief.passing
    return server


def _match(state: State, server: Server, real: RealServer, now: float, out: Effects) -> None:
    """The same checks go on; a new one begins with what was believed of those it replaces."""
    server.real = real
    old, server.watches = server.watches, []
    kept: list[Watch | None] = []
    for check in real.checks:
        found = next((each for each in old if each.check == check), None)
        kept.append(found)
        if found is not None:
            old.remove(found)
    passing = all(each.belief.passing for each in old)
    for each in old:
        _drop(state, each, out)
    was_alive, server.failing = server.alive, 0
    for check, watch in zip(real.checks, kept, strict=True):
        if watch is None:
            _add(state, server, check, Belief(passing=passing, known=True), now)
        else:
            _keep(state, watch, now)
    if server.alive != was_alive:
        server.since = now
        server.came_up = now if server.alive else None
        tell.real(state, server, out, up=server.alive, why="other checks are configured")


def _keep(state: State, watch: Watch, now: float) -> None:
    """Its interval may be another, and so may be what a file's number means."""
    server = watch.server
    server.watches.append(watch)
    timing = schedule.timing(watch.check, server.unit.primary)
    if timing != watch.timing:
        watch.timing = timing
        if watch.due is not None and not watch.running:
            state.agenda.put(watch, min(watch.due, now + timing.delay_loop))
    known = _follow(state, watch)
    if known is not None:
        watch.belief = watch.belief._replace(passing=known.ok, known=True)
        watch.added = known.added
    server.failing += not watch.belief.passing


def _places(unit: Unit) -> Iterator[tuple[ServiceKey, DestinationKey]]:
    for server in unit.servers.values():
        yield from server.places


def _withdraw(
    state: State,
    services: Iterable[ServiceKey],
    unit: Unit,
    before: Iterable[tuple[ServiceKey, DestinationKey]],
    out: Effects,
) -> None:
    """Health has no say any more about what is no longer configured."""
    now = set(_places(unit))
    for service, destination in before:
        gone = (service, destination) not in now
        if gone and state.standings.put(service, destination, AS_ASKED):
            out.rotated(service)
    members = [each.service.key for each in unit.members]
    for service in services:
        if service not in members and state.standings.drop(service):
            out.rotated(service)


def _add(state: State, server: Server, check: AnyCheck, belief: Belief, now: float) -> Watch:
    """One more check, which says what it can know already."""
    state.probes += 1
    timing = schedule.timing(check, server.unit.primary)
    watch = Watch(state.probes, server, check, timing, belief)
    server.watches.append(watch)
    state.watches[watch.probe] = watch
    known = _follow(state, watch)
    if known is not None:
        watch.belief = Belief(passing=known.ok, known=True)
        watch.added = known.added
    elif not schedule.followed(check) and not server.unit.suspended:
        start = schedule.again if belief.known else schedule.first
        state.agenda.put(watch, start(timing, now, state.draw))
    server.failing += not watch.belief.passing
    return watch


def _follow(state: State, watch: Watch) -> Heard | None:
    match watch.check:
        case FileCheck(track_file=name) as check:
            subject = ("file", name)
            value = state.heard.get(subject)
            known = None if value is None else of_file(check, state.files.get(name), value)
        case BfdCheck(name=name):
            subject = ("bfd", name)
            value = state.heard.get(subject)
            known = None if value is None else of_bfd(name, up=bool(value))
        case _:
            return None
    state.followers.setdefault(subject, {})[watch.probe] = watch
    return known


def _drop(state: State, watch: Watch, out: Effects) -> None:
    stop(state, watch, out)
    del state.watches[watch.probe]
    match watch.check:
        case FileCheck(track_file=name):
            state.followers["file", name].pop(watch.probe, None)
        case BfdCheck(name=name):
            state.followers["bfd", name].pop(watch.probe, None)


def _begin(state: State, unit: Unit, now: float, out: Effects) -> None:
    """Tell how it begins. Without its quorum and a sorry server keepalived says nothing."""
    recount(unit)
    unit.up = unit.quorum.holds(unit.weight, held=False)
    for server in unit.servers.values():
        tell.begins(state, server, out)
        place(state, server, now, out)
    replace(state, unit, now, out)
    if unit.up or unit.sorry_in:
        word = "up" if unit.up else "down"
        why = f"it begins {word}, its servers' weight is {unit.weight} of {unit.quorum.gain}"
        tell.virtual(state, unit, out, up=unit.up, why=why)


def recount(unit: Unit) -> None:
    """Its quorum and the sum of weights, from what is configured and known."""
    named = unit.primary
    full = sum(each.real.destination.weight for each in unit.servers.values())
    unit.quorum = quorum(named.quorum, named.hysteresis, full)
    for server in unit.servers.values():
        server.counted = server.full() if server.alive else 0
    unit.weight = sum(each.counted for each in unit.servers.values())


def _remove(state: State, unit: Unit, out: Effects) -> None:
    _leave(state, unit, unit.servers.values(), out)
    if unit.up:
        tell.virtual(state, unit, out, up=False, why="it is no longer configured")
    for each in unit.members:
        if state.standings.drop(each.service.key):
            out.rotated(each.service.key)


def _leave(state: State, unit: Unit, servers: Iterable[Server], out: Effects) -> None:
    """Servers that are no longer configured; those in rotation go down."""
    for server in servers:
        if server.alive and not unit.sorry_in:
            tell.real(state, server, out, up=False, why="it is no longer configured")
        for watch in server.watches:
            _drop(state, watch, out)
        state.agenda.put(server, None)


def _update(state: State, unit: Unit, members: Members, now: float, out: Effects) -> None:
    wanted = _servers(members)
    before = set(_places(unit))
    gone = [unit.servers.pop(key) for key in list(unit.servers) if key not in wanted]
    _leave(state, unit, gone, out)
    services = [each.service.key for each in unit.members]
    unit.set_members(members)
    changed = suspend(state, unit)
    servers: dict[DestinationKey, Server] = {}
    for key, (real, places) in wanted.items():
        server = unit.servers.get(key)
        if server is None:
            server = _new(state, unit, key, real, now)
            tell.begins(state, server, out)
        else:
            _match(state, server, real, now, out)
        server.places = places
        servers[key] = server
    unit.servers = servers
    if changed:
        pause(state, unit, now, out)
    _withdraw(state, services, unit, before, out)
    recount(unit)
    for server in unit.servers.values():
        place(state, server, now, out)
    replace(state, unit, now, out)
    judge(state, unit, now, out)
