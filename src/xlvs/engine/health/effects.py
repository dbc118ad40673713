# SPDX-License-Identifier: Apache-2.0
"""What the engine wants done, as values, in the order in which it is to be done."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from xlvs.model.checker import AnyCheck
from xlvs.model.notification import Command
from xlvs.model.service import Destination, ServiceKey
from xlvs.wire.events import Kind


class Level(StrEnum):
    """Of a log sentence."""

    INFO = "info"
    WARNING = "warning"


class StartProbe(msgspec.Struct, frozen=True, kw_only=True):
    """Begin this now. What it finds goes to ``Health.result`` with the same two numbers.

    ``seconds``: the hard deadline from now; after it comes ``StopProbe``.
    """

    probe: int
    run: int
    service: ServiceKey
    destination: Destination
    check: AnyCheck
    virtualhost: str
    seconds: float


class StopProbe(msgspec.Struct, frozen=True):
    """End it if it still runs: nobody listens to its result any more."""

    probe: int
    run: int


class RunCommand(msgspec.Struct, frozen=True):
    """``notify_up|down``, ``quorum_up|down``. Nothing waits for it."""

    command: Command


class WriteFifo(msgspec.Struct, frozen=True):
    """A line, without its end, for ``lvs_notify_fifo`` and ``notify_fifo``."""

    line: str


class SendMail(msgspec.Struct, frozen=True):
    """An alert by SMTP."""

    subject: str
    body: str


class Log(msgspec.Struct, frozen=True):
    """A sentence for the log, and if it is of a kind for who follows events.

    ``fields``: the same for programs that read the log.
    """

    text: str
    level: Level = Level.INFO
    kind: Kind | None = None
    about: str = ""
    fields: dict[str, str] = {}


class RotationChanged(msgspec.Struct, frozen=True):
    """``Health.standing`` is another for these services. Comes once, before what is told."""

    services: tuple[ServiceKey, ...]


Effect = StartProbe | StopProbe | RunCommand | WriteFifo | SendMail | Log | RotationChanged


class Effects:
    """Collects them."""

    def __init__(self) -> None:
        self._list: list[Effect] = []
        self._rotated: dict[ServiceKey, None] = {}

    def add(self, effect: Effect) -> None:
        """One more."""
        self._list.append(effect)

    def rotated(self, service: ServiceKey) -> None:
        """Another standing for this service."""
        self._rotated[service] = None

    def done(self) -> list[Effect]:
        """All of them: what clients feel first, then what is told about it."""
        if self._rotated:
            return [RotationChanged(tuple(self._rotated)), *self._list]
        return self._list
