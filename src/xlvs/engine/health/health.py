# SPDX-License-Identifier: Apache-2.0
"""The health engine: events and ``now`` in, effects and the next deadline out.

``now`` is in seconds of one clock that never jumps and goes on over a restart
(CLOCK_MONOTONIC). Every event costs time that grows with the logarithm of the checks, and
with the servers of a service when its quorum changes.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping

from xlvs.engine.health import reconfigure, tell
from xlvs.engine.health.effects import (
    Effect,
    Effects,
    Log,
    StartProbe,
    StopProbe,
)
from xlvs.engine.health.outcome import Heard, Outcome, of_bfd, of_file
from xlvs.engine.health.report import ServiceReport, report
from xlvs.engine.health.saved import SavedHealth, restore, save
from xlvs.engine.health.schedule import Draw
from xlvs.engine.health.standing import Standings
from xlvs.engine.health.state import Alerts, Server, State, Watch
from xlvs.engine.health.verdict import heard, place
from xlvs.model.checker import FileCheck, VirtualService
from xlvs.model.service import Address
from xlvs.model.tracking import File

GRACE = 1.0
"""Seconds. A probe ends itself at its deadline and says why; so long later it is ended."""


UNFAIR = 0.5
"""Share of a probe's time for which the director stood still: then its failure does not count."""

Pause = Callable[[float], float]


def _never(_since: float) -> float:
    return 0.0


class Health:
    """All virtual services of a configuration file.

    ``draw``: random numbers, 0 <= x < 1, for the warm-up. ``pause``: how long, in seconds, the
    director itself stood still at most since a moment: what an answer was late by then says
    nothing of a server.
    """

    def __init__(self, draw: Draw, alerts: Alerts | None = None, pause: Pause = _never) -> None:
        self.state = State(draw, alerts or Alerts())
        self._pause = pause

    @property
    def standing(self) -> Standings:
        """How the file's servers stand; for ``rotation.rotate``."""
        return self.state.standings

    @property
    def changes(self) -> int:
        """Counts up when there is something new to save: not with every probe."""
        return self.state.changes

    @property
    def next_deadline(self) -> float | None:
        """When ``tick`` is to be called, None: there is nothing to wait for."""
        return self.state.agenda.first()

    def tick(self, now: float) -> list[Effect]:
        """What is due: probes start, or are over without a result; slow start goes on."""
        out = Effects()
        agenda = self.state.agenda
        while (thing := agenda.pop(now)) is not None:
            if isinstance(thing, Server):
                place(self.state, thing, now, out)
            elif thing.running:
                out.add(StopProbe(thing.probe, thing.run))
                cause = f"no result after {thing.timing.deadline:g} s"
                outcome = self._fair(thing, Heard(ok=False, cause=cause))
                heard(self.state, thing, outcome, now, out)
            else:
                self._start(thing, now, out)
        return out.done()

    def result(self, probe: int, run: int, outcome: Outcome, now: float) -> list[Effect]:
        """A probe is over. What was stopped or replaced meanwhile is not listened to."""
        watch = self.state.watches.get(probe)
        if watch is None or not watch.running or watch.run != run:
            return []
        out = Effects()
        heard(self.state, watch, self._fair(watch, outcome), now, out)
        return out.done()

    def track_file(self, name: str, value: int, now: float) -> list[Effect]:
        """A ``track_file`` says this. Told before the first configuration it counts at once."""
        self.state.heard["file", name] = value
        file = self.state.files.get(name)
        out = Effects()
        for watch in list(self.state.followers.get(("file", name), {}).values()):
            if isinstance(watch.check, FileCheck):
                heard(self.state, watch, of_file(watch.check, file, value), now, out)
        return out.done()

    def bfd(self, name: str, now: float, *, up: bool) -> list[Effect]:
        """A BFD session changed."""
        self.state.heard["bfd", name] = up
        out = Effects()
        for watch in list(self.state.followers.get(("bfd", name), {}).values()):
            heard(self.state, watch, of_bfd(name, up=up), now, out)
        return out.done()

    def addresses(self, present: Container[Address], now: float) -> list[Effect]:
        """These addresses are on this machine: what ``ha_suspend`` goes by."""
        self.state.present = present
        out = Effects()
        for unit in self.state.units.values():
            if reconfigure.suspend(self.state, unit):
                does = "stand still" if unit.suspended else "go on"
                where = "not on" if unit.suspended else "on"
                out.add(Log(f"checks of {unit.name} {does}: its address is {where} this machine"))
                reconfigure.pause(self.state, unit, now, out)
        return out.done()

    def reconfigured(
        self,
        services: Iterable[VirtualService],
        now: float,
        files: Mapping[str, File] | None = None,
        alerts: Alerts | None = None,
    ) -> list[Effect]:
        """The file says this now; also the first time. ``files``: by name."""
        out = Effects()
        if alerts is not None:
            self.state.alerts = alerts
        reconfigure.reconfigure(self.state, services, files or {}, now, out)
        return out.done()

    def stop(self) -> list[Effect]:
        """The director gives up its services for good: probes end, ``omega`` tells it."""
        out = Effects()
        for unit in self.state.units.values():
            for server in unit.servers.values():
                for watch in server.watches:
                    reconfigure.stop(self.state, watch, out)
                if unit.primary.omega and server.alive and not unit.sorry_in:
                    tell.real(self.state, server, out, up=False, why="the director stops")
            if unit.primary.omega:
                tell.virtual(self.state, unit, out, up=False, why="the director stops")
        return out.done()

    def save(self, now: float) -> SavedHealth:
        """What a restarted daemon needs in order not to begin anew."""
        return save(self.state, now)

    def restore(self, saved: SavedHealth, now: float) -> None:
        """Take over what was saved, before the first ``reconfigured``. Nobody is told."""
        restore(self.state, saved, now)

    def report(self) -> Iterator[ServiceReport]:
        """What ``xlvs status`` says of each virtual service, or of each group's."""
        return report(self.state)

    def _fair(self, watch: Watch, outcome: Outcome) -> Outcome:
        """What a server cannot be blamed for is the director's own trouble."""
        if outcome.ok or outcome.ours:
            return outcome
        pause = self._pause(watch.started)
        if pause < watch.timing.deadline * UNFAIR:
            return outcome
        return Heard(ok=False, ours=True, cause=f"the director stood still for {pause:.1f} s")

    def _start(self, watch: Watch, now: float, out: Effects) -> None:
        unit, server = watch.server.unit, watch.server
        watch.run += 1
        watch.running = True
        watch.started = now
        self.state.agenda.put(watch, now + watch.timing.deadline + GRACE)
        out.add(
            StartProbe(
                probe=watch.probe,
                run=watch.run,
                service=unit.primary.service.key,
                destination=server.real.destination,
                check=watch.check,
                virtualhost=server.real.virtualhost or unit.primary.virtualhost,
                seconds=watch.timing.deadline,
            )
        )
