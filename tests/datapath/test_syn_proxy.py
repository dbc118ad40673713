# SPDX-License-Identifier: Apache-2.0
"""SYN proxy: each packet of the handshakes, and the translation after them, on both hooks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, TCPerror
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from xlvs.datapath import records as r
from xlvs.datapath import testrun
from xlvs.datapath.records import Method
from xlvs.io.arrivals import arrivals
from xlvs.model import service as model

from . import world as w
from .syn_cookie import MSS, Ends, cookie, mss_index, siphash24
from .test_admission import Guard
from .test_forwarding import FAMILIES
from .world import Out, World

BOTH = pytest.mark.parametrize("method", [Method.NAT, Method.FULLNAT], ids=lambda m: m.name.lower())
KEYS = (0x0706050403020100, 0x0F0E0D0C0B0A0908, 0x1122334455667788, 0x99AABBCCDDEEFF00)
OTHERS = tuple(~each & 0xFFFFFFFFFFFFFFFF for each in KEYS)
SLOT_SECONDS = 64
FLAGS = r.ServiceFlag.USED | r.ServiceFlag.SYN_PROXY
ON = FLAGS | r.ServiceFlag.SYN_COOKIES
ALL_OFFERS = int(r.SynOffer.STAMPS | r.SynOffer.SACK | r.SynOffer.SCALE)
ISN = 0xFFFFFF00  # wraps soon
SERVER_ISN = 4_000_000_000
LINUX = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (777, 0)), ("NOP", None), ("WScale", 9)]
BARE = [("MSS", 1400)]
_WORD = 0xFFFFFFFF


class Opened(NamedTuple):
    """A connection whose server has answered."""

    cookie: int
    stamp: int  # what the client was told
    local_port: int


def proxied(director: World, method: Method, v6: bool, flags: int = ON, **more: object) -> int:
    """A service with SYN proxy and a server; the server's id."""
    local = (w.LIP6 if v6 else w.LIP,) if method is Method.FULLNAT else ()
    record = {"syn_offers": ALL_OFFERS, "syn_scale": 7, "syn_mss": 1440 if v6 else 1460} | more
    service = director.service(w.VIP6 if v6 else w.VIP, local=local, flags=flags, **record)
    director.set(syn_proxies=1, syn_cookies=cookies(director))
    return director.destination(service, 1, method, v6=v6)


def client(
    v6: bool, flags: str, seq: int, ack: int = 0, options: object = (), **more: int
) -> Packet:
    ip = IPv6(src=w.CLIENT6, dst=w.VIP6) if v6 else IP(src=w.CLIENT, dst=w.VIP)
    fields = {"sport": 40000, "dport": 80, "window": 500} | more
    return ip / TCP(flags=flags, seq=seq & _WORD, ack=ack & _WORD, options=list(options), **fields)


def server(
    method: Method,
    v6: bool,
    port: int,
    flags: str,
    seq: int,
    ack: int,
    options: object = (),
    **more: int,
) -> Packet:
    source = w.server6(1) if v6 else w.server(1)
    own = (w.LIP6 if v6 else w.LIP) if method is Method.FULLNAT else (w.CLIENT6 if v6 else w.CLIENT)
    ip = IPv6(src=source, dst=own) if v6 else IP(src=source, dst=own)
    fields = {"sport": 80, "dport": port, "window": 65160} | more
    return ip / TCP(flags=flags, seq=seq & _WORD, ack=ack & _WORD, options=list(options), **fields)


def cookies(
    director: World, slots: int = 0, key: tuple[int, ...] = KEYS + 4 * (0,)
) -> r.SynCookies:
    """What packets go by, so many slots later."""
    ticks = SLOT_SECONDS * director.hz
    return r.SynCookies(slots * ticks % (1 << 64), key, ticks, any(key[4:]))


def waiting(director: World) -> list[r.SynPending]:
    """Servers that have not answered their SYN."""
    codec = director.layout.codec(r.SynPending)
    return [codec.unpack(raw) for _, raw in director.path.map("syn_pending").items()]


def ends(v6: bool) -> Ends:
    return Ends(w.CLIENT6 if v6 else w.CLIENT, 40000, w.VIP6 if v6 else w.VIP, 80)


def options_of(packet: Packet) -> dict[str, object]:
    return {name: value for name, value in packet[TCP].options if name != "NOP"}


def answered(director: World, v6: bool, options: object = LINUX, isn: int = ISN) -> Packet:
    """The SYN-ACK for a client's SYN."""
    out = director.client(client(v6, "S", isn, options=options))
    assert (out.verdict, out.reason) == ("send", "reply_syn_cookie")
    assert w.right(out.packet)
    return out.packet


