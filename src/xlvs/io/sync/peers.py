# SPDX-License-Identifier: Apache-2.0
"""Sync between directors of ours over TCP: one connection to each peer, one from each."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address

from xlvs.io import clock
from xlvs.model.synced import Synced
from xlvs.model.syncing import Peer
from xlvs.protocols.peer_sync import handshake, receiver, sender
from xlvs.protocols.peer_sync.problems import PeerError, Reason

_LOG = logging.getLogger(__name__)

Snapshot = Callable[[], Iterator[Sequence[Synced]]]
"""The whole table, read bit by bit while it is sent."""
Deliver = Callable[[Sequence[Synced]], None]

_RETRY = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between two attempts to reach a peer; ± a fifth."""
_CONNECT = 3.0  # seconds
_STRANGERS_MAX = 32  # connections that have not proved themselves
_MAPPED = "::ffff:"


def new_node() -> bytes:
    """A name for this run of this director."""
    return os.urandom(handshake.NODE)


class Link(asyncio.Protocol):
    """Our sending end to one peer. ``run()`` keeps it up."""

    def __init__(self, peer: Peer, node: bytes, snapshot: Snapshot) -> None:
        self.peer = peer
        self._sender = sender.Sender(peer.key, node)
        self._snapshot = snapshot
        self._table: Iterator[Sequence[Synced]] = iter(())
        self._rest: list[Synced] = []
        self._generation = 0
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None
        self._paused = False
        self._ended = asyncio.Event()
        self._reason = Reason.CLOSED
        self.last_error = ""

    async def run(self) -> None:
        """Connect, and again when it ends, until it is cancelled."""
        attempt = 0
        loop = asyncio.get_running_loop()
        try:
            while True:
                began = clock.monotonic()
                try:
                    async with asyncio.timeout(_CONNECT):
                        await loop.create_connection(
                            lambda: self, str(self.peer.address), self.peer.port
                        )
                except (OSError, TimeoutError) as error:
                    self._sender.disconnected()
                    self._say(f"no connection: {str(error) or 'no answer'}")
                else:
                    await self._ended.wait()
                lived = clock.monotonic() - began > sender.SILENCE + _CONNECT
                attempt = 0 if lived else min(attempt + 1, len(_RETRY) - 1)
                jitter = random.uniform(0.8, 1.2)  # noqa: S311  # not a secret
                await asyncio.sleep(_RETRY[attempt] * jitter)
        finally:
            if self._transport is not None:
                self._transport.abort()

    def offer(self, connections: Iterable[Synced]) -> None:
        """Connections that began or changed."""
        self._sender.offer(connections, clock.monotonic())
        self._work_soon()

    def resync(self) -> None:
        """What changed was lost on its way here: the whole table once more."""
        self._sender.resync(clock.monotonic())
        self._work_soon()

    def status(self) -> sender.Status:
        """For an operator."""
        return self._sender.status(clock.monotonic())

    # ---- asyncio.Protocol -------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # for the type checker
        self._transport = transport
        self._paused = False
        self._ended.clear()
        self._reason = Reason.CLOSED
        self._sender.connected(os.urandom(handshake.NONCE), clock.monotonic())
        self._work()

    def data_received(self, data: bytes) -> None:
        """Frames of the peer."""
        try:
            self._sender.received(data, clock.monotonic())
        except PeerError as error:
            self._end(error)
        else:
            self._work_soon()

    def pause_writing(self) -> None:
        """The peer is slow."""
        self._paused = True

    def resume_writing(self) -> None:
        """It is not any more."""
        self._paused = False
        self._work_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """The session is over."""
        del exc
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()
        self._timer = self._soon = self._transport = None
        self._table, self._rest = iter(()), []
        self._sender.disconnected(self._reason)
        self._ended.set()

    # ---- work ----------------------------------------------------------------------

    def _work_soon(self) -> None:
        if self._soon is None and self._transport is not None:
            self._soon = asyncio.get_running_loop().call_soon(self._work)

    def _work(self) -> None:
        self._soon = None
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        try:
            self._sender.tick(clock.monotonic())
        except PeerError as error:
            self._end(error)
            return
        if not self._paused:
            self._give()
        data = self._sender.output()
        if data:
            transport.write(data)
        self._arm()
        if not self._paused and self._sender.room():
            self._work_soon()  # others have their turn between

    def _give(self) -> None:
        """A part of the table, if the peer has room for it."""
        room = self._sender.room()
        if not room:
            return
        if self._generation != self._sender.generation:
            self._generation = self._sender.generation
            self._table, self._rest = self._snapshot(), []
        while len(self._rest) < room:
            part = next(self._table, None)
            if part is None:
                break
            self._rest += part
        now = clock.monotonic()
        if self._rest:
            self._sender.bulk(self._rest[:room], now)
            del self._rest[:room]
        else:
            self._sender.end_bulk(now)

    def _arm(self) -> None:
        deadline = self._sender.deadline()
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = None if deadline is None else loop.call_at(deadline, self._work)

    def _end(self, error: PeerError) -> None:
        self._reason = error.reason
        self._say(str(error))
        if self._transport is not None:
            self._transport.write(self._sender.output())
            self._transport.close()

    def _say(self, text: str) -> None:
        if text != self.last_error:
            _LOG.warning("sync with %s: %s", self.peer.address, text)
        self.last_error = text


