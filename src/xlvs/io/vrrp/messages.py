# SPDX-License-Identifier: Apache-2.0
"""What the daemon and the VRRP process tell each other: a line of JSON per message."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
    ip_interface,
)
from typing import Any, TypeVar

import msgspec

from xlvs.model.notification import Fifo
from xlvs.model.service import Address, Interface
from xlvs.model.tracking import Bfd, File, Process, Script, TrackGroup
from xlvs.model.vrrp import Group, Instance, StaticNetwork


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Down: all that is wanted. Also the file of ``python -m xlvs.vrrpd --config``.

    ``outlive_parent``: go on when the daemon dies, instead of handing over.
    ``realtime``: SCHED_RR priority 1..99, 0: none. ``nice``: None: as it was started.
    """

    instances: tuple[Instance, ...] = ()
    groups: tuple[Group, ...] = ()
    static: StaticNetwork = StaticNetwork()
    scripts: tuple[Script, ...] = ()
    files: tuple[File, ...] = ()
    processes: tuple[Process, ...] = ()
    bfds: tuple[Bfd, ...] = ()
    track_groups: tuple[TrackGroup, ...] = ()
    fifos: tuple[Fifo, ...] = ()
    notify_priority_changes: bool = False
    fifo_states_on_reload: bool = False
    outlive_parent: bool = False
    realtime: int = 0
    nice: int | None = None
    no_swap: bool = False
    hold_after_fault: float = 0.0
    """Seconds without preemption after an interface returns, unless ``Hold`` ends them."""
    asks: bool = False
    """Whether ``Taking`` is told, and ``Go`` waited for, before addresses are taken."""
    notify: bool = True
    """Whether this process runs ``notify*``; a daemon that does it itself says no."""


class Hold(msgspec.Struct, frozen=True, tag=True):
    """Down: no preemption for ``seconds``; 0: connections are in sync, go ahead."""

    seconds: float


class Tracked(msgspec.Struct, frozen=True, tag=True):
    """Down: what the daemon knows of a tracked thing (``xlvs.protocols.vrrp.track.Kind``)."""

    kind: str
    name: str
    value: int


class Go(msgspec.Struct, frozen=True, tag=True):
    """Down: packets for the addresses of an instance that is ``Taking`` them are ours."""

    instance: str


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Down: priority 0, addresses away, end."""


class AskStatistics(msgspec.Struct, frozen=True, tag=True):
    """Down: please ``StatisticsNow``."""


class StateNow(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Up: an instance's state, after every change and after every ``Network``.

    ``addresses``: what this host holds of it now. ``since``: seconds since the epoch.
    """

    instance: str
    state: str
    before: str
    priority: int
    cause: str
    addresses: tuple[str, ...]
    since: float


class Taking(msgspec.Struct, frozen=True, tag=True):
    """Up: a master is about to take its addresses; it waits for ``Go``, but not for long."""

    instance: str


class GroupNow(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Up: a sync group's state changed."""

    group: str
    state: str
    before: str


class BfdNow(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Up: a BFD session came up, or is up no more (``BFD_CHECK``, too, wants to know)."""

    name: str
    up: bool


class RivalSeen(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Up: a master heard an advert of lower priority."""

    instance: str
    peer: str
    priority: int


class Remark(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Up: a sentence for the log and for ``xlvs status``."""

    instance: str
    level: str
    sentence: str


class InstanceStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of an instance; ``rejected`` by reason (``packet.Reason``)."""

    instance: str
    state: str
    priority: int
    master: str
    rival: str
    faults: tuple[str, ...]
    adverts_sent: int
    adverts_received: int
    zero_priority_sent: int
    zero_priority_received: int
    became_master: int
    left_master: int
    rivals_lower: int
    rivals_higher: int
    restored: int
    conflicts: int
    rejected: dict[str, int]


class StatisticsNow(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Up: all counters. ``late_max``: seconds that the latest timer was late, since last asked."""

    instances: tuple[InstanceStatistics, ...]
    strangers: int
    late_max: float


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Up: a ``Network`` is in effect."""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Up: a message that could not be read; everything stays as it was."""

    problem: str


Down = Network | Hold | Tracked | Go | Stop | AskStatistics
Up = StateNow | Taking | GroupNow | BfdNow | RivalSeen | Remark | StatisticsNow | Ready | Refused

_PARSERS: dict[Any, Callable[[str], Any]] = {Address: ip_address, Interface: ip_interface}
_KNOWN = (IPv4Address, IPv6Address, IPv4Interface, IPv6Interface)

T = TypeVar("T")


def _encode(value: Any) -> str:  # noqa: ANN401 - whatever msgspec does not know
    if isinstance(value, _KNOWN):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")


def _decode(kind: type, value: Any) -> Any:  # noqa: ANN401 - JSON's
    if not isinstance(value, str):
        raise TypeError("an address is text")
    return _PARSERS[kind](value)


_ENCODER = msgspec.json.Encoder(enc_hook=_encode)
_DOWN: msgspec.json.Decoder[Down] = msgspec.json.Decoder(Down, dec_hook=_decode)
_UP: msgspec.json.Decoder[Up] = msgspec.json.Decoder(Up, dec_hook=_decode)


def line(message: object) -> bytes:
    """A message with its line's end."""
    return _ENCODER.encode(message) + b"\n"


def down(data: bytes) -> Down:
    """What the daemon says. Raises msgspec.DecodeError."""
    return _DOWN.decode(data)


def up(data: bytes) -> Up:
    """What the VRRP process says. Raises msgspec.DecodeError."""
    return _UP.decode(data)


def network(data: bytes) -> Network:
    """A file's contents; ``type`` may be left out. Raises msgspec.DecodeError."""
    return msgspec.json.decode(data, type=Network, dec_hook=_decode)