def acknowledged(director: World, v6: bool, said: Packet, isn: int = ISN, **more: int) -> Out:
    """What becomes of the client's acknowledgement."""
    stamp = options_of(said).get("Timestamp")
    options = [("NOP", None), ("NOP", None), ("Timestamp", (800, stamp[0]))] if stamp else []
    return director.client(client(v6, "A", isn + 1, said[TCP].seq + 1, options, **more))


@contextmanager
def heard(link: str) -> Iterator[list[Packet]]:
    """TCP packets of ours that leave by eth0 or eth1: what is at the other end of the pair."""
    told: list[Packet] = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as listening:
        listening.bind((link.replace("eth", "w"), 0))
        yield told
        listening.settimeout(0)
        while True:
            try:
                frame = Ether(listening.recv(2048))
            except BlockingIOError:
                break
            if TCP in frame:
                told.append(frame)


def answer(director: World, packet: Packet) -> tuple[Packet, Packet]:
    """A server's SYN-ACK: what goes to the client, and what back to the server."""
    frame = bytes(Ether(src=w.server_mac(1), dst=w.MAC1) / packet)
    with heard("eth1") as told:
        if director.hook == "xdp":
            out = director.run(frame, "eth1")
            assert (out.verdict, out.reason) == ("pass", "pass_syn_ack")
            assert out.raw == frame
            program = director.path.programs["xlvs_tc_answers"]
            result = testrun.test_run(
                program, frame, ctx=testrun.tc_context(director.ifindex["eth1"])
            )
            assert result.retval == 7, "TC_ACT_REDIRECT"
            to_client = Ether(result.data_out)
        else:
            out = director.run(frame, "eth1")
            assert (out.verdict, out.reason) == ("send", "fwd_reply")
            to_client = out.packet
    (to_server,) = told
    assert w.right(to_client)
    assert w.right(to_server)
    return to_client, to_server


def opened(
    director: World, method: Method, v6: bool, options: object = LINUX, theirs: object = None
) -> Opened:
    said = answered(director, v6, options)
    out = acknowledged(director, v6, said)
    assert out.reason == f"fwd_{method.name.lower()}"
    (found,) = director.connections()
    port = found.local_port if method is Method.FULLNAT else 40000
    stamps = options_of(out.packet).get("Timestamp")
    if theirs is None:
        theirs = [("MSS", 1460)]
        if stamps:
            theirs += [("SAckOK", b""), ("Timestamp", (5000, stamps[0])), ("WScale", 10)]
    answer(director, server(method, v6, port, "SA", SERVER_ISN, ISN + 1, theirs))
    told = options_of(said).get("Timestamp", (0, 0))
    return Opened(said[TCP].seq, told[0], port)


def test_the_reference_is_siphash() -> None:
    """The first of the authors' test vectors that has whole words only: eight bytes."""
    key = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
    assert siphash24(key, []) == 0x726FDB47DD0E0E31
    assert siphash24(key, [0x0706050403020100]) == 0x93F5F5799A932462


@FAMILIES
@pytest.mark.parametrize("mss", [100, 536, 1219, 1220, 1439, 1440, 1460, 65495])
def test_a_syn_is_answered_with_a_cookie(director: World, v6: bool, mss: int) -> None:
    proxied(director, Method.NAT, v6)
    before = director.path.ticks64() // (SLOT_SECONDS * director.hz)
    said = answered(director, v6, [("MSS", mss), *LINUX[1:]])
    after = director.path.ticks64() // (SLOT_SECONDS * director.hz)
    tcp = said[TCP]
    assert tcp.seq in {cookie(KEYS, ends(v6), ISN, s, mss_index(mss)) for s in (before, after)}
    assert (tcp.ack, tcp.window, str(tcp.flags)) == (ISN + 1 & _WORD, 0, "SA")
    offered = options_of(said)
    assert (offered["MSS"], offered["WScale"]) == (1440 if v6 else 1460, 7)
    assert "SAckOK" in offered
    assert offered["Timestamp"][1] == 777
    assert offered["Timestamp"][0] & 0x1FF == 9 | 0x10 | 7 << 5, "scales and SACK"
    assert (said.src, said.dst) == (w.MAC0, w.CLIENT_MAC)
    ip = said[IPv6 if v6 else IP]
    assert (ip.src, ip.dst, tcp.sport, tcp.dport) == (ends(v6).virtual, ends(v6).client, 80, 40000)
    assert not director.connections()


