# SPDX-License-Identifier: Apache-2.0
"""What the control plane asks of a data path, in typed values. Tests have one in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from xlvs.datapath.records import (
    DestinationLoad,
    Geometry,
    ReasonStats,
    Refusals,
    Stats,
    Table,
    TableCounts,
)
from xlvs.datapath.selection import EVERYTHING, Selection
from xlvs.datapath.tables import Capacity, Have
from xlvs.datapath.tally import Tally
from xlvs.datapath.writes import Write

Totals = npt.NDArray[np.int64]
"""One row for each id; columns are the fields of ``records.Stats``."""


class Loads(NamedTuple):
    """ActiveConn, InActConn and templates of destinations, in the order in which they were named.

    Columns, for there may be a hundred thousand of each.
    """

    active: list[int]
    inactive: list[int]
    persistent: list[int]


class PortUse(NamedTuple):
    """A block of FULLNAT's local ports: in use, and connections refused for want of one."""

    used: int
    exhausted: int


class Piece(NamedTuple):
    """Connections as NDJSON of ConnectionView.

    ``after``: where to go on, if the limit was reached; None: there may be more pieces.
    """

    lines: bytes
    after: int | None = None


class Closed(NamedTuple):
    """What became of connections that were to be closed.

    ``reset``: their ends are told when they send something; ``ended`` are not in the table any
    more; ``gone`` had ended already; ``contended``: packets kept changing them. ``more``: there
    are some beyond the limit.
    """

    reset: int = 0
    ended: int = 0
    gone: int = 0
    contended: int = 0
    more: bool = False

    def __add__(self, other: object) -> Closed:
        """Both together."""
        if not isinstance(other, Closed):
            return NotImplemented
        return Closed(
            self.reset + other.reset,
            self.ended + other.ended,
            self.gone + other.gone,
            self.contended + other.contended,
            self.more or other.more,
        )


class TableUse(NamedTuple):
    """How full the connection table is, and what became of connections.

    ``used``, ``half_open`` now; ``high_water`` the most at once, as far as the sweep
    saw it; ``evicted`` half-open ones that made room; ``full`` refused for want of it;
    ``told`` changes of connections told to connection sync, ``untold`` those that it missed.
    """

    used: int = 0
    high_water: int = 0
    half_open: int = 0
    half_open_max: int = 0
    created: int = 0
    ended: int = 0
    evicted: int = 0
    full: int = 0
    sweeps: int = 0
    told: int = 0
    untold: int = 0

    @classmethod
    def of(cls, seen: Table, counts: TableCounts, geometry: Geometry) -> Self:
        """From what the maps hold; ``counts`` summed over all CPUs."""
        used = counts.created - counts.ended
        return cls(
            used=used,
            high_water=max(seen.high_water, used),
            half_open=counts.half_opened - counts.half_closed,
            half_open_max=geometry.half_open_max,
            created=counts.created,
            ended=counts.ended,
            evicted=counts.evicted,
            full=counts.full,
            sweeps=seen.sweeps,
            told=counts.told,
            untold=counts.untold,
        )


class Attached(Protocol):
    """A hook that runs our program."""

    @property
    def ifname(self) -> str:
        """Name of the interface."""

    @property
    def hook(self) -> str:
        """``xdp``, ``xdp-generic`` or ``tc``."""

    @property
    def egress(self) -> bool:
        """What is sent passes our program, for servers on the director itself."""


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
        """For how many connections the table is rated."""

    def have(self) -> Have:
        """What the maps hold now."""

    def write(self, writes: Iterable[Write]) -> None:
        """Do writes in their order; those of one kind that follow one another, in any.

        Raises Problem when one fails; some may be done by then.
        """

    def ticks(self) -> int:
        """The present tick."""

    def service_stats(self, ids: Iterable[int]) -> dict[int, Stats]:
        """Totals of services."""

    def destination_stats(self, ids: Iterable[int]) -> dict[int, Stats]:
        """Totals of destinations."""

    def service_totals(self, ids: Iterable[int]) -> Totals:
        """Totals of many services, in the order of the ids."""

    def destination_totals(self, ids: Iterable[int]) -> Totals:
        """Totals of many destinations, in the order of the ids."""

    def load(self, ids: Iterable[int]) -> dict[int, DestinationLoad]:
        """Connections of destinations now."""

    def loads(self, ids: Sequence[int]) -> Loads:
        """Connections of many destinations now."""

    def refusals(self, ids: Iterable[int]) -> Mapping[int, Refusals]:
        """New connections that services refused, by cause, since each service's first packet."""

    def admitted(self, ids: Iterable[int]) -> Mapping[int, int]:
        """Connections of services that their own limits of connections count, now."""

    def reasons(self) -> Mapping[str, ReasonStats]:
        """Packets by what became of them."""

    def streams(self) -> Mapping[str, int]:
        """Packets by what was done to the stream that they are of, besides being sent on."""

    def table(self) -> TableUse:
        """How full the connection table is."""

    def port_use(self, blocks: Iterable[int]) -> dict[int, PortUse]:
        """Use of blocks of local ports."""

    def connections(
        self, selection: Selection = EVERYTHING, after: int = 0, limit: int | None = None
    ) -> Iterator[Piece]:
        """Connections, some thousands at a time, also none: between them others have their turn.

        They keep their places in the order of reading as long as they live. ``after``: a place to
        go on from, 0 is the first; ``limit``: at most so many.
        """

    def tally(self, selection: Selection, tally: Tally) -> Iterator[None]:
        """Count connections, some thousands at a time."""

    def close_connections(
        self, selection: Selection, limit: int, *, reset: bool
    ) -> Iterator[Closed]:
        """End connections, at most ``limit``, some thousands at a time. Raises Problem.

        ``reset``: TCP's ends are told when they send something, and the connection stays so long;
        else, and of other protocols, it ends at once.
        """

    def attach(self, ifname: str, hook: str) -> None:
        """Run on an interface. Raises Problem."""

    def detach(self, ifname: str) -> None:
        """Stop running on an interface."""

    def attachments(self) -> list[Attached]:
        """What is attached in this network namespace."""
