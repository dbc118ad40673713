# SPDX-License-Identifier: Apache-2.0
"""TUN by IP in IP, GUE and GRE: headers, checksums, sizes, sources that vary by flow."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address
from itertools import product

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import GRE
from scapy.packet import Packet, Raw

from xlvs.datapath import records as r
from xlvs.datapath.records import Method, Tunnel, TunnelFlag

from . import world as w
from .world import World

PORT = 6080
KINDS = {
    "ipip": (Tunnel.IPIP, TunnelFlag(0), 0),
    "gue": (Tunnel.GUE, TunnelFlag(0), 12),
    "gue-csum": (Tunnel.GUE, TunnelFlag.CHECKSUM, 12),
    "gue-remcsum": (Tunnel.GUE, TunnelFlag.REMOTE_CHECKSUM, 12),
    "gre": (Tunnel.GRE, TunnelFlag(0), 4),
    "gre-csum": (Tunnel.GRE, TunnelFlag.CHECKSUM, 8),
}
FAMILIES = list(product((False, True), repeat=2))
SOURCES4, SOURCES6 = IPv4Network("10.99.0.0/24"), IPv6Network("fd00:99::/112")


def tunnel(director: World, kind: str, v6: bool, outer6: bool, **changes: object) -> int:
    """A TCP service with one real server behind a tunnel; the destination's id."""
    type_, flags, _ = KINDS[kind]
    service = director.service(w.VIP6 if v6 else w.VIP)
    return director.destination(
        service,
        1,
        Method.TUN,
        v6=outer6,
        tunnel_type=type_,
        tunnel_flags=flags,
        tunnel_port=PORT,
        **changes,
    )


def segment(v6: bool, data: bytes = b"", sport: int = 40000, flags: str = "S") -> Packet:
    ip = IPv6(src=w.CLIENT6, dst=w.VIP6) if v6 else IP(src=w.CLIENT, dst=w.VIP, flags="DF")
    return ip / TCP(sport=sport, dport=80, flags=flags) / data


def opened(packet: Packet, kind: str, v6: bool, outer6: bool) -> Packet:
    """The packet inside; what is around it is as it should be."""
    type_, flags, between = KINDS[kind]
    outer = packet[IPv6] if outer6 else packet[IP]
    raw = bytes(outer)
    protocol = outer.nh if outer6 else outer.proto
    body = raw[40 if outer6 else 20 :]
    assert len(body) == (outer.plen if outer6 else outer.len - 20)
    if type_ is Tunnel.GUE:
        assert protocol == 17
        udp = outer[UDP]
        assert (udp.dport, udp.len) == (PORT, len(body))
        assert 32768 <= udp.sport < 61000
        assert body[8:12] == bytes((0, 41 if v6 else 4, 0, 0))
        assert (udp.chksum != 0) == bool(flags)
        if flags:
            assert right(outer, UDP)
    elif type_ is Tunnel.GRE:
        assert protocol == 47
        gre = outer[GRE]
        assert (gre.chksum_present, gre.proto) == (int(bool(flags)), 0x86DD if v6 else 0x0800)
        if flags:
            assert right(outer, GRE)
    else:
        assert protocol == (41 if v6 else 4)
    return IPv6(body[between:]) if v6 else IP(body[between:])


def right(outer: Packet, layer: type[Packet]) -> bool:
    """Scapy computes the same checksum."""
    copy = outer.copy()
    stored = copy[layer].chksum
    del copy[layer].chksum
    return bool(type(copy)(bytes(copy))[layer].chksum == stored)


@pytest.mark.parametrize(("v6", "outer6"), FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 3, 700, 1379])
def test_the_packet_inside_is_the_clients(
    director: World, kind: str, v6: bool, outer6: bool, size: int
) -> None:
    tunnel(director, kind, v6, outer6)
    sent = segment(v6, bytes(range(256)) * 5 + bytes(99) if size == 1379 else b"x" * size)
    out = director.client(sent)
    assert (out.verdict, out.reason) == ("send", "fwd_tun")
    inner = opened(out.packet, kind, v6, outer6)
    again = type(sent)(bytes(sent))
    if v6:
        again.hlim -= 1
    else:
        again.ttl -= 1
        del again.chksum
    assert bytes(inner) == bytes(type(again)(bytes(again)))


