# SPDX-License-Identifier: Apache-2.0
"""What the core wants done. Whoever owns the sockets does it, in this order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Interface, IPv6Interface

from xlvs.model.service import Address


class State(StrEnum):
    """Of an instance, and of a sync group. FAULT: RFC 9568's Initialize with a cause."""

    INIT = "INIT"
    BACKUP = "BACKUP"
    MASTER = "MASTER"
    FAULT = "FAULT"


class Level(StrEnum):
    """How much a sentence matters."""

    INFO = "info"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class SendAdvert:
    """An advert, to the group or to every unicast peer."""

    instance: str
    priority: int


@dataclass(frozen=True, slots=True)
class Take:
    """Addresses, routes and rules of a master: put all there, what is there stays."""

    instance: str


@dataclass(frozen=True, slots=True)
class Release:
    """The same, away with them."""

    instance: str


@dataclass(frozen=True, slots=True)
class Restore:
    """Addresses that somebody took from a master: put them back."""

    instance: str
    addresses: tuple[tuple[str, IPv4Interface | IPv6Interface], ...]


@dataclass(frozen=True, slots=True)
class Announce:
    """So many gratuitous ARPs, or unsolicited neighbour advertisements, for every address."""

    instance: str
    repeat: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A transition, with its cause in words."""

    instance: str
    old: State
    new: State
    priority: int
    cause: str


@dataclass(frozen=True, slots=True)
class GroupChanged:
    """A sync group's transition."""

    group: str
    old: State
    new: State


@dataclass(frozen=True, slots=True)
class PriorityChanged:
    """The effective priority is another one."""

    instance: str
    priority: int
    state: State


@dataclass(frozen=True, slots=True)
class Rival:
    """A master heard an advert of lower priority: somebody else believes to be master."""

    instance: str
    peer: Address
    priority: int


@dataclass(frozen=True, slots=True)
class Say:
    """A sentence for the log."""

    instance: str
    level: Level
    sentence: str


@dataclass(frozen=True, slots=True)
class Datagram:
    """A packet to send, the bytes behind the IP header."""

    instance: str
    source: Address
    destination: Address
    hop_limit: int
    payload: bytes


Effect = (
    SendAdvert
    | Take
    | Release
    | Restore
    | Announce
    | Changed
    | GroupChanged
    | PriorityChanged
    | Rival
    | Say
    | Datagram
)
