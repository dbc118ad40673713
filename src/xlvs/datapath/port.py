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
    def ifname(self) -> str:
        """Name of the interface."""

    @property
    def hook(self) -> str:
        """``xdp``, ``xdp-generic`` or ``tc``."""


class Port(Protocol):
    """The door to the maps and programs of one instance."""

    @property
    def adopted(self) -> bool:
        """Whether it ran before this daemon."""

    @property
    def capacity(self) -> Capacity:
        """Numbers of entries of the maps."""

    @property
    def connections_size(self) -> int:
        """How many connections the table holds at most."""

    def have(self) -> Have:
        """What the maps hold now."""

    def write(self, write: Write) -> None:
        """Do one write. Raises Problem."""

    def service_stats(self, ids: Iterable[int]) -> dict[int, Stats]:
        """Totals of services."""

    def destination_stats(self, ids: Iterable[int]) -> dict[int, Stats]:
        """Totals of destinations."""

    def load(self, ids: Iterable[int]) -> dict[int, DestinationLoad]:
        """Connections of destinations now."""

    def reasons(self) -> Mapping[str, ReasonStats]:
        """Packets by what became of them."""

    def table(self) -> Table:
        """How full the connection table is."""

    def port_use(self, blocks: Iterable[int]) -> dict[int, PortUse]:
        """Use of blocks of local ports."""

    def connections(self, now: int) -> Iterator[list[ConnectionView]]:
        """All connections, some hundreds at a time. ``now``: ms of CLOCK_MONOTONIC."""

    def attach(self, ifname: str, hook: str) -> None:
        """Run on an interface. Raises Problem."""

    def detach(self, ifname: str) -> None:
        """Stop running on an interface."""

    def attachments(self) -> list[Attached]:
        """What is attached in this network namespace."""
