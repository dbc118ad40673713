# SPDX-License-Identifier: Apache-2.0
"""Problems that come and go without anybody doing something: looked for now and then."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from xlvs.api import problems, views
from xlvs.io.bus import Bus
from xlvs.io.director import Director
from xlvs.wire.events import Kind
from xlvs.wire.following import SyncView
from xlvs.wire.messages import ServerPorts

log = logging.getLogger(__name__)

PERIOD = 2.0
"""Seconds between two looks."""

_CALM = 0.05
"""By how much of all local ports there must be fewer taken again until that is no problem."""

_MOST = 16
"""Problems of one look that are told one by one."""


class Trouble(NamedTuple):
    """What it is about, whatever its numbers are by now, and the sentence."""

    kind: str
    about: str
    text: str


Found = Mapping[tuple[str, str], str]


class Watch:
    """Tells ``bus`` of problems that appear and that are over, and of sync peers."""

    def __init__(self, director: Director, bus: Bus, sync: Callable[[], SyncView | None]) -> None:
        self._director = director
        self._bus = bus
        self._sync = sync
        self._exhausted: dict[str, int] = {}
        self._crowded: frozenset[str] = frozenset()
        self._found: Found = {}
        self._peers: dict[str, bool] = {}

    def look(self) -> None:
        """Tell what is otherwise than at the last look."""
        now = {(each.kind, each.about): each.text for each in self._troubles()}
        self._tell(Kind.PROBLEM, "", now, self._found)
        self._tell(Kind.SOLVED, "no longer: ", self._found, now)
        self._found = now
        self._look_at_peers()

    def _tell(self, kind: Kind, before: str, found: Found, known: Found) -> None:
        """Those that are not known; of many at once, as when a link is lost, the first."""
        new = [(about, text) for (what, about), text in found.items() if (what, about) not in known]
        for about, text in new[:_MOST]:
            self._bus.tell(kind, before + text, about)
        if len(new) > _MOST:
            self._bus.tell(
                kind, f"{before}{len(new) - _MOST} more: xlvs status tells what there is"
            )

    def _troubles(self) -> Iterator[Trouble]:
        director = self._director
        if director.expiry_stands_still:
            yield Trouble("expiry", "", problems.EXPIRY)
        table = views.table_view(director.port)
        if problems.is_nearly_full(table):
            yield Trouble("table", "", problems.nearly_full(table))
        yield from self._ports()
        for address, way in director.effective.ways.items():
            if way.hop is None and not way.local:
                yield Trouble("next hop", str(address), f"{address}: {way.words}")

    def _ports(self) -> Iterator[Trouble]:
        """Local ports that are nearly gone, and of which connections found none since then."""
        before, self._exhausted = self._exhausted, {}
        crowded = set()
        share = problems.ports_warning(self._director)
        for each in views.local_port_list(self._director).servers:
            about = problems.server(each)
            whose = f"{about} {' '.join(map(str, each.local_addresses))}"
            self._exhausted[whose] = each.exhausted
            # What comes and goes around the limit is told once.
            limit = share - _CALM if whose in self._crowded else share
            if problems.share_taken(each) >= limit:
                crowded.add(whose)
                self._log(each, new=whose not in self._crowded)
                yield Trouble("ports", whose, problems.crowded(each))
            if each.exhausted > before.get(whose, 0):
                yield Trouble("no ports", whose, problems.exhausted(each))
        self._crowded = frozenset(crowded)

    @staticmethod
    def _log(ports: ServerPorts, *, new: bool) -> None:
        if new:
            about = {"real_server": problems.server(ports), "used": ports.used, "free": ports.free}
            log.warning("%s", problems.crowded(ports), extra=about)

    def _look_at_peers(self) -> None:
        sync = self._sync()
        peers = {each.address: each for each in sync.peers} if sync else {}
        for address, peer in peers.items():
            if self._peers.get(address) is not peer.there_in_sync:
                words = "it knows our connections"
                if not peer.there_in_sync:
                    words = f"it does not know our connections: {peer.last_error or 'not yet'}"
                self._bus.tell(Kind.SYNC, words, address)
        self._peers = {address: peer.there_in_sync for address, peer in peers.items()}
