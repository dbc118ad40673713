# SPDX-License-Identifier: Apache-2.0
"""What follows from a check's result: for its server, and for the quorum."""

from __future__ import annotations

import msgspec

from xlvs.engine.health import schedule, tell
from xlvs.engine.health.dampener import after
from xlvs.engine.health.effects import Effects, Level, Log
from xlvs.engine.health.outcome import Outcome
from xlvs.engine.health.slow_start import weight as slow_weight
from xlvs.engine.health.standing import AS_ASKED, OUT, Place
from xlvs.engine.health.state import Result, Server, State, Unit, Watch, placed
from xlvs.model.checker import AnyCheck, HttpCheck

_WORDS = {
    "tcp": "TCP_CHECK",
    "smtp": "SMTP_CHECK",
    "dns": "DNS_CHECK",
    "ping": "PING_CHECK",
    "udp": "UDP_CHECK",
    "misc": "MISC_CHECK",
    "file": "FILE_CHECK",
    "bfd": "BFD_CHECK",
}


def word(check: AnyCheck) -> str:
    """What the checker is called in the file."""
    if isinstance(check, HttpCheck):
        return "SSL_GET" if check.tls else "HTTP_GET"
    return _WORDS[str(check.__struct_config__.tag)]


def heard(state: State, watch: Watch, outcome: Outcome, now: float, out: Effects) -> None:
    """A check has a result: believe it or not, and say when the next one is due."""
    known_trouble, watch.trouble = watch.trouble, outcome.ours
    watch.last = Result(now, outcome.ok, outcome.cause)
    if outcome.ours:
        _schedule(state, watch, now, retry=False)
        if not known_trouble:
            said = f"{_whose(watch)} could not be made: {outcome.cause}"
            out.add(Log(said, Level.WARNING, fields=_fields(watch, outcome)))
        return
    server, before = watch.server, watch.belief
    was_alive, changed = server.alive, (watch.weight, watch.added)
    timing = watch.timing
    watch.belief = after(before, ok=outcome.ok, rise=timing.rise, fall=timing.fall)
    if outcome.ok:
        watch.weight, watch.added = outcome.weight, outcome.added
    else:
        watch.failure = watch.last
        server.failure = Result(now, ok=False, cause=f"{word(watch.check)}: {outcome.cause}")
    believed = not outcome.ok and watch.belief.passing
    _schedule(state, watch, now, retry=believed)
    if believed and watch.check.log_all_failures:
        count = f"{watch.belief.failures} of {timing.fall}"
        said = f"{_whose(watch)} failed, {count}: {outcome.cause}"
        out.add(Log(said, fields=_fields(watch, outcome)))
    server.failing += before.passing - watch.belief.passing
    if server.alive != was_alive:
        _changed(state, server, watch, now, out)
    elif changed != (watch.weight, watch.added):
        state.changes += 1
        weigh(state, server, now, out)
    elif not server.told and not outcome.ok:  # alpha: it was down, now it is known to be
        tell.real(state, server, out, up=False, why=_why(watch))
    judge(state, server.unit, now, out)


def _changed(state: State, server: Server, watch: Watch, now: float, out: Effects) -> None:
    server.since = now
    server.came_up = now if server.alive else None
    state.changes += 1
    weigh(state, server, now, out)
    tell.real(state, server, out, up=server.alive, why=_why(watch))


def _schedule(state: State, watch: Watch, now: float, *, retry: bool) -> None:
    watch.running = False
    if not schedule.followed(watch.check):
        due = schedule.following(watch.timing, watch.started, now, retry=retry)
        state.agenda.put(watch, due)


def weigh(state: State, server: Server, now: float, out: Effects) -> None:
    """Its weight may be another: count it for the quorum, and find its place."""
    counted = server.full() if server.alive else 0
    server.unit.weight += counted - server.counted
    server.counted = counted
    place(state, server, now, out)


def place(state: State, server: Server, now: float, out: Effects) -> None:
    """Where it stands now, in each service of its unit."""
    found, step = _place(server, now)
    state.agenda.put(server, step)
    for service, destination in server.places:
        if state.standings.put(service, destination, found):
            out.rotated(service)


def _place(server: Server, now: float) -> tuple[Place, float | None]:
    """Also when that changes by itself."""
    if not server.alive or server.unit.sorry_in:
        return (0 if server.real.inhibit_on_failure else OUT), None
    weight, step = server.full(), None
    if server.came_up is not None:
        weight, left = slow_weight(weight, server.real.slow_start, now - server.came_up)
        step = None if left is None else now + left
        if step is None:
            server.came_up = None
    return (AS_ASKED if weight == server.real.destination.weight else weight), step


def judge(state: State, unit: Unit, now: float, out: Effects) -> None:
    """Gain or lose the quorum."""
    up = unit.quorum.holds(unit.weight, held=unit.up)
    if up == unit.up:
        return
    unit.up = up
    unit.since = now
    state.changes += 1
    replace(state, unit, now, out)
    tell.virtual(state, unit, out, up=up)


def replace(state: State, unit: Unit, now: float, out: Effects) -> None:
    """All its servers and the sorry server find their places."""
    if unit.primary.sorry_server is not None:
        for server in unit.servers.values():
            place(state, server, now, out)
    for each in unit.members:
        service, sorry = each.service.key, each.sorry_server
        if sorry is not None:
            sorry = msgspec.structs.replace(sorry, key=placed(service, sorry))
            if unit.up:
                inhibited = msgspec.structs.replace(
                    sorry, weight=0, weight_before=sorry.weight or sorry.weight_before
                )
                sorry = inhibited if each.sorry_server_inhibit else None
        if state.standings.put_sorry(service, sorry):
            out.rotated(service)


def _whose(watch: Watch) -> str:
    return f"{word(watch.check)} of {watch.server.name} of {watch.server.unit.name}"


def _fields(watch: Watch, outcome: Outcome) -> dict[str, str]:
    server = watch.server
    return {
        "service": server.unit.name,
        "server": server.name,
        "check": word(watch.check),
        "cause": outcome.cause,
    }


def _why(watch: Watch) -> str:
    if watch.server.alive:
        return f"{word(watch.check)} succeeded"
    cause = watch.failure.cause if watch.failure else ""
    return f"{word(watch.check)}: {cause}" if cause else f"{word(watch.check)} failed"
