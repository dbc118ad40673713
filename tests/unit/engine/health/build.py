# SPDX-License-Identifier: Apache-2.0
"""Virtual services for tests, and a world in which their checks run without waiting."""

from __future__ import annotations

import random
from ipaddress import ip_address

from xlvs.engine.health.effects import (
    Effect,
    Log,
    RotationChanged,
    RunCommand,
    SendMail,
    StartProbe,
    StopProbe,
    WriteFifo,
)
from xlvs.engine.health.health import Health
from xlvs.engine.health.outcome import Heard
from xlvs.engine.health.rotation import Rotation, rotate
from xlvs.engine.health.state import Alerts
from xlvs.model.checker import MiscCheck, RealServer, VirtualService
from xlvs.model.desired import Desired
from xlvs.model.listed import Entry
from xlvs.model.notification import Command
from xlvs.model.service import (
    Destination,
    DestinationKey,
    Family,
    Method,
    Protocol,
    Service,
    ServiceKey,
)

SORRY = "192.168.200.19"


def key(address="10.0.0.1", port=80, protocol=Protocol.TCP) -> ServiceKey:
    return ServiceKey(protocol=protocol, address=ip_address(address), port=port)


def mark(number: int, family=Family.INET) -> ServiceKey:
    return ServiceKey(protocol=Protocol.FWM, fwmark=number, family=family)


def destination(address, port=80, weight=1, method=Method.DR) -> Destination:
    at = DestinationKey(address=ip_address(address), port=port)
    return Destination(key=at, weight=weight, method=method)


def misc(name, **more) -> MiscCheck:
    more.setdefault("timeout", 1.0)
    return MiscCheck(command=Command((name,)), **more)


def real(n, weight=1, checks=None, port=80, address=None, **more) -> RealServer:
    """Number n, checked by a program that is called r<n>, which its notify scripts say too."""
    return RealServer(
        destination=destination(address or f"192.168.200.1{n}", port, weight),
        checks=(misc(f"r{n}"),) if checks is None else tuple(checks),
        notify_up=Command(("UP", f"r{n}")),
        notify_down=Command(("DOWN", f"r{n}")),
        **more,
    )


def virtual(*servers, at=None, **more) -> VirtualService:
    more.setdefault("delay_loop", 1.0)
    more.setdefault("quorum_up", Command(("QUP",)))
    more.setdefault("quorum_down", Command(("QDOWN",)))
    if more.pop("sorry", False):
        more["sorry_server"] = destination(SORRY)
    service = Service(key=at or key(), scheduler="rr")
    return VirtualService(
        name=f"{service.key.address} {service.key.port}",
        service=service,
        real_servers=servers,
        **more,
    )


def desired(*services: VirtualService) -> Desired:
    """As the file asks for it; the last server is the newest."""
    entries: dict[ServiceKey, Entry] = {}
    for each in services:
        listed = tuple(real.destination for real in reversed(each.real_servers))
        entries[each.service.key] = (each.service, listed)
    return Desired(services=entries)


class World:
    """Probes of ``answers`` (by the program's name): a number is an exit status, None: silence."""

    def __init__(self, *services, alerts=None, health=None, now=1000.0, latency=0.01, files=None):
        self.now = now
        self.latency = latency
        self.answers: dict[str, int | None] = {}
        self.health = health or Health(random.Random(1).random, alerts or Alerts())
        self.pending: list[tuple[float, StartProbe]] = []
        self.running: dict[int, int] = {}
        self.starts: list[tuple[float, str]] = []
        self.services: tuple[VirtualService, ...] = ()
        self.rotation: Rotation | None = None
        self.clear()
        self.reload(*services, files=files)

    def clear(self):
        self.fifo: list[str] = []
        self.scripts: list[str] = []
        self.mails: list[str] = []
        self.logs: list[str] = []
        self.rotated = 0

    def reload(self, *services, files=None):
        self.services = services
        effects = self.health.reconfigured(services, self.now, files)
        self._do(effects)
        self.rotation = rotate(desired(*services), self.health.standing, self.rotation)

    def run(self, seconds):
        end = self.now + seconds
        while True:
            first = self.health.next_deadline
            ends = min((at for at, _ in self.pending), default=None)
            soonest = min((each for each in (first, ends) if each is not None), default=None)
            if soonest is None or soonest > end:
                break
            self.now = max(self.now, soonest)
            self._finish()
            self._do(self.health.tick(self.now))
        self.now = end

    def do(self, effects):
        self._do(effects)

    def said(self):
        """FIFO lines, scripts and the pool since the last time, then forgotten."""
        found = (self.fifo, self.scripts)
        self.clear()
        return found

    def pool(self, at=None):
        """By the last byte of the address: the weight of what is in rotation."""
        assert self.rotation is not None
        entry = self.rotation.desired.services[at or self.services[0].service.key]
        return {str(each.key.address).rsplit(".")[-1]: each.weight for each in entry[1]}

    def _finish(self):
        due = [each for each in self.pending if each[0] <= self.now]
        self.pending = [each for each in self.pending if each[0] > self.now]
        for _, probe in due:
            if self.running.get(probe.probe) != probe.run:
                continue
            del self.running[probe.probe]
            code = self.answers.get(probe.check.command.argv[0], 0)
            assert code is not None
            outcome = Heard(ok=code != 1, cause="exit status 1" if code == 1 else "")
            if code > 1:
                outcome = outcome._replace(weight=code - 2)
            self._do(self.health.result(probe.probe, probe.run, outcome, self.now))

    def _do(self, effects: list[Effect]):  # noqa: C901  # one case for each effect
        for each in effects:
            match each:
                case StartProbe():
                    assert each.probe not in self.running, "two probes of one check"
                    self.running[each.probe] = each.run
                    name = each.check.command.argv[0]
                    self.starts.append((self.now, name))
                    if self.answers.get(name, 0) is not None:
                        self.pending.append((self.now + self.latency, each))
                case StopProbe():
                    assert self.running.pop(each.probe) == each.run
                case WriteFifo(line=line):
                    self.fifo.append(line)
                case RunCommand(command=command):
                    self.scripts.append(" ".join(command.argv))
                case SendMail(subject=subject):
                    self.mails.append(subject)
                case Log(text=text):
                    self.logs.append(text)
                case RotationChanged(services=services):
                    self.rotated += 1
                    if self.rotation is not None:
                        self.rotation = rotate(
                            self.rotation.asked, self.health.standing, self.rotation, services
                        )