@FAMILIES
def test_a_client_without_time_stamps_is_promised_an_mss_alone(director: World, v6: bool) -> None:
    proxied(director, Method.NAT, v6, syn_mss=1300)
    said = answered(director, v6, [("MSS", 1460), ("SAckOK", b""), ("WScale", 3)])
    assert said[TCP].options == [("MSS", 1300)]


@FAMILIES
@BOTH
@pytest.mark.parametrize("options", [LINUX, BARE, []], ids=["linux", "mss", "none"])
def test_the_acknowledgement_becomes_the_syn(
    director: World, v6: bool, method: Method, options: list[tuple[str, object]]
) -> None:
    id_ = proxied(director, method, v6)
    said = answered(director, v6, options)
    out = acknowledged(director, v6, said)
    assert (out.verdict, out.reason) == ("send", f"fwd_{method.name.lower()}")
    assert w.right(out.packet)
    tcp = out.packet[TCP]
    assert (str(tcp.flags), tcp.seq, tcp.ack) == ("S", ISN, 0)
    asked = {"MSS": MSS[mss_index(dict(options).get("MSS", 1220 if v6 else 536))]}
    if options is LINUX:
        asked |= {"SAckOK": b"", "Timestamp": (800, 0), "WScale": 9}
    assert options_of(out.packet) == asked
    assert tcp.window == min(500 << (9 if options is LINUX else 0), 65535)
    assert not bytes(tcp.payload).strip(b"\0")
    (found,) = director.connections()
    assert (found.state, found.half_open) == ("SYN_RECV", False)
    assert director.load(id_) == (1, 0)
    assert director.stats("destination", id_).connections == 1


@FAMILIES
@BOTH
def test_the_servers_answer_completes_both_handshakes(
    director: World, v6: bool, method: Method
) -> None:
    proxied(director, method, v6)
    said = answered(director, v6)
    acknowledged(director, v6, said)
    (found,) = director.connections()
    port = found.local_port if method is Method.FULLNAT else 40000
    theirs = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (5000, 800)), ("WScale", 10)]
    packet = server(method, v6, port, "SA", SERVER_ISN, ISN + 1, theirs)
    for _ in range(2):  # it comes again if one of the two was lost
        to_client, to_server = answer(director, packet)
        tcp = to_client[TCP]
        assert (str(tcp.flags), tcp.seq, tcp.ack) == ("A", said[TCP].seq + 1, ISN + 1 & _WORD)
        assert tcp.window == 65160 >> 7
        assert options_of(to_client)["Timestamp"] == (options_of(said)["Timestamp"][0], 800)
        ip = to_client[IPv6 if v6 else IP]
        assert (ip.src, ip.dst, tcp.sport, tcp.dport) == (
            ends(v6).virtual,
            ends(v6).client,
            80,
            40000,
        )
        assert (to_client.src, to_client.dst) == (w.MAC0, w.CLIENT_MAC)
        tcp = to_server[TCP]
        assert (str(tcp.flags), tcp.seq, tcp.ack) == ("A", ISN + 1 & _WORD, SERVER_ISN + 1)
        assert (tcp.sport, tcp.dport, tcp.window) == (port, 80, 500)
        assert options_of(to_server)["Timestamp"] == (800, 5000)
        assert (to_server.src, to_server.dst) == (w.MAC1, w.server_mac(1))
    assert director.state() == "SYN_RECV"
    acknowledged(director, v6, said)
    assert director.state() == "ESTABLISHED"
    assert not waiting(director)


@FAMILIES
@BOTH
@pytest.mark.parametrize("probe", [0, 1], ids=["probe", "acknowledgement"])
def test_a_lost_syn_is_sent_again_by_what_the_client_sends(
    director: World, v6: bool, method: Method, probe: int
) -> None:
    proxied(director, method, v6)
    said = answered(director, v6)
    first = acknowledged(director, v6, said, window=500)
    for _ in range(2):
        again = director.client(client(v6, "A", ISN + probe, said[TCP].seq + 1))
        assert bytes(again.packet[TCP]) == bytes(first.packet[TCP])
        assert director.state() == "SYN_RECV"


@FAMILIES
def test_a_lost_acknowledgement_is_made_up_for_by_a_probe(director: World, v6: bool) -> None:
    proxied(director, Method.NAT, v6)
    said = answered(director, v6)
    out = director.client(client(v6, "A", ISN, said[TCP].seq + 1))
    assert out.reason == "fwd_nat"
    assert (str(out.packet[TCP].flags), out.packet[TCP].seq) == ("S", ISN)


