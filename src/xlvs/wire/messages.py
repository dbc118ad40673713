# SPDX-License-Identifier: Apache-2.0
"""The JSON of the API: what travels between the daemon and its clients.

What can be configured is in ``xlvs.wire.resources``; which endpoint takes and gives what,
``GET /v1/openapi.json`` says. Errors of any request: ``ErrorBody`` with a status of 4xx or 5xx.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from xlvs.model.edit import AnyEdit
from xlvs.model.service import (
    Address,
    Destination,
    DestinationKey,
    Protocol,
    Service,
    ServiceKey,
)
from xlvs.model.syncing import SyncChannel, SyncRole
from xlvs.wire.following import FileView, SyncView


class EditRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Edits in order.

    ``abort``: all or nothing. ``continue``: a refused edit is reported and the rest
    go on, as ``ipvsadm -R`` does.
    """

    edits: list[AnyEdit]
    on_error: Literal["abort", "continue"] = "abort"


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """A ``Problem`` in JSON."""

    code: str
    message: str
    where: str = ""


class EditResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One entry per edit, in order: null or why it was refused."""

    results: list[ErrorBody | None]


class Counters(msgspec.Struct, frozen=True, gc=False):
    """Totals since creation or the last zeroing; bytes are IP bytes."""

    connections: int = 0
    in_packets: int = 0
    out_packets: int = 0
    in_bytes: int = 0
    out_bytes: int = 0


class Rates(msgspec.Struct, frozen=True, gc=False):
    """IPVS's estimator: every 2 s a quarter of the difference; per second, whole numbers."""

    connections: int = 0
    in_packets: int = 0
    out_packets: int = 0
    in_bytes: int = 0
    out_bytes: int = 0


class DestinationView(msgspec.Struct, frozen=True, gc=False):
    """A destination with its numbers.

    ``stats`` is what IPVS would show (as of the estimator's last run, at most 2 s
    old), ``live`` the counters now.
    """

    destination: Destination
    active: int
    inactive: int
    persistent: int
    stats: Counters
    live: Counters
    rates: Rates
    next_hop: str  # "resolved via eth1 02:00:00:00:02:11", "local", "unresolved: no route", ...


class SynPromise(msgspec.Struct, frozen=True, kw_only=True):
    """What SYN proxy promises clients now: bytes; bits, None if windows are not scaled."""

    mss: int
    window_scale: int | None
    sack: bool
    timestamps: bool


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """A service with its destinations and numbers."""

    service: Service
    destinations: list[DestinationView]  # in the schedulers' order: newest first
    stats: Counters
    live: Counters
    rates: Rates
    remarks: list[str]  # what the data path does not do for this service, in words
    asked: list[Destination] | None = None  # newest first; None: all are in rotation as asked
    refused: dict[str, int] | None = None  # new connections, by lists and limits; None: no such
    counted: int = 0  # connections that its own limit of connections counts
    syn_promise: SynPromise | None = None  # None: no SYN proxy


Numbers = Literal["", "stats", "rates"]


class ListingQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which counters a listing is to have: none, ``stats`` or ``rates``."""

    numbers: Numbers = ""


class ListingHead(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a listing."""

    table_size: int


