# SPDX-License-Identifier: Apache-2.0
"""SYN proxy with whatever options clients and servers send, in any order, whole or broken.

What is read of them is what a receiver reads (RFC 9293 3.1); what is not the proxy's to change
comes out byte by byte as it went in.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from xlvs.datapath.records import Method

from . import world as w
from .syn_cookie import MSS, mss_index
from .test_forwarding import FAMILIES
from .test_syn_proxy import BOTH, ISN, SERVER_ISN, answer, proxied
from .test_toa import known, parts, right
from .world import Out, World

_WORD = 0xFFFFFFFF
_PORT, _STAMP, _SERVER_STAMP = 40000, 800, 5000
PROMISED = 7
"""The window scale that the service offers."""
END, NOP, MSS_KIND, SCALE, PERMITTED, SACK, STAMPS = 0, 1, 2, 3, 4, 5, 8
LENGTHS = {MSS_KIND: 4, SCALE: 3, PERMITTED: 2, STAMPS: 10}

BODIES = st.one_of(
    st.sampled_from(sorted(LENGTHS)).flatmap(
        lambda kind: st.binary(min_size=LENGTHS[kind] - 2, max_size=LENGTHS[kind] - 2).map(
            lambda body: bytes((kind, len(body) + 2)) + body
        )
    ),
    st.integers(1, 4).flatmap(
        lambda blocks: st.binary(min_size=8 * blocks, max_size=8 * blocks).map(
            lambda body: bytes((SACK, len(body) + 2)) + body
        )
    ),
    st.just(bytes((NOP,))),
    st.builds(  # of another length than it should have, or of kinds that are nobody's here
        lambda kind, body: bytes((kind, len(body) + 2)) + body,
        st.sampled_from([2, 3, 4, 5, 8, 30, 34, 253]),
        st.binary(max_size=12),
    ),
)
LAYOUTS = st.one_of(st.lists(BODIES, max_size=8).map(b"".join), st.binary(max_size=40)).map(
    lambda raw: raw[:40] + bytes(-len(raw[:40]) % 4)
)
NUMBERS = st.integers(0, _WORD)
BOUNDED = hypothesis_settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Said(NamedTuple):
    """What a receiver reads; None: nothing of that kind."""

    mss: int | None
    scale: int | None
    permitted: bool
    stamps: tuple[int, int] | None

    @classmethod
    def by(cls, options: bytes) -> Said:
        """The last one of a kind counts, one of a wrong length never."""
        mss = scale = stamps = None
        permitted = False
        for kind, length, *body in known(options):
            raw = bytes(body)
            if kind == MSS_KIND and length == LENGTHS[kind]:
                mss = int.from_bytes(raw, "big")
            elif kind == SCALE and length == LENGTHS[kind]:
                scale = min(raw[0], 14)
            elif kind == PERMITTED:
                permitted = True
            elif kind == STAMPS and length == LENGTHS[kind]:
                stamps = struct.unpack(">II", raw)
        return cls(mss, scale, permitted, stamps)


class Numbers(NamedTuple):
    """Of a TCP header."""

    seq: int
    ack: int
    flags: int
    window: int

    @classmethod
    def of(cls, packet: Packet) -> Numbers:
        raw = bytes(packet.getlayer(IPv6) or packet.getlayer(IP))
        return cls(*struct.unpack_from(">IIxBH", raw, (40 if raw[0] >> 4 == 6 else 20) + 4))


def header(numbers: Numbers, sport: int, dport: int, options: bytes) -> TCP:
    return TCP(
        sport=sport,
        dport=dport,
        seq=numbers.seq & _WORD,
        ack=numbers.ack & _WORD,
        flags=numbers.flags,
        window=numbers.window,
        dataofs=5 + len(options) // 4,
    )


SYN, ACK = 0x02, 0x10


def from_client(v6: bool, numbers: Numbers, options: bytes, payload: bytes = b"") -> Packet:
    ip = IPv6(src=w.CLIENT6, dst=w.VIP6) if v6 else IP(src=w.CLIENT, dst=w.VIP)
    return ip / header(numbers, _PORT, 80, options) / (options + payload)


def from_server(
    method: Method, v6: bool, port: int, numbers: Numbers, options: bytes, payload: bytes = b""
) -> Packet:
    client, local = (w.CLIENT6, w.LIP6) if v6 else (w.CLIENT, w.LIP)
    to = local if method is Method.FULLNAT else client
    ip = IPv6(src=w.server6(1), dst=to) if v6 else IP(src=w.server(1), dst=to)
    return ip / header(numbers, 80, port, options) / (options + payload)


def stamps(stamp: int, echo: int) -> bytes:
    return struct.pack(">BBBBII", NOP, NOP, STAMPS, 10, stamp, echo)


def came(out: Out, reason: str) -> tuple[Numbers, bytes, bytes]:
    """Numbers, options, payload of a packet that is right."""
    assert (out.verdict, out.reason) == ("send", reason)
    assert right(out.packet)
    return Numbers.of(out.packet), *parts(out.packet)


class Opened(NamedTuple):
    """A connection. ``promised``: of both, what the client was told; ``port``: the server's."""

    cookie: int
    promised: int
    port: int