@pytest.mark.parametrize("kind", ["gue-csum", "gre-csum"])
def test_a_wrong_checksum_inside_stays_wrong_and_is_summed(director: World, kind: str) -> None:
    tunnel(director, kind, False, False)
    sent = IP(src=w.CLIENT, dst=w.VIP) / TCP(sport=40000, dport=80, flags="S", chksum=0x1234)
    inner = opened(director.client(sent).packet, kind, False, False)
    assert inner[TCP].chksum == 0x1234


@pytest.mark.parametrize(("v6", "outer6"), FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_too_big_for_the_tunnel(director: World, kind: str, v6: bool, outer6: bool) -> None:
    tunnel(director, kind, v6, outer6)
    fits = 1500 - (40 if outer6 else 20) - KINDS[kind][2]
    headers = 60 if v6 else 40
    assert director.client(segment(v6)).reason == "fwd_tun"
    full = segment(v6, b"x" * (fits - headers), flags="A")
    assert director.client(full).reason == "fwd_tun"
    out = director.client(segment(v6, b"x" * (fits - headers + 1), flags="A"))
    assert out.reason == "reply_too_big"
    if v6:
        assert out.packet[ICMPv6PacketTooBig].mtu == fits
    else:
        assert out.packet[ICMP].nexthopmtu == fits


def test_gue_ports_are_the_flows(director: World) -> None:
    tunnel(director, "gue", False, False)
    first = [director.client(segment(False, sport=port)) for port in range(40000, 40032)]
    ports = [out.packet[UDP].sport for out in first]
    assert len(set(ports)) > 24
    for _ in range(2):  # the first one establishes
        again = [director.client(segment(False, b"x", port, "A")) for port in range(40000, 40032)]
        assert [out.packet[UDP].sport for out in again] == ports
        assert opened(again[0].packet, "gue", False, False)[TCP].sport == 40000


@pytest.mark.parametrize(("v6", "outer6"), FAMILIES)
@pytest.mark.parametrize("kind", ["ipip", "gre-csum", "gue"])
def test_sources_vary_by_flow(director: World, kind: str, v6: bool, outer6: bool) -> None:
    tunnel(director, kind, v6, outer6)
    network = SOURCES6 if outer6 else SOURCES4
    director.set(
        spread4=8,
        spread6=16,
        spread_source4=w.packed(str(SOURCES4.network_address)),
        spread_source6=w.packed(str(SOURCES6.network_address)),
    )
    try:
        ports = range(40000, 40032)
        opening = [source(director.client(segment(v6, sport=port)).packet) for port in ports]
        for port in ports:
            director.client(segment(v6, b"x", port, "A"))
        later = [source(director.client(segment(v6, b"x", port, "A")).packet) for port in ports]
        # Not plain, so it goes another way: the flow's source is the same.
        odd = [source(director.client(segment(v6, b"x", port, "FA")).packet) for port in ports]
        assert opened(director.client(segment(v6)).packet, kind, v6, outer6) is not None
    finally:
        director.set(spread4=0, spread6=0)
    assert opening == later == odd
    if kind == "gue":
        assert set(opening) == {w.DIRECTOR16 if outer6 else w.DIRECTOR1}
    else:
        assert len(set(opening)) > 24
        assert all(ip_address(one) in network for one in opening)


def source(packet: Packet) -> str:
    outer = packet[IPv6] if packet.type == 0x86DD else packet[IP]
    return str(outer.src)


@pytest.mark.parametrize("kind", KINDS)
def test_errors_about_the_tunnel_are_told_to_the_client(director: World, kind: str) -> None:
    """IPVS's rule, as recorded: the old MTU first, less one IPv4 header by every kind."""
    tunnel(director, kind, False, False)
    director.client(segment(False))
    big = segment(False, b"x" * 1360, flags="A")
    outer = bytes(director.client(big).packet[IP])

    def complain(mtu: int) -> Packet:
        error = IP(src="192.168.200.99", dst=w.DIRECTOR1) / ICMP(type=3, code=4, nexthopmtu=mtu)
        out = director.server(error / outer[:128])
        assert (out.verdict, out.reason) == ("send", "reply_tunnel_error")
        assert (out.packet[IP].src, out.packet[IP].dst) == (w.VIP, w.CLIENT)
        inner = bytes(out.packet[ICMP].payload)
        assert inner[12:24] == bytes(IP(outer)[IP].payload)[KINDS[kind][2] :][12:24]
        return out.packet[ICMP].nexthopmtu

    assert complain(1300) == 1480
    assert complain(1300) == 1480
    overhead = 20 + KINDS[kind][2]
    assert director.client(big).packet[ICMP].nexthopmtu == 1300 - overhead
    assert complain(1400) == 1280  # not raised
    assert complain(400) == 552 - 20  # nor lowered beyond Linux's least
    assert director.client(big).packet[ICMP].nexthopmtu == 552 - overhead


@pytest.mark.parametrize(("v6", "outer6"), [(False, True), (True, False), (True, True)])
@pytest.mark.parametrize("kind", KINDS)
def test_what_ipv6_tunnels_are_told_is_remembered(
    director: World, kind: str, v6: bool, outer6: bool
) -> None:
    tunnel(director, kind, v6, outer6)
    director.client(segment(v6))
    big = segment(v6, b"x" * 1340, flags="A")
    sent = director.client(big).packet
    if outer6:
        outer = bytes(sent[IPv6])[:600]
        error = IPv6(src="fd00:200::99", dst=w.DIRECTOR16) / ICMPv6PacketTooBig(mtu=1300) / outer
    else:
        outer = bytes(sent[IP])[:128]
        error = (
            IP(src="192.168.200.99", dst=w.DIRECTOR1)
            / ICMP(type=3, code=4, nexthopmtu=1300)
            / outer
        )
    frame = bytes(w.Ether(src=w.server_mac(9), dst=w.MAC1) / error)
    out = director.server(error)
    assert (out.verdict, out.reason) == ("pass", "pass_icmp")
    assert out.raw[14:] == frame[14:]
    fits = 1300 - (40 if outer6 else 20) - KINDS[kind][2]
    told = director.client(big)
    assert told.reason == "reply_too_big"
    if v6:
        assert told.packet[ICMPv6PacketTooBig].mtu == fits
    else:
        assert told.packet[ICMP].nexthopmtu == fits


@pytest.mark.parametrize(
    "spoil",
    [
        {"dport": PORT + 1},  # GUE to a port that is not this tunnel's
        {"gue": b"\0\x04\x01\0"},  # with flags
        {"gue": b"\x01\x04\0\0"},  # with options
        {"gue": b"\x40\x04\0\0"},  # of another version
    ],
)
def test_errors_about_others_gue_are_the_stacks(director: World, spoil: dict[str, object]) -> None:
    tunnel(director, "gue", False, False)
    director.client(segment(False))
    udp = UDP(sport=33333, dport=spoil.get("dport", PORT))
    outer = IP(src=w.DIRECTOR1, dst=w.server(1)) / udp / Raw(spoil.get("gue", b"\0\x04\0\0"))
    quoted = bytes(outer / segment(False))
    error = IP(src="192.168.200.99", dst=w.DIRECTOR1) / ICMP(type=3, code=4, nexthopmtu=1300)
    out = director.server(error / quoted)
    assert (out.verdict, out.reason) == ("pass", "pass_icmp_no_connection")
    load = director.layout.unpack(
        r.DestinationLoad, director.path.map("destination_load").lookup(0) or b""
    )
    assert load.path_mtu == 0
