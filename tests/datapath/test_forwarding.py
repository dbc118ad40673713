# SPDX-License-Identifier: Apache-2.0
"""The forwarding methods: packet in, packet out, both families, TCP and UDP, both hooks."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from xlvs.datapath.records import Method

from . import world as w
from .world import World

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
PROTOCOLS = pytest.mark.parametrize("udp", [False, True], ids=["tcp", "udp"])


def from_client(v6: bool, udp: bool, sport: int = 40000, **ip: int) -> Packet:
    source, target = (w.CLIENT6, w.VIP6) if v6 else (w.CLIENT, w.VIP)
    network = IPv6(src=source, dst=target, hlim=61) if v6 else IP(src=source, dst=target, ttl=61)
    for field, value in ip.items():
        setattr(network, field, value)
    transport = UDP(sport=sport, dport=80) if udp else TCP(sport=sport, dport=80, flags="S")
    return network / transport / b"hello"


def from_server(v6: bool, udp: bool, to: str, dport: int, sport: int = 8080) -> Packet:
    source = w.server6(1) if v6 else w.server(1)
    network = IPv6(src=source, dst=to) if v6 else IP(src=source, dst=to)
    transport = UDP(sport=sport, dport=dport) if udp else TCP(sport=sport, dport=dport, flags="SA")
    return network / transport / b"answer"


def network_of(packet: Packet, v6: bool) -> Packet:
    return packet[IPv6] if v6 else packet[IP]


def hops(packet: Packet, v6: bool) -> int:
    return int(packet[IPv6].hlim if v6 else packet[IP].ttl)


def one_server(
    director: World, method: Method, v6: bool, udp: bool, port: int = 80, **changes: object
) -> tuple[int, int]:
    local = (w.LIP6 if v6 else w.LIP,) if method is Method.FULLNAT else ()
    service = director.service(w.VIP6 if v6 else w.VIP, 80, w.UDP if udp else w.TCP, local=local)
    return service, director.destination(service, 1, method, port=port, v6=v6, **changes)


@FAMILIES
@PROTOCOLS
def test_nat_translates_both_ways(director: World, v6: bool, udp: bool) -> None:
    one_server(director, Method.NAT, v6, udp, port=8080)
    out = director.client(from_client(v6, udp))
    assert (out.verdict, out.reason) == ("send", "fwd_nat")
    assert (out.packet.src, out.packet.dst) == (w.MAC1, w.server_mac(1))
    packet = network_of(out.packet, v6)
    assert (packet.src, packet.dst) == (
        w.CLIENT6 if v6 else w.CLIENT,
        w.server6(1) if v6 else w.server(1),
    )
    assert (packet.payload.sport, packet.payload.dport) == (40000, 8080)
    assert hops(out.packet, v6) == 60
    assert w.right(out.packet)
    out = director.server(from_server(v6, udp, w.CLIENT6 if v6 else w.CLIENT, 40000))
    assert (out.verdict, out.reason) == ("send", "fwd_reply")
    assert (out.packet.src, out.packet.dst) == (w.MAC0, w.CLIENT_MAC)
    packet = network_of(out.packet, v6)
    assert (packet.src, packet.payload.sport) == (w.VIP6 if v6 else w.VIP, 80)
    assert bytes(packet.payload.payload)[:6] == b"answer"
    assert w.right(out.packet)


@FAMILIES
@PROTOCOLS
def test_dr_changes_hops_and_macs_only(director: World, v6: bool, udp: bool) -> None:
    one_server(director, Method.DR, v6, udp)
    sent = from_client(v6, udp)
    out = director.client(sent)
    assert (out.verdict, out.reason) == ("send", "fwd_dr")
    assert (out.packet.src, out.packet.dst) == (w.MAC1, w.server_mac(1))
    expected = network_of(sent.__class__(bytes(sent)), v6).copy()
    if v6:
        expected.hlim = 60
    else:
        expected.ttl = 60
        del expected.chksum
    assert bytes(network_of(out.packet, v6)) == bytes(expected)


@pytest.mark.parametrize("inner6", [False, True], ids=["4", "6"])
@pytest.mark.parametrize("outer6", [False, True], ids=["in4", "in6"])
@PROTOCOLS
def test_tun_encapsulates(director: World, inner6: bool, outer6: bool, udp: bool) -> None:
    service = director.service(w.VIP6 if inner6 else w.VIP, 80, w.UDP if udp else w.TCP)
    director.destination(service, 1, Method.TUN, v6=outer6)
    sent = from_client(inner6, udp)
    out = director.client(sent)
    assert (out.verdict, out.reason) == ("send", "fwd_tun")
    outer = network_of(out.packet, outer6)
    assert (outer.src, outer.dst) == (
        (w.DIRECTOR16, w.server6(1)) if outer6 else (w.DIRECTOR1, w.server(1))
    )
    assert hops(out.packet, outer6) == 60
    protocol = outer.nh if outer6 else outer.proto
    assert protocol == (41 if inner6 else 4)
    if not outer6:
        assert outer.flags == "", "DF is copied from IPv4 only, and the packet has none"
    inner = bytes(outer.payload)[: len(bytes(sent))]
    seen = (IPv6 if inner6 else IP)(inner)
    assert (seen.src, seen.dst) == (sent.src, sent.dst)
    assert (seen.hlim if inner6 else seen.ttl) == 60
    assert w.right(out.packet)
    assert w.right(seen)


@FAMILIES
@PROTOCOLS
def test_fullnat_translates_source_and_destination(director: World, v6: bool, udp: bool) -> None:
    one_server(director, Method.FULLNAT, v6, udp, port=8080)
    out = director.client(from_client(v6, udp))
    assert (out.verdict, out.reason) == ("send", "fwd_fullnat")
    packet = network_of(out.packet, v6)
    local = w.LIP6 if v6 else w.LIP
    assert (packet.src, packet.dst) == (local, w.server6(1) if v6 else w.server(1))
    port = packet.payload.sport
    assert port >= 1024
    assert packet.payload.dport == 8080
    assert w.right(out.packet)
    out = director.server(from_server(v6, udp, local, port))
    assert (out.verdict, out.reason) == ("send", "fwd_reply")
    packet = network_of(out.packet, v6)
    assert (packet.src, packet.dst) == ((w.VIP6, w.CLIENT6) if v6 else (w.VIP, w.CLIENT))
    assert (packet.payload.sport, packet.payload.dport) == (80, 40000)
    assert w.right(out.packet)


@PROTOCOLS
def test_local_server_gets_the_packet_through_the_stack(director: World, udp: bool) -> None:
    one_server(director, Method.NAT, False, udp, port=8081, flags=1 | 8 | 4)
    out = director.client(from_client(False, udp))
    assert (out.verdict, out.reason) == ("pass", "fwd_local")
    assert (out.packet[IP].dst, out.packet[IP].payload.dport) == (w.server(1), 8081)
    assert out.packet[IP].ttl == 61
    assert w.right(out.packet)


def test_tun_copies_df(director: World) -> None:
    one_server(director, Method.TUN, False, False)
    packet = from_client(False, False)
    packet.flags = "DF"
    out = director.client(packet)
    assert (out.packet[IP].flags, out.packet[IP].id) == ("DF", 0)
    director.set(pmtu_disc=0)
    assert director.client(packet).packet[IP].flags == ""


def test_udp_without_checksum_gets_one_by_nat(director: World) -> None:
    one_server(director, Method.NAT, False, True, port=5353)
    for size in (0, 1, 31, 32, 33, 1400):
        packet = IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=40000, dport=80, chksum=0) / (b"x" * size)
        out = director.client(packet)
        assert out.reason == "fwd_nat"
        assert out.packet[UDP].chksum != 0
        assert w.right(out.packet), size


def test_udp_without_checksum_keeps_none_by_dr(director: World) -> None:
    one_server(director, Method.DR, False, True)
    packet = IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=40000, dport=80, chksum=0) / b"x"
    assert director.client(packet).packet[UDP].chksum == 0


def test_a_wrong_checksum_stays_wrong(director: World) -> None:
    one_server(director, Method.NAT, False, False, port=8080)
    packet = IP(src=w.CLIENT, dst=w.VIP) / TCP(sport=40000, dport=80, flags="S", chksum=0x1234)
    out = director.client(packet)
    assert out.reason == "fwd_nat"
    assert not w.right(out.packet)


@pytest.mark.parametrize("method", list(Method))
def test_ip_options_are_carried(director: World, method: Method) -> None:
    one_server(director, method, False, False)
    packet = from_client(False, False)
    packet.options = b"\x94\x04\x00\x00"  # router alert
    out = director.client(packet)
    assert out.verdict == "send"
    assert w.right(out.packet)
    assert b"\x94\x04\x00\x00" in out.raw


@pytest.mark.parametrize("method", list(Method))
def test_vlan_tags_are_taken_off(director: World, method: Method) -> None:
    """The next hop has no tag here: the frame leaves without one."""
    if director.hook == "tc":
        return  # the stack takes tags off before the TC hook sees the frame
    one_server(director, method, False, False)
    out = director.run(
        w.Ether(src=w.CLIENT_MAC, dst=w.MAC0) / w.Dot1Q(vlan=7) / from_client(False, False)
    )
    assert out.verdict == "send"
    assert out.packet.type == 0x0800
    assert w.right(out.packet)


@pytest.mark.parametrize("method", list(Method))
def test_vlan_tags_are_put_on(director: World, method: Method) -> None:
    _, number = one_server(director, method, False, False)
    hop = director.destinations[number].next_hop._replace(vlan=42)
    director.change(number, next_hop=hop)
    out = director.client(from_client(False, False))
    assert out.verdict == "send"
    if director.hook == "xdp":  # TC keeps the tag beside the frame
        assert out.packet[w.Dot1Q].vlan == 42
        assert out.packet[w.Dot1Q].type == 0x0800
    assert w.right(out.packet)


@FAMILIES
@pytest.mark.parametrize("method", list(Method))
def test_last_hop_is_answered(director: World, v6: bool, method: Method) -> None:
    one_server(director, method, v6, False)
    packet = from_client(v6, False, **({"hlim": 1} if v6 else {"ttl": 1}))
    out = director.client(packet)
    assert (out.verdict, out.reason) == ("send", "reply_ttl_exceeded")
    assert (out.packet.src, out.packet.dst) == (w.MAC0, w.CLIENT_MAC)
    answer = network_of(out.packet, v6)
    assert (answer.src, answer.dst) == ((w.VIP6, w.CLIENT6) if v6 else (w.VIP, w.CLIENT))
    assert bytes(packet) in out.raw
    assert w.right(out.packet)


@FAMILIES
@pytest.mark.parametrize("method", list(Method))
def test_too_big_is_answered_with_the_mtu(director: World, v6: bool, method: Method) -> None:
    one_server(director, method, v6, False, mtu=1300)
    director.client(from_client(v6, False))
    packet = from_client(v6, False)
    packet[TCP].flags = "A"
    packet = packet / (b"x" * 1355)
    if not v6:
        packet.flags = "DF"
    out = director.client(packet)
    assert (out.verdict, out.reason) == ("send", "reply_too_big")
    mtu = 1300 - ((40 if v6 else 20) if method is Method.TUN else 0)
    assert mtu.to_bytes(4, "big") in out.raw[:70]
    assert len(bytes(network_of(out.packet, v6))) == (1280 if v6 else 576)
    assert _outer_right(out.packet, v6)


def _outer_right(packet: Packet, v6: bool) -> bool:
    """The quoted packet is cut, so only the error's own checksums can be right."""
    ip = network_of(packet, v6)
    raw = bytes(ip)
    again = (IPv6 if v6 else IP)(raw)
    icmp = again.payload
    stored = icmp.cksum if v6 else icmp.chksum
    if v6:
        del icmp.cksum
    else:
        del icmp.chksum
    rebuilt = (IPv6 if v6 else IP)(bytes(again)).payload
    return bool(stored == (rebuilt.cksum if v6 else rebuilt.chksum))


