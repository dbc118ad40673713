# SPDX-License-Identifier: Apache-2.0
"""Probes that go to the virtual address as clients' packets do, by the forwarding method.

A TCP handshake made by hand, independent of the data path's programs: the SYN leaves as a frame
with the server's next hop (DR), in a tunnel packet (TUN), or rewritten (NAT, FULLNAT), from an
address of the director's own, and the SYN-ACK is heard by a packet socket before the kernel
looks at it. The kernel refuses an answer that seems to come from its own virtual address
(``log_martians`` would log it), or answers with a reset, which does no harm.

What it cannot find: what is wrong with the server's way to clients' networks only (it answers
to the director's address), and, with NAT, a wrong default route if the director has no address
that the server reaches by its default route (``far``).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket

from xlvs.datapath.observed import Way
from xlvs.io.checkers import diagnosis, sniffing, sockets
from xlvs.io.checkers.passage import Impossible, Passage, passage
from xlvs.model.service import Address, Destination, Service
from xlvs.protocols.checks import packets
from xlvs.protocols.checks.outcome import GOOD, Outcome, failed, not_asked
from xlvs.protocols.checks.packets import ACK, RST, SYN, Claim, Refusal, Segment

RESEND = 0.5
"""Seconds until the SYN is sent again; doubled each time."""

CLAIM = 0.1
"""Seconds that an answer to ARP is awaited after the SYN-ACK."""

_BATCH = 256
_PACKET = 2048
_TUNNELS = (packets.IPIP, packets.IPV6_IN, packets.GRE, packets.UDP)


class _Probe:
    def __init__(self, way: Passage, port: int, interfaces: frozenset[str]) -> None:
        self.passage = way
        self.port = port
        self.interfaces = interfaces
        self.sequence = secrets.randbits(32)
        self.answer: asyncio.Future[Segment] = asyncio.get_running_loop().create_future()
        self.claimed = asyncio.Event()
        self.alive = False
        self.refusal: Refusal | None = None
        self.elsewhere = ""
        self.right = False

    @property
    def local(self) -> tuple[Address, int]:
        return self.passage.source, self.port

    def take(self, segment: Segment, interface: str) -> None:
        """A segment to this probe's port."""
        going = self.passage
        server = going.destination.key.address
        asked = (going.source, (self.sequence + 1) & 0xFFFFFFFF)
        if (segment.source, segment.source_port) != going.peer or asked != (
            segment.destination,
            segment.acknowledgement,
        ):
            self.alive |= segment.source == server
        elif not segment.flags & ACK:
            return
        elif going.by_gateway and interface not in self.interfaces:
            self.elsewhere = interface  # a bond's answer comes by its slave first
            asyncio.get_running_loop().call_later(CLAIM, self._settle, segment)
        else:
            self.right = True
            self._settle(segment)

    def _settle(self, segment: Segment) -> None:
        if not self.answer.done():
            self.answer.set_result(segment)