@FAMILIES
@pytest.mark.parametrize("wrong", ["seq", "ack", "port", "slot"])
def test_without_a_cookie_nothing_is_kept(director: World, v6: bool, wrong: str) -> None:
    proxied(director, Method.NAT, v6)
    said = answered(director, v6)
    seq, ack, port = ISN + 1, said[TCP].seq + 1, 40000
    if wrong == "seq":
        seq += 5
    elif wrong == "ack":
        ack += 32
    elif wrong == "port":
        port += 1
    else:
        director.set(syn_cookies=cookies(director, 2))
    out = director.client(client(v6, "A", seq, ack, sport=port))
    assert (out.verdict, out.reason) == ("send", "reply_reset")
    assert not director.connections()
    director.set(answer_rate=1)
    found = {director.client(client(v6, "A", seq, ack, sport=port)).reason for _ in range(3)}
    assert found <= {"reply_reset", "drop_syn_cookie"}
    assert "drop_syn_cookie" in found
    refused = load(director)
    assert refused.unknown + refused.expired == 4
    assert refused.expired == (4 if wrong == "slot" else 0)


@FAMILIES
@pytest.mark.parametrize(("slots", "good"), [(-2, False), (-1, True), (1, True), (2, False)])
def test_how_long_a_cookie_lives(director: World, v6: bool, slots: int, good: bool) -> None:
    """In the next slot too; and in the one before, for another director's clock is not ours."""
    proxied(director, Method.NAT, v6)
    director.set(syn_cookies=cookies(director, 5))
    said = answered(director, v6)
    director.set(syn_cookies=cookies(director, 5 + slots))
    assert acknowledged(director, v6, said).reason == ("fwd_nat" if good else "reply_reset")


@FAMILIES
def test_another_secrets_cookies_are_good_as_well(director: World, v6: bool) -> None:
    proxied(director, Method.NAT, v6)
    old, other = answered(director, v6), answered(director, v6, isn=77)
    director.set(syn_cookies=cookies(director, key=OTHERS + KEYS))
    said = answered(director, v6)
    assert said[TCP].seq & 31 == old[TCP].seq & 31
    assert said[TCP].seq != old[TCP].seq, "it is made of the new one"
    assert acknowledged(director, v6, old).reason == "fwd_nat"
    director.set(syn_cookies=cookies(director, key=OTHERS + 4 * (0,)))
    out = director.client(client(v6, "A", 78, other[TCP].seq + 1, sport=40001))
    assert out.reason == "reply_reset", "its time is over"
    assert load(director).unknown == 1


@FAMILIES
@pytest.mark.parametrize("flags", ["SA", "SF", "SAF"])
def test_what_no_client_sends_is_dropped(director: World, v6: bool, flags: str) -> None:
    proxied(director, Method.NAT, v6)
    out = director.client(client(v6, flags, 1))
    assert (out.verdict, out.reason) == ("drop", "drop_syn_cookie")
    assert not director.connections()
    assert (load(director).odd, load(director).answered) == (1, 0)


@FAMILIES
def test_not_under_attack_it_is_as_without(director: World, v6: bool) -> None:
    proxied(director, Method.NAT, v6, flags=FLAGS)
    out = director.client(client(v6, "S", ISN, options=LINUX))
    assert out.reason == "fwd_nat"
    assert out.packet[TCP].seq == ISN
    (found,) = director.connections()
    assert found.half_open
    assert not found.word & r.ConnectionFlag.SPECIAL
    assert director.client(client(v6, "A", 5, 5, sport=40001)).reason == "pass_not_syn"


@FAMILIES
def test_who_was_promised_something_gets_it_after_the_attack(director: World, v6: bool) -> None:
    proxied(director, Method.NAT, v6)
    said = answered(director, v6)
    attack(director, FLAGS)
    assert acknowledged(director, v6, said).reason == "fwd_nat"


@FAMILIES
@BOTH
def test_numbers_are_translated_both_ways(director: World, v6: bool, method: Method) -> None:
    proxied(director, method, v6)
    made = opened(director, method, v6)
    stamps = [("NOP", None), ("NOP", None), ("Timestamp", (6000, 900))]
    packet = server(method, v6, made.local_port, "PA", SERVER_ISN + 1, ISN + 4, stamps, window=70)
    out = director.server(packet / b"hello")
    assert out.reason == "fwd_reply"
    assert w.right(out.packet)
    tcp = out.packet[TCP]
    assert (tcp.seq, tcp.ack, tcp.window) == (made.cookie + 1 & _WORD, ISN + 4 & _WORD, 70 << 3)
    assert options_of(out.packet)["Timestamp"] == (made.stamp + 1000 & _WORD, 900)
    assert bytes(tcp.payload) == b"hello"
    sacked = [
        *stamps[:2],
        ("Timestamp", (901, made.stamp + 1000)),
        ("SAck", ((made.cookie + 10) & _WORD, (made.cookie + 20) & _WORD)),
    ]
    out = director.client(client(v6, "A", ISN + 4, made.cookie + 6, sacked))
    assert out.reason == f"fwd_{method.name.lower()}"
    assert w.right(out.packet)
    tcp = out.packet[TCP]
    assert (tcp.seq, tcp.ack, tcp.window) == (ISN + 4 & _WORD, SERVER_ISN + 6, 500)
    found = options_of(out.packet)
    assert found["Timestamp"] == (901, 6000)
    assert found["SAck"] == (SERVER_ISN + 10, SERVER_ISN + 20)


