# SPDX-License-Identifier: Apache-2.0
"""What the control plane asks of a data path, in typed values. Tests have one in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from xlvs.datapath.records import DestinationLoad, ReasonStats, Stats, Table
from xlvs.datapath.tables import Capacity, Have
from xlvs.datapath.writes import Write
from xlvs.wire.messages import ConnectionView


class PortUse(NamedTuple):
    """A block of FULLNAT's local ports: in use, and connections refused for want of one."""

    used: int
    exhausted: int


class Attached(Protocol):
    """A hook that runs our program."""

    @property
    def ifname(self) -> str: ...
    @property
    def hook(self) -> str: ...


class Port(Protocol):
    """The door to the maps and programs of one instance."""

    @property
    def adopted(self) -> bool:
        """Whether it ran before this daemon."""

    @property
    def capacity(self) -> Capacity: ...

    @property
    def connections_size(self) -> int:
        """How many connections the table holds at most."""

    def have(self) -> Have:
        """What the maps hold now."""

    def write(self, write: Write) -> None:
        """Do one write. Raises Problem."""

    def service_stats(self, ids: Iterable[int]) -> dict[int, Stats]: ...

    def destination_stats(self, ids: Iterable[int]) -> dict[int, Stats]: ...

    def load(self, ids: Iterable[int]) -> dict[int, DestinationLoad]: ...

    def reasons(self) -> Mapping[str, ReasonStats]: ...

    def table(self) -> Table: ...

    def port_use(self, blocks: Iterable[int]) -> dict[int, PortUse]: ...

    def connections(self, now: int) -> Iterator[list[ConnectionView]]:
        """All connections, some hundreds at a time. ``now``: ms of CLOCK_MONOTONIC."""

    def attach(self, ifname: str, hook: str) -> None: ...

    def detach(self, ifname: str) -> None: ...

    def attachments(self) -> list[Attached]: ...
