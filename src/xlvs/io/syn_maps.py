# SPDX-License-Identifier: Apache-2.0
"""SYN proxy's way to the data path: secrets, counters, servers that have not answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from xlvs.datapath import records as r
from xlvs.datapath.addresses import unpacked
from xlvs.datapath.loader import DataPath
from xlvs.engine import syn_secret
from xlvs.io.arrivals import arrivals
from xlvs.protocols.tcp_syn import Syn, Toa

_TICKS = 1 << 32
_WINDOW_MAX = 0xFFFF


class Waiting(NamedTuple):
    """A server that has been sent a SYN ``seconds`` ago. ``key`` names it in the map.

    ``destination``: its id; ``syn`` None: its connection is over, and it has never answered.
    """

    key: bytes
    destination: int
    seconds: float
    syn: Syn | None


class SynMaps:
    """The maps of one data path."""

    def __init__(self, path: DataPath) -> None:
        self._path = path
        self._layout = path.layout

    def cookies(self, keys: tuple[int, ...], wall: float) -> r.SynCookies:
        """For packets to go by these keys and this time, in seconds since the epoch.

        Those that are made by come first, then those that are good as well, 0 without.
        """
        hz = self._path.geometry.hz
        offset = syn_secret.offset(wall, self._path.ticks64(), hz)
        others = any(keys[len(keys) // 2 :])
        return r.SynCookies(offset, keys, syn_secret.SLOT * hz, others)

    def loads(self, services: Iterable[int]) -> dict[int, r.SynLoad]:
        """Counters by service id."""
        return {id_: arrivals(self._path, id_).syn for id_ in services}

    def waiting(self) -> Iterator[Waiting]:
        """Servers that have not answered."""
        pending, streams = self._path.map("syn_pending"), self._path.map("streams")
        now, hz = self._path.ticks(), self._path.geometry.hz
        for key, raw in list(pending.items()):
            stream = streams.lookup(key)
            if stream is None and pending.lookup(key) is None:
                continue  # it was answered meanwhile
            value = self._layout.unpack(r.SynPending, raw)
            yield Waiting(
                key,
                value.destination,
                (now - value.since) % _TICKS / hz,
                None if stream is None else _syn(value, self._layout.unpack(r.Stream, stream)),
            )

    def time(self) -> tuple[int, int]:
        """Now, as a tick, and ticks per second."""
        return self._path.ticks(), self._path.geometry.hz

    def give_up(self, key: bytes) -> None:
        """Do not wait for that one any more."""
        self._path.map("syn_pending").delete(key)


def _syn(pending: r.SynPending, stream: r.Stream) -> Syn:
    to = pending.to
    toa = None
    if pending.toa_kind:
        toa = Toa(pending.toa_kind, unpacked(pending.client), pending.client_port)
    return Syn(
        source=unpacked(to.src),
        destination=unpacked(to.dst),
        source_port=to.sport,
        destination_port=to.dport,
        number=stream.client_isn,
        window=min(stream.window << stream.client_scale, _WINDOW_MAX),
        mss=stream.mss,
        stamp=stream.stamp if stream.syn & r.StreamSyn.STAMPS else None,
        sack=bool(stream.syn & r.StreamSyn.SACK),
        scale=stream.client_scale if stream.syn & r.StreamSyn.SCALE else None,
        toa=toa,
    )