@FAMILIES
def test_a_server_that_can_less(director: World, v6: bool) -> None:
    """No time stamps, no scale: what the client was told of them is taken out of the numbers."""
    proxied(director, Method.NAT, v6)
    made = opened(director, Method.NAT, v6, theirs=[("MSS", 1460)])
    out = director.client(client(v6, "A", ISN + 1, made.cookie + 1, window=100))
    assert out.packet[TCP].window == 100 << 9
    packet = server(Method.NAT, v6, 40000, "A", SERVER_ISN + 1, ISN + 1, window=64000)
    assert director.server(packet).packet[TCP].window == 64000 >> 7
    assert (
        director.server(packet.__class__(bytes(packet))).packet[TCP].seq == made.cookie + 1 & _WORD
    )


@FAMILIES
@BOTH
def test_an_icmp_error_quotes_the_servers_number(director: World, v6: bool, method: Method) -> None:
    proxied(director, method, v6)
    made = opened(director, method, v6)
    seen = TCP(sport=80, dport=40000, seq=made.cookie + 1001 & _WORD, flags="A")
    if v6:
        quoted = IPv6(src=w.VIP6, dst=w.CLIENT6) / seen
        error = IPv6(src="fd00:100::fe", dst=w.VIP6) / ICMPv6PacketTooBig(mtu=1300) / quoted
    else:
        quoted = IP(src=w.VIP, dst=w.CLIENT) / seen
        error = IP(src="192.168.100.254", dst=w.VIP) / ICMP(type=3, code=4, nexthopmtu=1300)
        error /= quoted
    out = director.client(error)
    assert out.reason == "fwd_icmp_in"
    told = out.packet[TCPerror] if not v6 else out.packet[IPv6].payload.payload[TCPerror]
    assert (told.seq, told.sport) == (SERVER_ISN + 1001, 80)
    checksum = out.packet[ICMPv6PacketTooBig].cksum if v6 else out.packet[ICMP].chksum
    again = out.packet.copy()
    if v6:
        del again[ICMPv6PacketTooBig].cksum
        assert Ether(bytes(again))[ICMPv6PacketTooBig].cksum == checksum
    else:
        del again[ICMP].chksum
        assert Ether(bytes(again))[ICMP].chksum == checksum


@FAMILIES
@BOTH
def test_a_closed_port(director: World, v6: bool, method: Method) -> None:
    proxied(director, method, v6)
    said = answered(director, v6)
    acknowledged(director, v6, said)
    (found,) = director.connections()
    port = found.local_port if method is Method.FULLNAT else 40000
    out = director.server(server(method, v6, port, "RA", 0, ISN + 1))
    assert out.reason == "fwd_reply"
    tcp = out.packet[TCP]
    assert (str(tcp.flags), tcp.seq, tcp.ack) == ("RA", said[TCP].seq + 1 & _WORD, ISN + 1 & _WORD)
    assert w.right(out.packet)
    assert director.state() == "CLOSE"


@FAMILIES
@BOTH
def test_an_old_connection_at_the_server_is_reset(
    director: World, v6: bool, method: Method
) -> None:
    """One that waits in TIME_WAIT may answer a SYN with what it acknowledges (RFC 5961 4.2)."""
    proxied(director, method, v6)
    acknowledged(director, v6, answered(director, v6))
    (found,) = director.connections()
    port = found.local_port if method is Method.FULLNAT else 40000
    out = director.server(server(method, v6, port, "A", 12345, 54321))
    assert (out.verdict, out.reason) == ("send", "reply_reset")
    assert (str(out.packet[TCP].flags), out.packet[TCP].seq) == ("R", 54321)
    assert out.packet.dst == w.server_mac(1)
    assert director.state() == "SYN_RECV"