def syn(mss: int = 1460) -> bytes:
    return struct.pack(">BBHBBBBIIBBBB", 2, 4, mss, 4, 2, 8, 10, _STAMP, 0, 1, 3, 3, 9)


def nearly_linux(at: int, byte: int) -> bytes:
    """Linux's SYN, one byte otherwise: what is read at once must be nothing else."""
    options = bytearray(syn())
    options[at] = byte
    return bytes(options)


NEARLY_LINUX = st.builds(nearly_linux, st.integers(0, 19), st.integers(0, 255))


def syn_ack(scale: int = 10) -> bytes:
    return struct.pack(
        ">BBHBBBBIIBBBB", 2, 4, 1460, 4, 2, 8, 10, _SERVER_STAMP, _STAMP, 1, 3, 3, scale
    )


def asked(director: World, v6: bool, options: bytes) -> tuple[Numbers, bytes]:
    """What a client's SYN is answered with: numbers, options."""
    out = director.client(from_client(v6, Numbers(ISN, 0, SYN, 64000), options))
    numbers, offered, payload = came(out, "reply_syn_cookie")
    assert payload == b""
    return numbers, offered


def opened(director: World, method: Method, v6: bool, theirs: bytes) -> Opened:
    """With time stamps and a scale of the client's, 9; the server's SYN-ACK has these options."""
    told, offered = asked(director, v6, syn())
    stamp = Said.by(offered).stamps
    assert stamp
    numbers = Numbers(ISN + 1, told.seq + 1, ACK, 500)
    director.client(from_client(v6, numbers, stamps(_STAMP, stamp[0])))
    (found,) = director.connections()
    port = found.local_port if method is Method.FULLNAT else _PORT
    numbers = Numbers(SERVER_ISN, ISN + 1, SYN | ACK, 65160)
    to_client, to_server = answer(director, from_server(method, v6, port, numbers, theirs))
    assert right(to_client)
    assert right(to_server)
    return Opened(told.seq, stamp[0], port)


@FAMILIES
@given(options=LAYOUTS | NEARLY_LINUX, payload=st.binary(max_size=9))
@BOUNDED
def test_any_syn(director: World, v6: bool, options: bytes, payload: bytes) -> None:
    """Nothing is offered that the client has not asked for, and what it said is in the cookie."""
    director.reset()
    proxied(director, Method.NAT, v6)
    out = director.client(from_client(v6, Numbers(ISN, 0, SYN, 64000), options, payload))
    numbers, offered, rest = came(out, "reply_syn_cookie")
    said, ours = Said.by(options), Said.by(offered)
    assert rest == b""
    assert numbers[1:] == ((ISN + 1) & _WORD, SYN | ACK, 0)
    assert ours.mss == (1440 if v6 else 1460)
    least = 1220 if v6 else 536
    assert numbers.seq >> 2 & 7 == mss_index(said.mss or least)
    assert (ours.stamps is None) == (said.stamps is None)
    if said.stamps is None or ours.stamps is None:
        assert (ours.permitted, ours.scale) == (False, None)
        return
    assert ours.stamps[1] == said.stamps[0]
    assert ours.permitted == said.permitted
    assert ours.scale == (None if said.scale is None else PROMISED)
    assert ours.stamps[0] & 0xF == (0xF if said.scale is None else said.scale)
    assert not director.connections()


@FAMILIES
@BOTH
@given(options=LAYOUTS, mss=st.integers(0, 65535), window=st.integers(0, 65535))
@BOUNDED
def test_any_acknowledgement(
    director: World, v6: bool, method: Method, options: bytes, mss: int, window: int
) -> None:
    """The SYN that the server gets says what the client's time stamp has brought back."""
    director.reset()
    proxied(director, method, v6)
    told, _ = asked(director, v6, syn(mss))
    numbers = Numbers(ISN + 1, told.seq + 1, ACK, window)
    out = director.client(from_client(v6, numbers, options))
    made, asks, payload = came(out, f"fwd_{method.name.lower()}")
    said, theirs = Said.by(options), Said.by(asks)
    assert payload == b""
    assert made[:3] == (ISN, 0, SYN)
    assert theirs.mss is not None
    assert theirs.mss <= max(MSS[mss_index(mss or (1220 if v6 else 536))], MSS[0])
    assert (theirs.stamps is None) == (said.stamps is None)
    if said.stamps is None:
        assert (theirs.permitted, theirs.scale, made.window) == (False, None, window)
        return
    stamp, echo = said.stamps
    assert theirs.stamps == (stamp, 0)
    assert theirs.permitted == bool(echo & 0x10)
    scale = echo & 0xF
    assert theirs.scale == (None if scale == 0xF else scale)
    assert made.window == min(window << (0 if scale == 0xF else scale), 65535)


