# SPDX-License-Identifier: Apache-2.0
"""Probes that go to the virtual address as clients' packets do, by the forwarding method.

A TCP handshake, or one UDP datagram, made by hand, independent of the data path's programs: it
leaves as a frame with the server's next hop (DR), in a tunnel packet (TUN), or rewritten (NAT,
FULLNAT), from an address of the director's own, and the answer is heard by a packet socket before
the kernel looks at it. The kernel refuses an answer that seems to come from its own virtual address
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
from xlvs.io.checkers.passage import Impossible, Passage, Question, passage
from xlvs.model.service import Address, Destination, Method, Protocol, Service
from xlvs.protocols.checks import packets
from xlvs.protocols.checks.outcome import GOOD, Outcome, failed, not_asked
from xlvs.protocols.checks.packets import ACK, RST, SYN, Claim, Datagram, Refusal, Segment

RESEND = 0.5
"""Seconds until the SYN is sent again; doubled each time."""

CLAIM = 0.1
"""Seconds that an answer to ARP is awaited after the SYN-ACK."""

_BATCH = 256
_PACKET = 2048
_TUNNELS = (packets.IPIP, packets.IPV6_IN, packets.GRE, packets.UDP)


_Answer = Segment | Refusal | Outcome


class _Probe:
    def __init__(
        self, way: Passage, port: int, interfaces: frozenset[str], question: Question | None
    ) -> None:
        self.passage = way
        self.port = port
        self.interfaces = interfaces
        self.question = question
        self.sequence = secrets.randbits(32)
        self.answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self.claimed = asyncio.Event()
        self.alive = False
        self.elsewhere = ""
        self.right = False

    @property
    def local(self) -> tuple[Address, int]:
        return self.passage.source, self.port

    def packet(self) -> bytes:
        """What is asked."""
        if self.question is None:
            return packets.tcp(self.local, self.passage.peer, self.sequence, 0, SYN)
        return packets.udp(self.local, self.passage.peer, self.question.payload)

    def take(self, came: Segment | Datagram, interface: str) -> None:
        """Something came to this probe's port."""
        answer = self._answer(came)
        if answer is None:
            self.alive |= came.source == self.passage.destination.key.address
        elif self.passage.by_gateway and interface not in self.interfaces:
            self.elsewhere = interface  # a bond's answer comes by its slave first
            asyncio.get_running_loop().call_later(CLAIM, self.settle, answer)
        else:
            self.right = True
            self.settle(answer)

    def settle(self, answer: _Answer) -> None:
        """That is it."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def _answer(self, came: Segment | Datagram) -> _Answer | None:
        from_peer = (came.source, came.source_port) == self.passage.peer
        if not from_peer or came.destination != self.passage.source:
            return None
        if isinstance(came, Datagram):
            return self.question.judge(came.payload) if self.question else None
        after = (self.sequence + 1) & 0xFFFFFFFF
        ours = came.flags & ACK and came.acknowledgement == after and not self.question
        return came if ours else None


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
        question: Question | None = None,
        source: Address | None = None,
        far: Address | None = None,
    ) -> Outcome:
        """One handshake, or ``question``, through the data path before the loop's ``deadline``.

        ``source``: the director's address to ask from, where the way's own is of the other
        family. ``far``: with NAT, one that the server reaches by its default route only.
        """
        if way.local:
            return Outcome(ok=True, cause="on the director itself: no forwarding to probe")
        try:
            going = passage(service, destination, way, source, far)
        except Impossible as why:
            return not_asked(str(why))
        if (service.key.protocol == Protocol.UDP) == (question is None):
            return not_asked("UDP_CHECK and DNS_CHECK are for UDP services, others are for TCP")
        try:
            return await self._ask(going, way, deadline, question)
        except OSError as error:
            return not_asked(f"cannot probe through the data path: {sockets.lack(error)}")

    async def _ask(
        self, going: Passage, way: Way, deadline: float, question: Question | None
    ) -> Outcome:
        if self._listener is None:
            self._open()
        port = self._free_port()
        if not port:
            return not_asked("all ports for probes through the data path are in use")
        probe = _Probe(going, port, _names(way.ifindex, going.hop.ifindex), question)
        self._probes[port] = probe
        begin = self._loop.time()
        try:
            answer = await self._answer(probe, begin, deadline)
            if answer is not None and going.claims and not probe.claimed.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CLAIM):
                        await probe.claimed.wait()
        finally:
            del self._probes[port]
        return _outcome(probe, answer, deadline - begin)

    async def _answer(self, probe: _Probe, begin: float, deadline: float) -> _Answer | None:
        going = probe.passage
        packet = probe.packet()
        first = wait = min(RESEND, (deadline - begin) / 3)
        while (now := self._loop.time()) < deadline:
            if going.claims:
                self._send(going, going.question())
            self._send(going, going.frame(packet, probe.port))
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
        answer = probe.answer.result()
        if not isinstance(answer, Segment) or answer.flags & RST:
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

    def _take(self, came: packets.Came | None, interface: str, mac: bytes) -> None:
        if isinstance(came, Segment | Datagram):
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
            probe.settle(came)
        if came.protocol in _TUNNELS:
            for each in self._probes.values():
                going = each.passage
                server = going.destination.key.address
                if going.destination.method == Method.TUN and came.destination == server:
                    each.settle(came)


def _outcome(probe: _Probe, answer: _Answer | None, seconds: float) -> Outcome:
    going = probe.passage
    if probe.claimed.is_set():
        return failed(diagnosis.claimed(going))
    if probe.elsewhere and not probe.right:
        return failed(diagnosis.elsewhere(going, probe.elsewhere))
    if answer is None:
        if probe.question is not None and probe.question.silence is not None:
            return probe.question.silence
        return failed(diagnosis.silence(going, seconds, alive=probe.alive))
    return _meaning(going, answer)


def _meaning(going: Passage, answer: _Answer) -> Outcome:
    match answer:
        case Refusal():
            return failed(diagnosis.unreachable(going, answer))
        case Segment():
            return failed(diagnosis.refused(going)) if answer.flags & RST else GOOD
        case Outcome():
            return answer


def _names(*indices: int) -> frozenset[str]:
    names = set()
    for index in filter(None, indices):
        with contextlib.suppress(OSError):
            names.add(socket.if_indextoname(index))
    return frozenset(names)