@FAMILIES
def test_a_client_that_gives_up_tells_the_server(director: World, v6: bool) -> None:
    proxied(director, Method.NAT, v6)
    said = answered(director, v6)
    acknowledged(director, v6, said)
    out = director.client(client(v6, "RA", ISN + 1, said[TCP].seq + 1))
    assert out.reason == "fwd_nat"
    assert (str(out.packet[TCP].flags), out.packet[TCP].seq) == ("R", ISN + 1 & _WORD)
    assert w.right(out.packet)
    assert not waiting(director)


@FAMILIES
@BOTH
def test_a_port_is_used_again(director: World, v6: bool, method: Method) -> None:
    proxied(director, method, v6)
    made = opened(director, method, v6)
    director.client(client(v6, "A", ISN + 1, made.cookie + 1))
    assert director.state() == "ESTABLISHED"
    again = 70000
    said = answered(director, v6, isn=again)
    # Nothing has changed for the old connection: anybody may have sent that SYN.
    out = director.client(client(v6, "A", ISN + 1, made.cookie + 1))
    assert out.packet[TCP].ack == SERVER_ISN + 1
    # A number that fits, and no cookie:
    out = director.client(client(v6, "A", again + 1, 99))
    assert str(out.packet[TCP].flags) == "A"
    out = acknowledged(director, v6, said, isn=again)
    assert (str(out.packet[TCP].flags), out.packet[TCP].seq) == ("S", again)
    (found,) = director.connections()
    assert found.state == "SYN_RECV"


@FAMILIES
def test_a_syn_that_comes_late_changes_nothing(director: World, v6: bool) -> None:
    proxied(director, Method.NAT, v6)
    made = opened(director, Method.NAT, v6)
    director.client(client(v6, "A", ISN + 1, made.cookie + 1))
    answered(director, v6)
    out = director.client(client(v6, "A", ISN + 1, made.cookie + 1))
    assert (str(out.packet[TCP].flags), out.packet[TCP].ack) == ("A", SERVER_ISN + 1)


@FAMILIES
def test_without_a_server_the_client_is_reset(director: World, v6: bool) -> None:
    proxied(director, Method.NAT, v6)
    said = answered(director, v6)
    director.change(0, weight=0)
    director.commit(0, r.Scheduler.RR)
    out = acknowledged(director, v6, said)
    is_reset(out, "reply_no_destination", said[TCP].seq + 1)
    director.set(answer_rate=1)
    found = {acknowledged(director, v6, said).verdict for _ in range(3)}
    assert "drop" in found


def is_reset(out: Out, reason: str, seq: int) -> None:
    """The client is told that it has no connection, and the packet counts under the cause."""
    assert (out.verdict, out.reason) == ("send", reason)
    assert (str(out.packet[TCP].flags), out.packet[TCP].seq) == ("R", seq & _WORD)
    assert w.right(out.packet)
    assert out.packet.dst == w.CLIENT_MAC


@FAMILIES
def test_without_room_the_client_is_reset(director: World, v6: bool) -> None:
    id_ = proxied(director, Method.FULLNAT, v6)
    said = answered(director, v6)
    director.set(drop_rate=1)
    is_reset(acknowledged(director, v6, said), "drop_loaded", said[TCP].seq + 1)
    director.set(drop_rate=0)
    row = director.destinations[id_].port_row
    director.path.map("port_rows").update(row, bytes(4))  # no local address
    is_reset(acknowledged(director, v6, said), "drop_local_ports", said[TCP].seq + 1)
    assert not director.connections()


def load(director: World) -> r.SynLoad:
    """Who has asked the service, who was there, who was refused."""
    return arrivals(director.path, 0).syn


@FAMILIES
def test_it_counts_who_asks_and_who_is_there(director: World, v6: bool) -> None:
    proxied(director, Method.NAT, v6)
    said = answered(director, v6)
    answered(director, v6)
    assert load(director) == r.SynLoad(syns=2, answered=2)
    acknowledged(director, v6, said)
    assert load(director) == r.SynLoad(syns=2, answered=2, proved=1)


def attack(director: World, flags: int) -> None:
    """`auto` switches itself on, or off."""
    record = director.layout.unpack(r.Service, director.path.map("services").lookup(0) or b"")
    director.path.map("services").update(0, director.layout.pack(record._replace(flags=flags)))


