# SPDX-License-Identifier: Apache-2.0
"""All BFD sessions of a host: one socket that hears, and one per neighbour that speaks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import struct
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address

from xlvs.model.service import Address
from xlvs.model.tracking import Bfd
from xlvs.protocols.bfd import session as s
from xlvs.protocols.bfd.packet import (
    MULTIHOP_PORT,
    PORT,
    SOURCE_PORTS,
    Control,
    Reason,
    Rejected,
    State,
    parse,
)

_HOPS = 255
_HOPS_UNCHECKED = 255
_RECEIVE = 512
_AT_ONCE = 64
_PRIORITY = 6
_IP_RECVTTL = 12

log = logging.getLogger(__name__)


class _Peer:
    """A session with its socket and its timer."""

    def __init__(self, session: s.Session, speaker: socket.socket) -> None:
        self.session = session
        self.speaker = speaker
        self.timer: asyncio.TimerHandle | None = None


class Sessions:
    """``on_change(name, up)`` is called when a session comes up or is up no more."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_change: Callable[[str, bool], None]
    ) -> None:
        self._loop = loop
        self._on_change = on_change
        self._chance = random.SystemRandom()
        self._peers: dict[str, _Peer] = {}
        self._ears: dict[tuple[int, int], socket.socket] = {}
        self.rejected: dict[Reason, int] = {}

    def configure(self, wanted: Sequence[Bfd]) -> None:
        """Reconcile: sessions that did not change go on."""
        by_name = {one.name: one for one in wanted}
        for name in [n for n, peer in self._peers.items() if by_name.get(n) != peer.session.wanted]:
            self._end(name)
        for name, one in by_name.items():
            if name not in self._peers:
                try:
                    self._begin(one)
                except OSError as error:
                    log.warning("bfd_instance %s: %s", name, error)
        used = {(one.neighbour.version, _port(one)) for one in wanted}
        for key in [key for key in self._ears if key not in used]:
            ear = self._ears.pop(key)
            self._loop.remove_reader(ear)
            ear.close()

    def close(self) -> None:
        """End all sessions, and say so to the neighbours."""
        self.configure(())

    def _begin(self, wanted: Bfd) -> None:
        self._hear(wanted.neighbour.version, _port(wanted))
        taken = {peer.session.discriminator for peer in self._peers.values()}
        discriminator = next(
            number
            for number in iter(lambda: self._chance.randrange(1, 1 << 32), 0)
            if number not in taken
        )
        peer = _Peer(s.Session(wanted, discriminator, self._chance.uniform), self._speaker(wanted))
        self._peers[wanted.name] = peer
        self._on_change(wanted.name, False)
        peer.session.start(self._loop.time())
        self._flush(peer)

    def _end(self, name: str) -> None:
        peer = self._peers.pop(name)
        peer.session.stop()
        self._perform(peer)
        if peer.timer is not None:
            peer.timer.cancel()
        peer.speaker.close()

    def _hear(self, family: int, port: int) -> None:
        if (family, port) in self._ears:
            return
        v6 = family == 6  # noqa: PLR2004
        kind = socket.AF_INET6 if v6 else socket.AF_INET
        ear = socket.socket(kind, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if v6:
                ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            else:
                ear.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
            ear.bind(("::" if v6 else "0.0.0.0", port))  # noqa: S104  # neighbours may be anywhere
        except OSError:
            ear.close()
            raise
        self._ears[family, port] = ear
        self._loop.add_reader(ear, self._read, ear)

    def _speaker(self, wanted: Bfd) -> socket.socket:
        v6 = isinstance(wanted.neighbour, IPv6Address)
        kind = socket.AF_INET6 if v6 else socket.AF_INET
        made = socket.socket(kind, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, _PRIORITY)
        # RFC 5881 wants 255, or who checks it takes the packet for a stranger's.
        hops = wanted.ttl or _HOPS
        if v6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
        else:
            made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
        source = str(wanted.source) if wanted.source is not None else ""
        for _ in range(16):
            with contextlib.suppress(OSError):
                made.bind((source, self._chance.randint(*SOURCE_PORTS)))
                return made
        made.close()
        raise OSError(f"no port for {source or 'a source'}")

    def _read(self, ear: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, extras, _, sender = ear.recvmsg(_RECEIVE, 128)
            except OSError:
                return
            hops = _HOPS
            for level, kind, value in extras:
                if (level, kind) in (
                    (socket.IPPROTO_IP, socket.IP_TTL),
                    (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT),
                ):
                    (hops,) = struct.unpack_from("=i", value)
            try:
                self._received(data, ip_address(sender[0].partition("%")[0]), hops)
            except Rejected as rejected:
                self.rejected[rejected.reason] = self.rejected.get(rejected.reason, 0) + 1

    def _received(self, data: bytes, source: Address, hops: int) -> None:
        control = parse(data)
        peer = self._find(control, source)
        if peer is None:
            raise Rejected(Reason.STRANGER)
        most = peer.session.wanted.max_hops
        if most < _HOPS_UNCHECKED and hops < _HOPS - most:
            raise Rejected(Reason.HOPS)
        peer.session.received(control, self._loop.time())
        self._flush(peer)

    def _find(self, control: Control, source: Address) -> _Peer | None:
        for peer in self._peers.values():
            if source != peer.session.wanted.neighbour:
                continue
            if control.yours in (0, peer.session.discriminator):
                return peer
        return None

    def _tick(self, peer: _Peer) -> None:
        peer.timer = None
        peer.session.tick(self._loop.time())
        self._flush(peer)

    def _flush(self, peer: _Peer) -> None:
        self._perform(peer)
        if peer.timer is not None:
            peer.timer.cancel()
            peer.timer = None
        deadline = peer.session.deadline
        if deadline is not None:
            peer.timer = self._loop.call_at(deadline, self._tick, peer)

    def _perform(self, peer: _Peer) -> None:
        wanted = peer.session.wanted
        for effect in peer.session.take_effects():
            if isinstance(effect, s.Send):
                with contextlib.suppress(OSError):
                    peer.speaker.sendto(effect.payload, (str(wanted.neighbour), _port(wanted)))
                continue
            log.info("bfd_instance %s: %s -> %s", wanted.name, effect.old.name, effect.new.name)
            if State.UP in (effect.old, effect.new):
                self._on_change(wanted.name, effect.new is State.UP)


def _port(wanted: Bfd) -> int:
    return MULTIHOP_PORT if wanted.multihop else PORT