class Through:
    """Sockets are opened with the first probe. ``close`` it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener: socket.socket | None = None
        self._sender: socket.socket | None = None
        self._probes: dict[int, _Probe] = {}

    def close(self) -> None:
        """Probes that run go on to their deadline and hear nothing."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    async def through(
        self,
        service: Service,
        destination: Destination,
        way: Way,
        deadline: float,
        *,
        source: Address | None = None,
        far: Address | None = None,
    ) -> Outcome:
        """One handshake through the data path, before ``deadline`` of the loop's clock.

        ``source``: the director's address to ask from, where the way's own is of the other
        family. ``far``: with NAT, one that the server reaches by its default route only.
        """
        if way.local:
            return Outcome(ok=True, cause="on the director itself: no forwarding to probe")
        try:
            going = passage(service, destination, way, source, far)
        except Impossible as why:
            return not_asked(str(why))
        try:
            return await self._ask(going, way, deadline)
        except OSError as error:
            return not_asked(
                f"cannot probe through the data path: {sockets.words(error.errno or 0)}"
            )

    async def _ask(self, going: Passage, way: Way, deadline: float) -> Outcome:
        if self._listener is None:
            self._open()
        port = self._free_port()
        if not port:
            return not_asked("all ports for probes through the data path are in use")
        probe = _Probe(going, port, _names(way.ifindex, going.hop.ifindex))
        self._probes[port] = probe
        begin = self._loop.time()
        try:
            segment = await self._handshake(probe, begin, deadline)
            if segment is not None and going.claims and not probe.claimed.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CLAIM):
                        await probe.claimed.wait()
        finally:
            del self._probes[port]
        return _outcome(probe, segment, deadline - begin)

    async def _handshake(self, probe: _Probe, begin: float, deadline: float) -> Segment | None:
        going = probe.passage
        syn = packets.tcp(probe.local, going.peer, probe.sequence, 0, SYN)
        first = wait = min(RESEND, (deadline - begin) / 3)
        while (now := self._loop.time()) < deadline:
            if going.claims:
                self._send(going, going.question())
            self._send(going, going.frame(syn, probe.port))
            if wait > first:
                self._look_for_life(probe)
            # The rest after the last one is at least as long as the first wait.
            until = now + wait if now + 2 * wait < deadline else deadline
            done, _ = await asyncio.wait((probe.answer,), timeout=until - now)
            if done:
                self._end(probe)
                return probe.answer.result()
            wait *= 2
        return None

    def _look_for_life(self, probe: _Probe) -> None:
        """A SYN to the server itself: whatever it answers, it is alive."""
        going = probe.passage
        server = going.destination.key.address
        source = going.outer
        if server.version != source.version or (source, server) == (going.source, going.peer[0]):
            return  # that would be the same question again
        to = (server, going.destination.key.port or going.peer[1])
        syn = packets.tcp((source, probe.port), to, secrets.randbits(32), 0, SYN)
        self._send(going, going.plain(syn))

    def _end(self, probe: _Probe) -> None:
        """Take the half-open connection back."""
        going = probe.passage
        if probe.answer.result().flags & RST:
            return
        after = (probe.sequence + 1) & 0xFFFFFFFF
        reset = packets.tcp(probe.local, going.peer, after, 0, RST)
        self._send(going, going.frame(reset, probe.port))

    def _send(self, going: Passage, frame: bytes) -> None:
        if self._sender is None:
            return
        with contextlib.suppress(BlockingIOError):
            self._sender.sendto(frame, (socket.if_indextoname(going.hop.ifindex), 0))

    def _open(self) -> None:
        self._sender = sniffing.sender()
        self._listener = sniffing.listener()
        self._loop.add_reader(self._listener.fileno(), self._ready, self._listener)

    def _free_port(self) -> int:
        many = sniffing.LAST_PORT - sniffing.FIRST_PORT + 1
        begin = secrets.randbelow(many)
        for offset in range(many):
            port = sniffing.FIRST_PORT + (begin + offset) % many
            if port not in self._probes:
                return port
        return 0

    def _ready(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(_BATCH):
                packet, (interface, ethertype, _, _, mac) = listener.recvfrom(_PACKET)
                self._take(packets.read(ethertype, packet), interface, mac)

    def _take(self, came: Segment | Claim | Refusal | None, interface: str, mac: bytes) -> None:
        if isinstance(came, Segment):
            probe = self._probes.get(came.destination_port)
            if probe is not None:
                probe.take(came, interface)
        elif isinstance(came, Claim):
            for each in self._probes.values():
                going = each.passage
                its = (came.mac or mac) == going.hop.dst_mac and came.address == going.peer[0]
                if its and going.claims:
                    each.claimed.set()
        elif came is not None:
            self._take_refusal(came)

    def _take_refusal(self, came: Refusal) -> None:
        probe = self._probes.get(came.source_port)
        if probe is not None and came.destination == probe.passage.peer[0]:
            probe.refusal = came
        if came.protocol in _TUNNELS:
            for each in self._probes.values():
                if came.destination == each.passage.destination.key.address:
                    each.refusal = came


def _outcome(probe: _Probe, segment: Segment | None, seconds: float) -> Outcome:
    going = probe.passage
    if probe.claimed.is_set():
        return failed(diagnosis.claimed(going))
    if probe.elsewhere and not probe.right:
        return failed(diagnosis.elsewhere(going, probe.elsewhere))
    if segment is None:
        return failed(diagnosis.silence(going, seconds, alive=probe.alive, refusal=probe.refusal))
    if segment.flags & RST:
        return failed(diagnosis.refused(going))
    return GOOD


def _names(*indices: int) -> frozenset[str]:
    names = set()
    for index in filter(None, indices):
        with contextlib.suppress(OSError):
            names.add(socket.if_indextoname(index))
    return frozenset(names)