@FAMILIES
@BOTH
def test_syns_that_come_again_count_and_are_answered(
    director: World, v6: bool, method: Method
) -> None:
    """A flood from the same ports again and again is one as well."""
    proxied(director, method, v6, flags=FLAGS)
    for isn in (ISN, ISN, 5):
        out = director.client(client(v6, "S", isn, options=LINUX))
        assert out.reason == f"fwd_{method.name.lower()}"
    assert load(director) == r.SynLoad(syns=3)
    attack(director, ON)
    said = answered(director, v6)
    assert load(director) == r.SynLoad(syns=4, answered=1)
    (half,) = director.connections()
    assert half.half_open
    # Who is there takes its place.
    out = acknowledged(director, v6, said)
    assert (out.reason, str(out.packet[TCP].flags)) == (f"fwd_{method.name.lower()}", "S")
    (found,) = director.connections()
    assert not found.half_open
    assert load(director).proved == 1


@FAMILIES
def test_who_was_answered_by_the_server_before_is_the_servers(director: World, v6: bool) -> None:
    proxied(director, Method.NAT, v6, flags=FLAGS)
    director.client(client(v6, "S", ISN, options=LINUX))
    attack(director, ON)
    out = director.client(client(v6, "A", ISN + 1, SERVER_ISN + 1))
    assert (out.reason, out.packet[TCP].ack) == ("fwd_nat", SERVER_ISN + 1)
    (found,) = director.connections()
    assert not found.half_open
    assert load(director) == r.SynLoad(syns=1, proved=1)


@pytest.fixture
def guard(director: World) -> Guard:
    for name in ("client_sets", "client_prefixes"):
        director.path.map(name).clear()
    return Guard(director)


@FAMILIES
def test_a_denied_client_gets_no_cookie_and_is_no_attack(guard: Guard, v6: bool) -> None:
    director = guard.director
    proxied(director, Method.NAT, v6)
    said = answered(director, v6)
    guard.put("bad", [ends(v6).client])
    guard.admit(0, ends(v6).virtual, deny=("bad",))
    for packet in (
        client(v6, "S", ISN, options=LINUX),
        client(v6, "A", ISN + 1, said[TCP].seq + 1),  # of a cookie that it got before
        client(v6, "A", ISN + 1, said[TCP].seq + 99),
    ):
        out = director.client(packet)
        assert (out.verdict, out.reason) == ("drop", "drop_denied")
    assert load(director) == r.SynLoad(syns=1, answered=1)
    assert guard.refusals() == r.Refusals(denied=3)
    assert not director.connections()
    guard.admit(0, ends(v6).virtual)
    assert acknowledged(director, v6, said).reason == "fwd_nat"


@FAMILIES
def test_in_peace_lists_say_the_same(guard: Guard, v6: bool) -> None:
    director = guard.director
    proxied(director, Method.NAT, v6, FLAGS)
    guard.put("bad", [ends(v6).client])
    guard.admit(0, ends(v6).virtual, deny=("bad",))
    assert director.client(client(v6, "S", ISN)).reason == "drop_denied"
    assert director.client(client(v6, "A", ISN)).reason == "pass_not_syn"
    assert director.client(client(v6, "R", ISN)).reason == "pass_not_syn"
    assert load(director) == r.SynLoad()
    assert guard.refusals() == r.Refusals(denied=1)


@FAMILIES
def test_only_who_is_there_takes_of_a_limit(guard: Guard, v6: bool) -> None:
    director = guard.director
    server_id = proxied(director, Method.NAT, v6)
    limits = model.Limits(
        client=model.Limit(connections=1), service=model.Limit(connections=5, rate=1, burst=2)
    )
    guard.admit(0, ends(v6).virtual, counted=(server_id,), limits=limits)
    said = answered(director, v6)
    other = director.client(client(v6, "S", ISN, options=BARE, sport=40001)).packet
    for port in range(40002, 40010):
        out = director.client(client(v6, "S", ISN, sport=port))
        assert out.reason == "reply_syn_cookie"
    taken = director.layout.unpack(r.Admitted, director.path.map("admitted").lookup(0) or b"")
    assert (taken, guard.clients()) == (r.Admitted(), {})
    assert acknowledged(director, v6, said).reason == "fwd_nat"
    assert (guard.connections(), sum(guard.clients().values())) == (1, 1)
    out = director.client(client(v6, "A", ISN + 1, other[TCP].seq + 1, sport=40001))
    is_reset(out, "drop_client_connections", other[TCP].seq + 1)
    assert len(director.connections()) == 1
    assert (guard.connections(), guard.counted()) == (1, 1)


_NUMBER = st.integers(0, _WORD)
_OPTION = st.one_of(
    st.just(("NOP", None)),
    st.tuples(st.just("Timestamp"), st.tuples(_NUMBER, _NUMBER)),
    st.tuples(st.just("SAck"), st.tuples(_NUMBER, _NUMBER)),
    st.tuples(st.just("SAck"), st.tuples(_NUMBER, _NUMBER, _NUMBER, _NUMBER)),
    st.tuples(st.sampled_from([30, 253]), st.binary(min_size=0, max_size=9)),
)