@pytest.mark.parametrize("method", [Method.DR, Method.TUN, Method.FULLNAT])
def test_too_big_without_df_is_counted(director: World, method: Method) -> None:
    one_server(director, method, False, False, mtu=1300)
    director.client(from_client(False, False))
    out = director.client(from_client(False, False) / (b"x" * 1355))
    assert (out.verdict, out.reason) == ("drop", "drop_too_big")


def test_too_big_without_df_is_fragmented_by_the_stack_after_nat(director: World) -> None:
    one_server(director, Method.NAT, False, False, port=8080, mtu=1300)
    director.client(from_client(False, False))
    out = director.client(from_client(False, False) / (b"x" * 1355))
    assert (out.verdict, out.reason) == ("pass", "fwd_fragmented")
    assert (out.packet[IP].dst, out.packet[TCP].dport) == (w.server(1), 8080)
    assert out.packet[IP].ttl == 61
    assert w.right(out.packet)


@FAMILIES
def test_no_server_is_port_unreachable(director: World, v6: bool) -> None:
    director.service(w.VIP6 if v6 else w.VIP)
    packet = from_client(v6, False)
    out = director.client(packet)
    assert (out.verdict, out.reason) == ("send", "reply_no_destination")
    assert bytes(packet) in out.raw
    assert w.right(out.packet)
    assert director.connections() == []
