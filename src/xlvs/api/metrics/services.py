# SPDX-License-Identifier: Apache-2.0
"""Series of services and real servers: a table of families and what a row is worth in each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

from prometheus_client.core import Metric

from xlvs.api.metrics import catalogue as c
from xlvs.api.metrics.family import Column, Family, Lines
from xlvs.datapath.records import DestinationLoad, Refusals, Stats
from xlvs.io.syn_proxy import Proxied
from xlvs.model.detail import Detail
from xlvs.wire.messages import Counters


class Server(NamedTuple):
    """A real server of one service. ``labels`` as text: ours, and node_exporter's."""

    labels: str
    backend: str
    weight: int
    stats: Stats
    load: DestinationLoad


class Counted(NamedTuple):
    """A service; its numbers since it was added.

    ``load``, ``listed``, ``usable``: of all its real servers, of which ``servers`` has the details
    that are wanted. ``refusals``: None without lists and limits; ``proxied``: without SYN proxy.
    """

    labels: str
    scheduler: str
    stats: Stats
    load: DestinationLoad
    listed: int
    usable: int
    servers: Sequence[Server] = ()
    refusals: Refusals | None = None
    proxied: Proxied | None = None


class Read(NamedTuple):
    """All of them. ``everything``: what they and those that are gone have counted."""

    services: Sequence[Counted]
    everything: Counters


_IN, _OUT = (("direction", "in"),), (("direction", "out"),)
_ACTIVE, _INACTIVE, _PERSISTENT = (
    (("state", word),) for word in ("active", "inactive", "persistent")
)

# A service and a real server have the same numbers.
_Row = Counted | Server
_CONNECTIONS: Sequence[Column[_Row]] = [Column(lambda row: row.stats.connections)]
_PACKETS: Sequence[Column[_Row]] = [
    Column(lambda row: row.stats.in_packets, _IN),
    Column(lambda row: row.stats.out_packets, _OUT),
]
_BYTES: Sequence[Column[_Row]] = [
    Column(lambda row: row.stats.in_bytes, _IN),
    Column(lambda row: row.stats.out_bytes, _OUT),
]
_CURRENT: Sequence[Column[_Row]] = [
    Column(lambda row: row.load.active, _ACTIVE),
    Column(lambda row: row.load.inactive, _INACTIVE),
    Column(lambda row: row.load.persistent, _PERSISTENT),
]

_OF_SERVICES: Sequence[tuple[Family, Sequence[Column[Counted]]]] = (
    (c.SERVICE_CONNECTIONS, _CONNECTIONS),
    (c.SERVICE_PACKETS, _PACKETS),
    (c.SERVICE_BYTES, _BYTES),
    (c.SERVICE_CURRENT, _CURRENT),
    (c.SERVICE_USABLE, [Column(lambda row: row.usable)]),
)

_REFUSED: Sequence[Column[Refusals]] = [
    Column(attrgetter(name), (("reason", name),)) for name in Refusals._fields
]

_OF_PROXIED: Sequence[tuple[Family, Sequence[Column[Proxied]]]] = (
    (c.SYN_ASKED, [Column(lambda row: row.load.syns)]),
    (c.SYN_PROVED, [Column(lambda row: row.load.proved)]),
    (c.SYN_ANSWERED, [Column(lambda row: row.load.answered)]),
    (
        c.SYN_REFUSED,
        [
            Column(lambda row: row.load.unknown, (("reason", "unknown"),)),
            Column(lambda row: row.load.expired, (("reason", "expired"),)),
            Column(lambda row: row.load.odd, (("reason", "odd"),)),
        ],
    ),
    (c.SYN_SILENT, [Column(lambda row: row.given_up)]),
)

_OF_SERVERS: Sequence[tuple[Family, Sequence[Column[Server]]]] = (
    (c.DESTINATION_CONNECTIONS, _CONNECTIONS),
    (c.DESTINATION_PACKETS, _PACKETS),
    (c.DESTINATION_BYTES, _BYTES),
    (c.DESTINATION_CURRENT, _CURRENT),
    (c.DESTINATION_WEIGHT, [Column(lambda row: row.weight)]),
)

_OF_BACKENDS: Sequence[tuple[Family, Sequence[Column[Server]]]] = (
    (c.NODE_ACTIVE, [Column(lambda row: row.load.active)]),
    (c.NODE_INACTIVE, [Column(lambda row: row.load.inactive)]),
    (c.NODE_WEIGHT, [Column(lambda row: row.weight)]),
)


def families(read: Read, detail: Detail) -> Iterator[Metric | Lines]:
    """Those with a row for each service or server come in parts, which follow one another."""
    everything, rows = read.everything, read.services
    yield c.SERVICES.one(len(rows))
    yield c.DESTINATIONS.one(sum(each.listed for each in rows))
    yield c.NODE_CONNECTIONS.one(everything.connections)
    yield c.NODE_IN_PACKETS.one(everything.in_packets)
    yield c.NODE_OUT_PACKETS.one(everything.out_packets)
    yield c.NODE_IN_BYTES.one(everything.in_bytes)
    yield c.NODE_OUT_BYTES.one(everything.out_bytes)
    named = ((f'{each.labels},scheduler="{each.scheduler}"', each) for each in rows)
    yield from c.SERVICE.parts(named, [Column(lambda _: 1)])
    for family, of_services in _OF_SERVICES:
        yield from family.parts(((each.labels, each) for each in rows), of_services)
    guarded = ((each.labels, each.refusals) for each in rows if each.refusals is not None)
    yield from c.SERVICE_REFUSED.parts(guarded, _REFUSED)
    proxied = [(each.labels, each.proxied) for each in rows if each.proxied is not None]
    with_mode = ((f'{labels},mode="{each.mode}"', each) for labels, each in proxied)
    yield from c.SYN_PROXY.parts(with_mode, [Column(lambda row: int(row.active))])
    for family, of_proxied in _OF_PROXIED:
        yield from family.parts(proxied, of_proxied)
    if detail is Detail.DESTINATIONS:
        for family, of_servers in _OF_SERVERS:
            yield from family.parts(((each.labels, each) for each in _servers(rows)), of_servers)
        for family, of_servers in _OF_BACKENDS:
            yield from family.parts(((each.backend, each) for each in _servers(rows)), of_servers)


def _servers(rows: Sequence[Counted]) -> Iterator[Server]:
    return chain.from_iterable(each.servers for each in rows)