def _fitting(options: list[tuple[object, object]]) -> bool:
    return (
        len(TCP(bytes(TCP(options=options))).options) >= 0
        and len(bytes(TCP(options=options))) <= 60
    )


@FAMILIES
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(options=st.lists(_OPTION, max_size=5, unique_by=lambda o: o[0]).filter(_fitting))
def test_any_layout_of_options(
    director: World, v6: bool, options: list[tuple[object, object]]
) -> None:
    director.reset()
    proxied(director, Method.NAT, v6)
    made = opened(director, Method.NAT, v6)
    delta = made.cookie - SERVER_ISN
    sent = client(v6, "PA", ISN + 1, made.cookie + 1, options) / b"odd"
    out = director.client(sent)
    assert w.right(out.packet)
    expected = TCP(bytes(sent[TCP]))
    expected.ack = SERVER_ISN + 1
    expected.chksum = out.packet[TCP].chksum
    expected.options = [_inward(option, delta, made.stamp - 5000) for option in expected.options]
    assert bytes(out.packet[TCP]) == bytes(expected)


def _inward(option: tuple[object, object], delta: int, stamps: int) -> tuple[object, object]:
    kind, value = option
    if kind == "Timestamp":
        return kind, (value[0], value[1] - stamps & _WORD)  # type: ignore[index]
    if kind == "SAck":
        return kind, tuple(each - delta & _WORD for each in value)  # type: ignore[attr-defined]
    return option


@FAMILIES
@pytest.mark.parametrize("less", ["nothing", "scale", "sack", "stamps", "all"])
def test_what_servers_do_is_noted(director: World, v6: bool, less: str) -> None:
    id_ = proxied(director, Method.NAT, v6)
    theirs = {"SAckOK": b"", "Timestamp": (5000, 800), "WScale": 10}
    gone = {"nothing": (), "scale": ("WScale",), "sack": ("SAckOK",), "stamps": ("Timestamp",)}
    for name in gone.get(less, tuple(theirs)):
        del theirs[name]
    opened(director, Method.NAT, v6, theirs=[("MSS", 1400), *theirs.items()])
    load = director.path.map("destination_load").lookup(id_) or b""
    found = director.layout.unpack(r.DestinationLoad, load)
    no = r.SynSays(0)
    no |= r.SynSays(0) if "SAckOK" in theirs else r.SynSays.NO_SACK
    no |= r.SynSays(0) if "Timestamp" in theirs else r.SynSays.NO_STAMPS
    scale = r.SynSays.SCALE | 10 << 16 if "WScale" in theirs else r.SynSays.NO_SCALE
    assert found.syn_says == int(1400 | no | scale)
    assert bool(found.syn_refused_at) is (less != "nothing")


@FAMILIES
def test_what_a_client_did_not_ask_for_says_nothing_of_the_server(
    director: World, v6: bool
) -> None:
    id_ = proxied(director, Method.NAT, v6)
    opened(director, Method.NAT, v6)
    loads = director.path.map("destination_load")
    known = director.layout.unpack(r.DestinationLoad, loads.lookup(id_) or b"").syn_says
    assert known & 0xFFFF == 1460
    said = director.client(client(v6, "S", 5, options=BARE, sport=40009)).packet
    director.client(client(v6, "A", 6, said[TCP].seq + 1, sport=40009))
    packet = server(Method.NAT, v6, 40009, "SA", SERVER_ISN, 6, [("MSS", 1300)])
    answer(director, packet)
    now = director.layout.unpack(r.DestinationLoad, loads.lookup(id_) or b"").syn_says
    assert now == known & ~0xFFFF | 1300


@FAMILIES
def test_a_promise_is_kept_that_has_changed_since(director: World, v6: bool) -> None:
    """Between the SYN-ACK and the acknowledgement: the stamp says what it was."""
    proxied(director, Method.NAT, v6)
    said = answered(director, v6)
    record = director.layout.unpack(r.Service, director.path.map("services").lookup(0) or b"")
    changed = record._replace(syn_offers=0, syn_scale=2)
    director.path.map("services").update(0, director.layout.pack(changed))
    out = acknowledged(director, v6, said)
    assert options_of(out.packet)["WScale"] == 9
    theirs = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (5000, 800)), ("WScale", 10)]
    to_client, _ = answer(
        director, server(Method.NAT, v6, 40000, "SA", SERVER_ISN, ISN + 1, theirs)
    )
    assert to_client[TCP].window == 65160 >> 7