@FAMILIES
@BOTH
@given(theirs=LAYOUTS, options=LAYOUTS, payload=st.binary(max_size=9), seq=NUMBERS, ack=NUMBERS)
@BOUNDED
def test_any_segment_of_a_client(
    director: World,
    v6: bool,
    method: Method,
    theirs: bytes,
    options: bytes,
    payload: bytes,
    seq: int,
    ack: int,
) -> None:
    """Its acknowledgements, and the server's stamps that it has seen, in the server's numbers."""
    director.reset()
    proxied(director, method, v6)
    made = opened(director, method, v6, theirs)
    servers = Said.by(theirs)
    out = director.client(from_client(v6, Numbers(seq, ack, ACK, 300), options, payload))
    numbers, seen, rest = came(out, f"fwd_{method.name.lower()}")
    delta = made.cookie - SERVER_ISN
    assert rest == payload
    scaled = 300 if servers.scale is not None else min(300 << 9, 65535)
    assert numbers == (seq, (ack - delta) & _WORD, ACK, scaled)
    shift = None if servers.stamps is None else made.promised - servers.stamps[0]
    assert seen == to_server(options, delta, shift)


@FAMILIES
@BOTH
@given(theirs=LAYOUTS, options=LAYOUTS, payload=st.binary(max_size=9), seq=NUMBERS, ack=NUMBERS)
@BOUNDED
def test_any_segment_of_a_server(
    director: World,
    v6: bool,
    method: Method,
    theirs: bytes,
    options: bytes,
    payload: bytes,
    seq: int,
    ack: int,
) -> None:
    """Its numbers and stamps as the client was told; what it acknowledges is the client's own."""
    director.reset()
    proxied(director, method, v6)
    made = opened(director, method, v6, theirs)
    servers = Said.by(theirs)
    numbers = Numbers(seq, ack, ACK, 300)
    packet = from_server(method, v6, made.port, numbers, options, payload)
    numbers, seen, rest = came(director.server(packet), "fwd_reply")
    assert rest == payload
    bytes_ = 300 << (servers.scale or 0)
    window = min(bytes_ >> PROMISED, 65535) or 1
    assert numbers == ((seq + made.cookie - SERVER_ISN) & _WORD, ack, ACK, window)
    shift = None if servers.stamps is None else made.promised - servers.stamps[0]
    assert seen == to_client(options, shift)


def places(options: bytes) -> list[tuple[int, int, int]]:
    """Where options are, of which kind and how long."""
    found, at = [], 0
    while at < len(options) and options[at] != END:
        if options[at] == NOP:
            at += 1
            continue
        if at + 1 >= len(options) or not 2 <= options[at + 1] <= len(options) - at:
            break
        found.append((at, options[at], options[at + 1]))
        at += options[at + 1]
    return found


def last(options: bytes, kind: int, length: int = 0) -> tuple[int, int]:
    """Where the last one of a kind, and of this length, begins, and its length; (0, 0): none."""
    found = [(at, size) for at, k, size in places(options) if k == kind]
    found = [each for each in found if not length or each[1] == length]
    return found[-1] if found else (0, 0)


def moved(options: bytes, at: int, by: int) -> bytes:
    """A number within them is another one."""
    (number,) = struct.unpack_from(">I", options, at)
    return options[:at] + struct.pack(">I", (number + by) & _WORD) + options[at + 4 :]


def to_client(options: bytes, shift: int | None) -> bytes:
    at, length = last(options, STAMPS, LENGTHS[STAMPS])
    return moved(options, at + 2, shift) if length and shift is not None else options


def to_server(options: bytes, delta: int, shift: int | None) -> bytes:
    at, length = last(options, STAMPS, LENGTHS[STAMPS])
    if length and shift is not None:
        options = moved(options, at + 6, -shift)
    at, length = last(options, SACK)
    for edge in range(2, 2 + (length - 2) // 8 * 8, 4):
        options = moved(options, at + edge, -delta)
    return options


@pytest.mark.parametrize("options", [b"", bytes.fromhex("0101050a0000000a00000014")])
def test_the_reference_moves_what_it_should(options: bytes) -> None:
    found = [
        struct.unpack_from(">II", to_server(options, 4, 1), at + 2) for at, _, _ in places(options)
    ]
    assert found == ([(6, 16)] if options else [])
