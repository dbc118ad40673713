# SPDX-License-Identifier: Apache-2.0
"""Series of the director itself: packets, the table, maps, local ports, interfaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client.core import Metric

from xlvs.api.metrics import catalogue as c
from xlvs.datapath.port import TableUse
from xlvs.datapath.records import ReasonStats
from xlvs.engine.histogram import Histogram
from xlvs.model.words import host_port
from xlvs.wire.messages import InterfaceView, LocalPorts

NEXT_HOPS = ("resolved", "local", "unresolved")
"""The first words of a way's description."""


class DirectorState(NamedTuple):
    """What a scrape read. ``maps``: entries that are taken, and how many there are."""

    version: str
    director: str
    reasons: Mapping[str, ReasonStats]
    streams: Mapping[str, int]
    table: TableUse
    table_size: int
    maps: Mapping[str, tuple[int, int]]
    ports: Sequence[LocalPorts]
    next_hops: Mapping[str, int]
    interfaces: Sequence[InterfaceView]
    expiry_stands_still: bool
    loop_lag: Histogram
    refused_tokens: int


def families(state: DirectorState) -> Iterator[Metric]:
    """All of them."""
    table = state.table
    yield c.BUILD.of([((state.version, state.director), 1)])
    yield c.LOOP_LAG.times([((), state.loop_lag)])
    yield c.REFUSED_TOKENS.one(state.refused_tokens)
    yield c.EXPIRY.one(not state.expiry_stands_still)
    yield c.INTERFACE.of(((i.name, i.hook), i.attached) for i in state.interfaces)
    yield c.PACKETS.of(((name,), each.packets) for name, each in state.reasons.items())
    yield c.BYTES.of(((name,), each.bytes) for name, each in state.reasons.items())
    yield c.STREAM_PACKETS.of(((name,), packets) for name, packets in state.streams.items())
    yield c.TABLE_SIZE.one(state.table_size)
    yield c.TABLE_USED.one(table.used)
    yield c.TABLE_HIGH.one(table.high_water)
    yield c.TABLE_HALF.one(table.half_open)
    yield c.TABLE_HALF_MAX.one(table.half_open_max)
    yield c.TABLE_CREATED.one(table.created)
    yield c.TABLE_ENDED.one(table.ended)
    yield c.TABLE_EVICTED.one(table.evicted)
    yield c.TABLE_FULL.one(table.full)
    yield c.SYNC_TOLD.one(table.told)
    yield c.SYNC_LOST.one(table.untold)
    yield c.MAP_USED.of(((name,), taken) for name, (taken, _) in state.maps.items())
    yield c.MAP_SIZE.of(((name,), size) for name, (_, size) in state.maps.items())
    ports = [(_block(each), each) for each in state.ports]
    yield c.PORTS_USED.of((block, each.used) for block, each in ports)
    yield c.PORTS_FREE.of((block, each.free) for block, each in ports)
    yield c.PORTS_EXHAUSTED.of((block, each.exhausted) for block, each in ports)
    yield c.NEXT_HOPS.of(((word,), state.next_hops.get(word, 0)) for word in NEXT_HOPS)


def next_hops(words: Iterator[str]) -> Counter[str]:
    """How many ways are in which state, by their descriptions."""
    return Counter(each.split(maxsplit=1)[0].rstrip(":") for each in words)


def _block(each: LocalPorts) -> tuple[str, str, str]:
    server = host_port(each.destination, each.destination_port)
    return str(each.local), server, each.protocol.value