class Session(asyncio.Protocol):
    """One connection that a peer made."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._receiver: receiver.Receiver | None = None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.peer: Peer | None = None
        self.last_error = ""

    @property
    def greeted(self) -> bool:
        """The peer has proved itself."""
        return self._receiver is not None and self._receiver.greeted

    @property
    def in_sync(self) -> bool:
        """The peer's whole table is here."""
        return self._receiver is not None and self._receiver.in_sync

    def status(self) -> receiver.Status | None:
        """For an operator."""
        core = self._receiver
        return None if core is None else core.status(clock.monotonic())

    def close(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Only from a peer's address."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # for the type checker
        self._transport = transport
        self.peer = self._listener.admit(self, transport.get_extra_info("peername")[0])
        if self.peer is None:
            transport.abort()
            return
        now = clock.monotonic()
        nonce = os.urandom(handshake.NONCE)
        self._receiver = receiver.Receiver(self.peer.key, self._listener.node, nonce, now)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Frames of the peer; their connections go to the table at once."""
        core, transport = self._receiver, self._transport
        if core is None or transport is None or transport.is_closing():
            return
        was = core.greeted
        try:
            for batch in core.received(data, clock.monotonic()):
                if batch.connections:
                    self._listener.deliver(batch.connections)
                core.done(batch)
        except PeerError as error:
            self._end(error)
            return
        if core.greeted and not was:
            self._listener.greeted(self)
        transport.write(core.output())

    def connection_lost(self, exc: Exception | None) -> None:
        """The session is over."""
        del exc
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport = None
        self._listener.ended(self)

    def _arm(self) -> None:
        """Look again when the peer could be silent for too long."""
        self._timer = None
        core = self._receiver
        if core is None or self._transport is None or self._transport.is_closing():
            return
        try:
            core.tick(clock.monotonic())
        except PeerError as error:
            self._end(error)
        else:
            self._timer = asyncio.get_running_loop().call_at(core.deadline(), self._arm)

    def _end(self, error: PeerError) -> None:
        self.last_error = str(error)
        self._listener.failed(self, error)
        if self._receiver is not None and self._transport is not None:
            self._transport.write(self._receiver.output())
            self._transport.close()


class Listener:
    """Where peers connect. ``deliver`` gets their connections."""

    def __init__(self, peers: Iterable[Peer], node: bytes, deliver: Deliver) -> None:
        self.node = node
        self.deliver = deliver
        self.strangers = 0
        """Connections from addresses that are no peer's."""
        self.faults: dict[Reason, int] = {}
        self._peers: Mapping[str, Peer] = {str(peer.address): peer for peer in peers}
        self._server: asyncio.Server | None = None
        self._sessions: set[Session] = set()
        self._current: dict[str, Session] = {}
        self._last_error: dict[str, str] = {}

    async def start(self, address: str | None, port: int) -> None:
        """Listen. Raises ``OSError``."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Session(self), address, port, reuse_address=True
        )

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None
        for session in list(self._sessions):
            session.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None  # noqa: S101  # start() came before
        return int(self._server.sockets[0].getsockname()[1])

    def current(self, peer: Peer) -> Session | None:
        """The peer's present session, if it has proved itself."""
        return self._current.get(str(peer.address))

    def last_error(self, peer: Peer) -> str:
        """Why a session of the peer's ended, in words."""
        return self._last_error.get(str(peer.address), "")

    # ---- for sessions ---------------------------------------------------------------

    def admit(self, session: Session, address: str) -> Peer | None:
        """The peer that has this address."""
        address = str(ip_address(address.split("%", 1)[0].removeprefix(_MAPPED)))
        peer = self._peers.get(address)
        strangers = sum(not other.greeted for other in self._sessions)
        if peer is None or strangers >= _STRANGERS_MAX:
            self.strangers += 1
            return None
        self._sessions.add(session)
        return peer

    def greeted(self, session: Session) -> None:
        """A peer's new session takes an older one's place, which is dead and does not know it."""
        assert session.peer is not None  # noqa: S101  # it was admitted
        before = self._current.get(str(session.peer.address))
        self._current[str(session.peer.address)] = session
        if before is not None:
            before.close()

    def failed(self, session: Session, error: PeerError) -> None:
        """Count it and say it."""
        assert session.peer is not None  # noqa: S101  # it was admitted
        address = str(session.peer.address)
        self.faults[error.reason] = self.faults.get(error.reason, 0) + 1
        if self._last_error.get(address) != str(error):
            _LOG.warning("sync from %s: %s", address, error)
        self._last_error[address] = str(error)

    def ended(self, session: Session) -> None:
        """Forget it."""
        self._sessions.discard(session)
        if session.peer is not None and self.current(session.peer) is session:
            del self._current[str(session.peer.address)]
