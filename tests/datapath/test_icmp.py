# SPDX-License-Identifier: Apache-2.0
"""ICMP errors that belong to a connection: both ways, quoted packet translated."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6
from scapy.packet import Packet

from xlvs.datapath.records import Method

from . import world as w
from .world import World

ROUTER = "198.51.100.7"


def quoted(packet: Packet, seen_ttl: int = 50) -> bytes:
    copy = packet.copy()
    copy.ttl = seen_ttl
    return bytes(copy)[:48]


def open_flow(director: World, method: Method, port: int = 80) -> Packet:
    """A UDP connection of the client; the packet as the server saw it."""
    local = (w.LIP,) if method is Method.FULLNAT else ()
    service = director.service(port=53, protocol=w.UDP, local=local)
    director.destination(service, 1, method, port=port)
    out = director.client(IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=40000, dport=53) / b"query")
    assert out.verdict == "send"
    packet: Packet = out.packet[IP]
    return packet


@pytest.mark.parametrize("method", [Method.NAT, Method.FULLNAT])
def test_error_from_the_server_side_is_the_vips(director: World, method: Method) -> None:
    seen = open_flow(director, method, port=5353)
    error = (
        IP(src="192.168.200.99", dst=seen.src)
        / ICMP(type=3, code=4, nexthopmtu=1400)
        / quoted(seen)
    )
    out = director.server(error)
    assert (out.verdict, out.reason) == ("send", "fwd_icmp_out")
    ip = out.packet[IP]
    assert (ip.src, ip.dst, ip.ttl) == (w.VIP, w.CLIENT, 63)
    assert (ip[ICMP].type, ip[ICMP].code, ip[ICMP].nexthopmtu) == (3, 4, 1400)
    inner = IP(bytes(ip[ICMP].payload))
    assert (inner.src, inner.dst) == (w.CLIENT, w.VIP)
    assert (inner[UDP].sport, inner[UDP].dport) == (40000, 53)
    assert _sums(ip)


@pytest.mark.parametrize("method", [Method.NAT, Method.FULLNAT])
def test_error_from_the_client_side_reaches_the_server(director: World, method: Method) -> None:
    seen = open_flow(director, method, port=5353)
    reply = IP(src=w.VIP, dst=w.CLIENT) / UDP(sport=53, dport=40000) / b"answer"
    error = IP(src=ROUTER, dst=w.VIP) / ICMP(type=11, code=0) / quoted(reply)
    out = director.client(error)
    assert (out.verdict, out.reason) == ("send", "fwd_icmp_in")
    assert out.packet.dst == w.server_mac(1)
    ip = out.packet[IP]
    assert ip.src == (ROUTER if method is Method.NAT else w.LIP)
    assert (ip.dst, ip.ttl) == (w.server(1), 63)
    inner = IP(bytes(ip[ICMP].payload))
    assert (inner.src, inner.dst) == (w.server(1), seen.src)
    assert (inner[UDP].sport, inner[UDP].dport) == (5353, seen[UDP].sport)
    assert _sums(ip)


def test_dr_passes_the_error_on_as_it_is(director: World) -> None:
    open_flow(director, Method.DR, port=53)
    reply = IP(src=w.VIP, dst=w.CLIENT) / UDP(sport=53, dport=40000) / b"answer"
    error = IP(src=ROUTER, dst=w.VIP) / ICMP(type=3, code=3) / quoted(reply)
    out = director.client(error)
    assert (out.reason, out.packet.dst) == ("fwd_icmp_in", w.server_mac(1))
    assert (out.packet[IP].src, out.packet[IP].dst) == (ROUTER, w.VIP)
    assert _sums(out.packet[IP])


def test_tun_carries_the_error(director: World) -> None:
    open_flow(director, Method.TUN, port=53)
    reply = IP(src=w.VIP, dst=w.CLIENT) / UDP(sport=53, dport=40000) / b"answer"
    error = IP(src=ROUTER, dst=w.VIP) / ICMP(type=3, code=3) / quoted(reply)
    out = director.client(error)
    assert out.reason == "fwd_icmp_in"
    assert (out.packet[IP].dst, out.packet[IP].proto) == (w.server(1), 4)
    inner = IP(bytes(out.packet[IP].payload))
    assert (inner.src, inner.dst, inner.ttl) == (ROUTER, w.VIP, 63)


def test_too_big_in_the_tunnel_is_told_to_the_client_and_remembered(director: World) -> None:
    outer = open_flow(director, Method.TUN, port=53)
    error = (
        IP(src="192.168.200.99", dst=w.DIRECTOR1)
        / ICMP(type=3, code=4, nexthopmtu=1200)
        / bytes(outer)
    )
    out = director.server(error)
    assert (out.verdict, out.reason) == ("send", "reply_tunnel_error")
    ip = out.packet[IP]
    assert (ip.src, ip.dst, ip[ICMP].nexthopmtu) == (w.VIP, w.CLIENT, 1480)
    assert out.packet.dst == w.CLIENT_MAC
    assert _sums(ip)
    big = IP(src=w.CLIENT, dst=w.VIP, flags="DF") / UDP(sport=40000, dport=53) / (b"x" * 1300)
    out = director.client(big)
    assert out.reason == "reply_too_big"
    assert out.packet[IP][ICMP].nexthopmtu == 1180


@pytest.mark.parametrize("method", list(Method))
def test_a_damaged_error_is_dropped(director: World, method: Method) -> None:
    open_flow(director, method, port=53)
    reply = IP(src=w.VIP, dst=w.CLIENT) / UDP(sport=53, dport=40000) / b"answer"
    error = IP(src=ROUTER, dst=w.VIP) / ICMP(type=3, code=3, chksum=0x1234) / quoted(reply)
    out = director.client(error)
    assert (out.verdict, out.reason) == ("drop", "drop_icmp_checksum")


@pytest.mark.parametrize("reply", [False, True])
def test_icmpv6_errors_through_nat(director: World, reply: bool) -> None:
    """The kernel drops valid ones from the server side; we translate them."""
    service = director.service(w.VIP6, 80)
    director.destination(service, 1, Method.NAT, port=8080, v6=True)
    out = director.client(IPv6(src=w.CLIENT6, dst=w.VIP6) / TCP(sport=40000, dport=80, flags="S"))
    if reply:
        error = (
            IPv6(src=w.server6(1), dst=w.CLIENT6)
            / ICMPv6DestUnreach(code=4)
            / bytes(out.packet[IPv6])
        )
        out = director.server(error)
        assert out.reason == "fwd_icmp_out"
        assert (out.packet[IPv6].src, out.packet[IPv6].dst) == (w.VIP6, w.CLIENT6)
    else:
        answer = IPv6(src=w.VIP6, dst=w.CLIENT6) / TCP(sport=80, dport=40000, flags="SA")
        error = IPv6(src="2001:db8:9::9", dst=w.VIP6) / ICMPv6PacketTooBig(mtu=1280) / bytes(answer)
        out = director.client(error)
        assert out.reason == "fwd_icmp_in"
        assert out.packet[IPv6].dst == w.server6(1)
    ip = out.packet[IPv6]
    assert ip.hlim == 63
    inner = IPv6(bytes(ip.payload)[8:])
    expected = (w.CLIENT6, w.VIP6) if reply else (w.server6(1), w.CLIENT6)
    assert (inner.src, inner.dst) == expected
    stored = ip.payload.cksum
    del ip.payload.cksum
    assert IPv6(bytes(ip)).payload.cksum == stored


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (IP(src=w.CLIENT, dst=w.VIP) / ICMP(type=8) / b"ping", "pass_icmp"),
        (IPv6(src=w.CLIENT6, dst=w.VIP6) / ICMPv6EchoRequest(), "pass_icmp"),
        (
            IP(src=ROUTER, dst=w.VIP)
            / ICMP(type=3, code=3)
            / quoted(IP(src=w.VIP, dst=w.CLIENT) / UDP(sport=53, dport=49999) / b"?"),
            "pass_icmp_no_connection",
        ),
        (IP(src=ROUTER, dst=w.VIP) / ICMP(type=3, code=3) / b"\x45\x00", "pass_icmp"),
    ],
)
def test_the_hosts_own_icmp_is_passed(director: World, packet: Packet, reason: str) -> None:
    director.service(port=53, protocol=w.UDP)
    frame = bytes(w.Ether(src=w.CLIENT_MAC, dst=w.MAC0) / packet)
    out = director.run(frame)
    assert (out.verdict, out.reason, out.raw) == ("pass", reason, frame)


def _sums(ip: Packet) -> bool:
    """IP and ICMP checksums, whatever the quoted packet's are."""
    stored = (ip.chksum, ip[ICMP].chksum)
    raw = bytes(ip)
    head = bytearray(raw[: ip.ihl * 4])
    head[10:12] = b"\0\0"
    body = bytearray(raw[ip.ihl * 4 : ip.len])
    body[2:4] = b"\0\0"
    return stored == (_checksum(bytes(head)), _checksum(bytes(body)))


def _checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
