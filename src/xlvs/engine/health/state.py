# SPDX-License-Identifier: Apache-2.0
"""What is remembered: virtual services, their real servers, the checks of each."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from xlvs.engine.health import names
from xlvs.engine.health.agenda import Agenda
from xlvs.engine.health.dampener import Belief
from xlvs.engine.health.quorum import Quorum
from xlvs.engine.health.schedule import Draw, Timing
from xlvs.engine.health.standing import Standings
from xlvs.model.checker import AnyCheck, RealServer, VirtualService
from xlvs.model.service import (
    Address,
    Destination,
    DestinationKey,
    Method,
    Protocol,
    ServiceKey,
)
from xlvs.model.tracking import File

WEIGHT_MAX = 65535


class Result(NamedTuple):
    """The last one of a check, or its last failure."""

    at: float
    ok: bool
    cause: str = ""


class Watch:
    """One check of one real server.

    ``run``: number of its last probe. ``due``: when the next one starts, or while one is
    running, when it has to be over. ``trouble``: the director could not ask the last time.
    """

    __slots__ = (
        "added",
        "belief",
        "check",
        "due",
        "failure",
        "last",
        "probe",
        "run",
        "running",
        "server",
        "started",
        "timing",
        "trouble",
        "weight",
    )

    def __init__(
        self, probe: int, server: Server, check: AnyCheck, timing: Timing, belief: Belief
    ) -> None:
        self.probe = probe
        self.server = server
        self.check = check
        self.timing = timing
        self.belief = belief
        self.due: float | None = None
        self.run = 0
        self.running = False
        self.started = 0.0
        self.weight: int | None = None
        self.added = 0
        self.trouble = False
        self.last: Result | None = None
        self.failure: Result | None = None

    def change(self, asked: int) -> int:
        """What it adds to the weight that is asked for."""
        return self.added + (0 if self.weight is None else self.weight - asked)


class Server:
    """One real server of a unit. ``counted``: its part in the unit's sum of weights.

    ``told``: somebody was told whether it is up, or it began as it was expected to be.
    ``due``: when slow start takes its next step.
    """

    __slots__ = (
        "came_up",
        "counted",
        "due",
        "failing",
        "failure",
        "key",
        "places",
        "real",
        "since",
        "told",
        "unit",
        "watches",
    )

    def __init__(self, unit: Unit, key: DestinationKey, real: RealServer, since: float) -> None:
        self.unit = unit
        self.key = key
        self.real = real
        self.places: tuple[tuple[ServiceKey, DestinationKey], ...] = ()
        self.watches: list[Watch] = []
        self.failing = 0
        self.since = since
        self.told = True
        self.came_up: float | None = None
        self.counted = 0
        self.due: float | None = None
        self.failure: Result | None = None

    @property
    def alive(self) -> bool:
        """Whether all its checks pass."""
        return not self.failing

    @property
    def name(self) -> str:
        """As keepalived writes it."""
        return names.real(self.key, self.unit.primary.service.key)

    def full(self) -> int:
        """Its weight as far as checks have a say in it."""
        asked = self.real.destination.weight
        return min(max(asked + sum(each.change(asked) for each in self.watches), 0), WEIGHT_MAX)


class Unit:
    """What keepalived calls a virtual server: one service, or all those of a group.

    ``weight``: the sum of the live servers'. ``up``: the quorum is there. ``suspended``:
    none of its addresses is on this machine (``ha_suspend``).
    """

    __slots__ = (
        "id",
        "members",
        "primary",
        "quorum",
        "servers",
        "since",
        "suspended",
        "up",
        "weight",
    )

    def __init__(self, id_: str, members: tuple[VirtualService, ...], since: float) -> None:
        self.id = id_
        self.set_members(members)
        self.servers: dict[DestinationKey, Server] = {}
        self.quorum = Quorum()
        self.up = False
        self.since = since
        self.weight = 0
        self.suspended = False

    def set_members(self, members: tuple[VirtualService, ...]) -> None:
        """It consists of these now. The first one that is no mark speaks for all."""
        self.members = members
        self.primary = primary(members)

    @property
    def name(self) -> str:
        """As keepalived writes it."""
        return names.virtual(self.members)

    @property
    def sorry_in(self) -> bool:
        """The sorry server has the place of the real servers."""
        return not self.up and self.primary.sorry_server is not None


class Alerts(NamedTuple):
    """What of ``global_defs`` alerts depend on. ``router_id`` begins the subject of mails.

    ``smtp_alert``: ``smtp_alert_checker``, else ``smtp_alert``; None: changes of real servers
    are mailed, those of services are not. ``at_start``: ``rs_init_notifies``.
    """

    router_id: str = ""
    smtp_alert: bool | None = None
    at_start: bool = False


@dataclass
class State:
    """All of it. ``changes`` counts what is worth saving: servers and quorums that changed."""

    draw: Draw
    alerts: Alerts = field(default_factory=Alerts)
    units: dict[str, Unit] = field(default_factory=dict)
    watches: dict[int, Watch] = field(default_factory=dict)
    agenda: Agenda[Watch | Server] = field(default_factory=Agenda)
    standings: Standings = field(default_factory=Standings)
    files: Mapping[str, File] = field(default_factory=dict)
    heard: dict[tuple[str, str], int] = field(default_factory=dict)
    followers: dict[tuple[str, str], dict[int, Watch]] = field(default_factory=dict)
    present: Container[Address] | None = None
    probes: int = 0
    changes: int = 0

    def servers(self) -> Iterator[Server]:
        """All real servers."""
        for unit in self.units.values():
            yield from unit.servers.values()


def primary(members: Sequence[VirtualService]) -> VirtualService:
    """The first service that is no mark, else the first."""
    for each in members:
        if each.service.key.protocol is not Protocol.FWM:
            return each
    return members[0]


def placed(service: ServiceKey, destination: Destination) -> DestinationKey:
    """The key under which a director keeps it: DR and TUN do not translate ports."""
    untranslated = destination.method in (Method.DR, Method.TUN)
    moved = destination.key.port != service.port
    if untranslated and moved and service.protocol is not Protocol.FWM:
        return DestinationKey(address=destination.key.address, port=service.port)
    return destination.key
