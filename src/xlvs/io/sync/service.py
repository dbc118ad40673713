# SPDX-License-Identifier: Apache-2.0
"""Connection sync of one director: IPVS's protocol, peers, or both, as configured.

``offer()`` takes what changed here; ``deliver`` gets what others hold; ``snapshot`` reads the
table for a peer that joins; ``in_sync()`` says whether this director knows what its
peers know, so that it may take their addresses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from xlvs.io import clock
from xlvs.io.sync import ipvs, peers
from xlvs.io.tasks import Tasks
from xlvs.model.synced import Synced
from xlvs.model.syncing import Peer, Roles, SyncDaemon, SyncRole
from xlvs.protocols.peer_sync import receiver

GRACE = 5.0
"""Seconds after the start in which a peer is waited for that cannot be reached."""


class PeerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One peer; ``there_``: what it has of us, ``here_``: what we have of it.

    ``behind`` in seconds, None: not in sync.
    """

    address: str
    there_in_sync: bool
    there_behind: float | None
    there_queued: int
    there_sent: int
    there_resyncs: int
    there_sessions: int
    here_in_sync: bool
    here_behind: float | None
    here_queued: int
    here_received: int
    last_error: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """All of sync."""

    in_sync: bool
    master: ipvs.SenderStatus | None
    backup: ipvs.ReceiverStatus | None
    peers: tuple[PeerStatus, ...]
    strangers: int


def session_status(listener: peers.Listener, peer: Peer) -> receiver.Status | None:
    """What is known of a peer, None: nothing."""
    session = listener.current(peer)
    return None if session is None else session.status()


class Sync:
    """Sync with the peers of ``daemon``; ``roles()`` says what it does of IPVS's protocol."""

    def __init__(
        self,
        daemon: SyncDaemon,
        deliver: peers.Deliver,
        snapshot: peers.Snapshot,
        tasks: Tasks,
        tuning: ipvs.Tuning = ipvs.DEFAULT,
    ) -> None:
        self._daemon = daemon
        self._tasks = tasks
        self._master: ipvs.Sender | None = None
        self._backup: ipvs.Receiver | None = None
        self._tuning = tuning
        self._deliver = deliver
        node = peers.new_node()
        self._links = [peers.Link(peer, node, snapshot) for peer in daemon.peers]
        self._listener = peers.Listener(daemon.peers, node, deliver) if daemon.peers else None
        self._running: list[asyncio.Task[None]] = []
        self._started = 0.0
        self._synced: set[Peer] = set()

    async def start(self) -> None:
        """Begin with the peers. Raises ``OSError``; then nothing is left open."""
        self._started = clock.monotonic()
        try:
            if self._listener is not None:
                daemon = self._daemon
                address = None if daemon.listen is None else str(daemon.listen)
                await self._listener.start(address, daemon.listen_port)
        except OSError:
            await self.stop()
            raise
        for link in self._links:
            name = f"sync with {link.peer.address}"
            self._running.append(self._tasks.start(name, link.run()))

    async def stop(self) -> None:
        """Send what waits and close everything."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()
        if self._listener is not None:
            await self._listener.stop()
        self.roles({})

    def roles(self, wanted: Roles) -> None:
        """Be this in IPVS's protocol, and nothing else. Raises ``OSError``: not all is so.

        Peers do not care about roles: each sends what it holds.
        """
        master, backup = wanted.get(SyncRole.MASTER), wanted.get(SyncRole.BACKUP)
        if self._master is not None and self._master.channel != master:
            self._master.stop()
            self._master = None
        if self._backup is not None and self._backup.channel != backup:
            self._backup.stop()
            self._backup = None
        if master is not None and self._master is None:
            sender = ipvs.Sender(master, self._tuning)
            sender.start()
            self._master = sender
        if backup is not None and self._backup is None:
            receiver = ipvs.Receiver(backup, self._deliver, self._tuning)
            receiver.start()
            self._backup = receiver

    def offer(self, connections: Sequence[Synced]) -> None:
        """Connections of this director that began or changed."""
        if self._master is not None:
            self._master.offer(connections)
        for link in self._links:
            link.offer(connections)

    def resync(self) -> None:
        """Changes of this director were lost before they came here, so peers get the whole table.

        Backups of IPVS's protocol cannot be told: they learn with the next message.
        """
        for link in self._links:
            link.resync()

    def in_sync(self) -> bool:
        """Whether this director holds what its peers hold, or they cannot be asked.

        Once a peer's whole table was here it counts, also if the peer goes away after.
        A peer that answers is waited for; one that does not, for ``GRACE`` seconds.
        """
        if self._listener is None:
            return True
        waited = clock.monotonic() >= self._started + GRACE
        return all(self._peer_in_sync(peer, waited=waited) for peer in self._daemon.peers)

    def _peer_in_sync(self, peer: Peer, *, waited: bool) -> bool:
        session = None if self._listener is None else self._listener.current(peer)
        if session is None:
            return waited or peer in self._synced
        if session.in_sync:
            self._synced.add(peer)
        return session.in_sync

    def is_fresh(self, seconds: float) -> bool:
        """Whether all that peers hold is known here, and not older than that."""
        if self._listener is None:
            return True
        found = [session_status(self._listener, peer) for peer in self._daemon.peers]
        return all(
            each is not None and each.behind is not None and each.behind <= seconds
            for each in found
        )

    def status(self) -> Status:
        """For an operator."""
        return Status(
            in_sync=self.in_sync(),
            master=None if self._master is None else self._master.status(),
            backup=None if self._backup is None else self._backup.status(),
            peers=tuple(self._peer_status(link) for link in self._links),
            strangers=0 if self._listener is None else self._listener.strangers,
        )

    def _peer_status(self, link: peers.Link) -> PeerStatus:
        there = link.status()
        listener = self._listener
        session = None if listener is None else listener.current(link.peer)
        here = None if session is None else session.status()
        from_error = "" if listener is None else listener.last_error(link.peer)
        return PeerStatus(
            address=str(link.peer.address),
            there_in_sync=there.behind is not None,
            there_behind=there.behind,
            there_queued=there.queued + there.unconfirmed,
            there_sent=there.sent,
            there_resyncs=there.resyncs,
            there_sessions=there.sessions,
            here_in_sync=here is not None and here.in_sync,
            here_behind=None if here is None else here.behind,
            here_queued=0 if here is None else here.queued,
            here_received=0 if here is None else here.received,
            last_error=link.last_error or from_error,
        )
