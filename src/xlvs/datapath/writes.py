# SPDX-License-Identifier: Apache-2.0
"""What can be written to the maps, as values."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

from xlvs.datapath.marks import Marks
from xlvs.datapath.records import (
    Admission,
    Destination,
    Interface,
    PortBlock,
    Service,
    ServiceKey,
    Settings,
)
from xlvs.datapath.slots import Owners, Pasts
from xlvs.datapath.tables import Region
from xlvs.model.client_list import ClientList


class PutKey(NamedTuple):
    """From now on clients of this key find the service."""

    key: ServiceKey
    service: int


class DropKey(NamedTuple):
    """From now on nobody finds a service by this key."""

    key: ServiceKey


class PutRealServer(NamedTuple):
    """Packets from this address and port are a NAT server's, also without a connection."""

    key: ServiceKey
    destination: int


class DropRealServer(NamedTuple):
    """Packets from there are nobody's."""

    key: ServiceKey


class PutService(NamedTuple):
    """A service's description; its list is the commit's."""

    id: int
    value: Service


class PutDestination(NamedTuple):
    """A destination's description; all zero: nobody has this id."""

    id: int
    value: Destination


class PutPortBlock(NamedTuple):
    """Whose a block of local ports is; all zero: nobody's."""

    id: int
    value: PortBlock


class WriteRow(NamedTuple):
    """A row of blocks, which no packet reads yet, at its place."""

    place: int
    blocks: tuple[int, ...]


class PutEgress(NamedTuple):
    """Answers of servers on the director itself are seen on the way out, or not any more."""

    on: bool


class PutRoles(NamedTuple):
    """Roles of addresses, as pairs of ``addresses.slot`` and what its byte is to be."""

    slots: tuple[tuple[int, int], ...]


class PutInterface(NamedTuple):
    """What packets must know of an interface."""

    ifindex: int
    value: Interface


class DropInterface(NamedTuple):
    """An interface is gone."""

    ifindex: int


class PutSettings(NamedTuple):
    """All settings at once."""

    value: Settings


class WriteMarks(NamedTuple):
    """A set of mark rules under a number that no packet looks for; of others ``keep`` stays."""

    number: int
    marks: Marks
    keep: int


class DropMarks(NamedTuple):
    """All sets of mark rules but one go."""

    keep: int


class PutAdmission(NamedTuple):
    """Who may open connections of a service; ``id``: of the one of its two that is not in force."""

    id: int
    value: Admission


class WriteClients(NamedTuple):
    """A set of clients' prefixes, under a number that no service names yet."""

    number: int
    clients: ClientList


class DropClients(NamedTuple):
    """A set of clients' prefixes that no service names any more goes; None: it has to be read."""

    number: int
    clients: ClientList | None


class ClearService(NamedTuple):
    """The service's counters begin at zero."""

    id: int


class ClearDestination(NamedTuple):
    """The destination's counters begin at zero.

    ``load``: also its connection counts and what was learnt about its path; only for
    an id that no connection uses.
    """

    id: int
    load: bool


class ClearBlock(NamedTuple):
    """A block of local ports begins anew; only for one that no connection uses."""

    block: int


class WriteList(NamedTuple):
    """A list of servers into a region that no packet reads."""

    region: Region
    ids: tuple[int, ...]


class PutSlotPages(NamedTuple):
    """Pages of slots, by number: they take memory from now on."""

    numbers: tuple[int, ...]


class DropSlotPages(NamedTuple):
    """Pages of slots that no packet reads take none any more."""

    numbers: tuple[int, ...]


class WriteSlots(NamedTuple):
    """A table of mh's or sh's slots into a region that no packet reads."""

    region: Region
    owners: Owners
    pasts: Pasts


class Commit(NamedTuple):
    """The service changes over to a list, together with its cursor and its slots.

    ``remap``: for each position of the old list the cursor's new position.
    """

    service: int
    scheduler: int
    reset: bool
    region: Region
    gcd: int
    max_weight: int
    remap: tuple[int, ...]
    slots: Region


Write = (
    PutKey
    | DropKey
    | PutRealServer
    | DropRealServer
    | PutService
    | PutDestination
    | PutPortBlock
    | WriteRow
    | PutEgress
    | PutRoles
    | PutInterface
    | DropInterface
    | PutSettings
    | WriteMarks
    | DropMarks
    | PutAdmission
    | WriteClients
    | DropClients
    | ClearService
    | ClearDestination
    | ClearBlock
    | WriteList
    | PutSlotPages
    | DropSlotPages
    | WriteSlots
    | Commit
)

W = TypeVar("W", bound=Write)


class ByKind:
    """Writes by their kind, in their order: of a great table each kind is asked for by itself."""

    def __init__(self, writes: Iterable[Write]) -> None:
        self._found: dict[type, list[Any]] = {}
        for kind, some in groupby(writes, type):
            self._found.setdefault(kind, []).extend(some)

    def of(self, kind: type[W]) -> list[W]:
        """Those of that kind."""
        return self._found.get(kind, [])
