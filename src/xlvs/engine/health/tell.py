# SPDX-License-Identifier: Apache-2.0
"""Who is told of a change: FIFO lines and mail subjects as keepalived 2.2.7 writes them."""

from __future__ import annotations

from xlvs.engine.health.effects import (
    Effects,
    Level,
    Log,
    RunCommand,
    SendMail,
    WriteFifo,
)
from xlvs.engine.health.state import Server, State, Unit
from xlvs.model.notification import Command
from xlvs.wire.events import Kind


def real(state: State, server: Server, out: Effects, *, up: bool, why: str) -> None:
    """A real server came up or went down."""
    unit, of = server.unit, server.real
    word = _word(up=up)
    sentence = f"real server {server.name} of {unit.name} is {word.lower()}: {why}"
    fields = {"service": unit.name, "server": server.name, "state": word.lower(), "cause": why}
    kind = Kind.SERVER_UP if up else Kind.SERVER_DOWN
    out.add(Log(sentence, _level(up=up), kind, unit.name, fields))
    _notify(server, out, up=up)
    if _mailed(of.smtp_alert, state, default=True):
        subject = f"Realserver {server.name} of virtual server {unit.name} - {word}"
        _mail(state, subject, sentence, out)
    server.told = True


def begins(state: State, server: Server, out: Effects) -> None:
    """A real server that begins as up: programs and FIFOs hear of it if they want to."""
    if state.alerts.at_start and server.alive and server.told:
        _notify(server, out, up=True)


def virtual(state: State, unit: Unit, out: Effects, *, up: bool, why: str = "") -> None:
    """The quorum was gained or lost, or is told for the first time."""
    of = unit.primary
    word = _word(up=up)
    limit = f"{unit.quorum.gain if up else unit.quorum.keep}"
    why = (
        why or f"its servers' weight is {unit.weight}, {limit} {'suffices' if up else 'is needed'}"
    )
    sentence = f"virtual server {unit.name} is {word.lower()}: {why}"
    fields = {"service": unit.name, "state": word.lower(), "cause": why}
    kind = Kind.QUORUM_UP if up else Kind.QUORUM_DOWN
    out.add(Log(sentence, _level(up=up), kind, unit.name, fields))
    out.add(WriteFifo(f"VS {unit.name} {word}"))
    _run(of.quorum_up if up else of.quorum_down, out)
    if _mailed(of.smtp_alert, state, default=False):
        _mail(state, f"Virtualserver {unit.name} - {word}", sentence, out)


def _notify(server: Server, out: Effects, *, up: bool) -> None:
    out.add(WriteFifo(f"RS {server.name} {server.unit.name} {_word(up=up)}"))
    _run(server.real.notify_up if up else server.real.notify_down, out)


def _level(*, up: bool) -> Level:
    return Level.INFO if up else Level.WARNING


def _word(*, up: bool) -> str:
    return "UP" if up else "DOWN"


def _run(command: Command | None, out: Effects) -> None:
    if command is not None:
        out.add(RunCommand(command))


def _mailed(said: bool | None, state: State, *, default: bool) -> bool:  # noqa: FBT001
    for each in (said, state.alerts.smtp_alert):
        if each is not None:
            return each
    return default


def _mail(state: State, subject: str, body: str, out: Effects) -> None:
    out.add(SendMail(f"[{state.alerts.router_id}] {subject}", body))