class DestinationLine(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A destination in a listing; numbers as in ``DestinationView``, if asked for."""

    destination: Destination
    active: int = 0
    inactive: int = 0
    persistent: int = 0
    stats: Counters | None = None
    rates: Rates | None = None


class ServiceLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A service in a listing; as ``ServiceView``."""

    service: Service
    destinations: list[DestinationLine]
    stats: Counters | None = None
    rates: Rates | None = None
    asked: list[Destination] | None = None


class Listing(NamedTuple):
    """All that a listing says; services may still be on their way, and come once."""

    table_size: int
    services: Iterable[ServiceLine]


class ServiceList(msgspec.Struct, frozen=True, kw_only=True):
    """``table_size`` is the number that IPVS prints as ``size=``."""

    services: list[ServiceView]
    table_size: int


class ConnectionView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One connection. ``expires``: seconds left, rounded down, 0 when it is over.

    Addresses are plain text: there may be ten million of them. The order of the fields
    is what ``codec.connection_around`` cuts at. Templates are connections whose
    ``client_port`` is 0; only theirs may have a persistence engine and its data (a
    Call-ID), which are left out elsewhere.
    """

    protocol: Protocol
    state: str
    expires: int
    client: str
    client_port: int
    virtual: str
    virtual_port: int
    destination: str
    destination_port: int
    method: str
    local: str | None = None
    local_port: int = 0
    persistence_engine: str = ""
    persistence_data: str = ""


class Timeouts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds: ESTABLISHED, FIN_WAIT, UDP."""

    tcp: int = 900
    tcp_fin: int = 120
    udp: int = 300


class SettingView(msgspec.Struct, frozen=True, kw_only=True):
    """One setting. ``value`` and ``default`` as they are written; the profile's default.

    ``remark``: why it has no effect, "" if it has one.
    """

    name: str
    value: str
    default: str
    remark: str = ""


class SettingList(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, sorted by name."""

    settings: list[SettingView]


class DrainView(msgspec.Struct, frozen=True, kw_only=True):
    """A destination that is being drained, and what is left of it.

    ``since`` and ``until`` are seconds since the epoch, ``until`` 0: nobody removes it.
    ``weight_before`` is what ``destination.undrain`` gives back.
    """

    service: ServiceKey
    destination: DestinationKey
    since: float
    until: float
    weight_before: int
    active: int
    inactive: int
    persistent: int


class DrainList(msgspec.Struct, frozen=True, kw_only=True):
    """All drains, in the order in which they began."""

    drains: list[DrainView]


class SyncDaemons(msgspec.Struct, frozen=True, kw_only=True):
    """The daemons of IPVS's sync protocol, a configuration file's too (``ipvsadm -L --daemon``)."""

    roles: dict[SyncRole, SyncChannel]


class LocalPools(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pools of local addresses for FULLNAT, by name."""

    pools: dict[str, tuple[Address, ...]]


class LocalPorts(msgspec.Struct, frozen=True, kw_only=True):
    """FULLNAT ports of one local address towards one real server.

    ``retired``: no new connection gets one, those that have some keep them until they end;
    then ``free`` is 0. ``exhausted`` counts at the address where a search began.
    """

    local: Address
    destination: Address
    destination_port: int
    protocol: Protocol
    used: int
    free: int
    exhausted: int  # connections that found no port at any address; another server took some
    retired: bool = False


class ServerPorts(msgspec.Struct, frozen=True, kw_only=True):
    """FULLNAT ports of all local addresses that a service uses towards one real server.

    Services with the same local addresses and real server share them.
    """

    destination: Address
    destination_port: int
    protocol: Protocol
    local_addresses: list[Address]
    used: int
    free: int
    exhausted: int


class LocalPortList(msgspec.Struct, frozen=True, kw_only=True):
    """FULLNAT's local ports, the fullest first: by real server, and by local address of each."""

    servers: list[ServerPorts]
    ports: list[LocalPorts]


class InterfaceView(msgspec.Struct, frozen=True, kw_only=True):
    """An interface, the hook that it is to run by, and why that one.

    ``egress``: what it sends is looked at too, for real servers on the director itself.
    """

    name: str
    hook: str  # "xdp", "xdp-generic", "tc"
    why: str
    attached: bool
    egress: bool


class TableView(msgspec.Struct, frozen=True, kw_only=True):
    """How full the connection table is."""

    size: int  # connections that it is rated for
    used: int
    high_water: int
    half_open: int  # whose clients have not proved themselves: they make room if need be
    half_open_max: int  # above it they make room for one another
    created: int
    expired: int
    evicted: int  # half-open ones that made room
    full: int  # refused: no room among established ones


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of ``xlvs status``."""

    instance: str
    version: str
    pid: int
    started: float  # seconds since the epoch
    adopted: bool
    interfaces: list[InterfaceView]
    table: TableView
    reasons: dict[str, dict[str, int]]  # reason -> {"packets": n, "bytes": n}
    streams: dict[str, int]  # packets by what was done to their stream besides sending them on
    local_ports: list[LocalPorts]
    local_addresses: list[Address]
    services: list[ServiceView]
    settings: dict[str, int]
    totals: Counters
    rates: Rates
    problems: list[str]
    file: FileView | None = None
    sync: SyncView | None = None
