# SPDX-License-Identifier: Apache-2.0
"""Fragments: later ones follow their first, and what is put together again is right."""

from __future__ import annotations

import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, defragment, fragment
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    defragment6,
    fragment6,
)
from scapy.layers.l2 import Ether
from scapy.layers.sctp import crc32c
from scapy.packet import Packet, Raw

from xlvs.datapath import records as r
from xlvs.datapath import testrun
from xlvs.datapath.records import Method

from . import world as w
from .world import Out, World

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
PROTOCOLS = pytest.mark.parametrize("udp", [False, True], ids=["tcp", "udp"])
DATA = bytes(range(256)) * 6
SIZE = 520  # of a fragment


def pieces(packet: Packet, v6: bool, ident: int = 0x77) -> list[Packet]:
    """The packet in fragments, with all checksums right."""
    whole = packet.__class__(bytes(packet))
    if not v6:
        whole.id = ident
        del whole.chksum
        return [IP(bytes(each)) for each in fragment(whole, fragsize=SIZE - 24)]
    transport = whole.payload
    split = IPv6(src=whole.src, dst=whole.dst, hlim=whole.hlim) / IPv6ExtHdrFragment(id=ident)
    return [IPv6(bytes(each)) for each in fragment6(split / transport, SIZE)]


def together(fragments: list[Packet], v6: bool) -> Packet:
    if v6:
        return IPv6(bytes(defragment6(fragments)))
    (whole,) = defragment(fragments)
    return IP(bytes(whole))


def request(v6: bool, udp: bool, sport: int = 40000) -> Packet:
    ip = IPv6(src=w.CLIENT6, dst=w.VIP6) if v6 else IP(src=w.CLIENT, dst=w.VIP)
    transport = UDP(sport=sport, dport=80) if udp else TCP(sport=sport, dport=80, flags="S")
    return ip / transport / DATA


def answer(v6: bool, udp: bool, to: str, dport: int) -> Packet:
    ip = IPv6(src=w.server6(1), dst=to) if v6 else IP(src=w.server(1), dst=to)
    transport = UDP(sport=8080, dport=dport) if udp else TCP(sport=8080, dport=dport, flags="A")
    return ip / transport / DATA


def network_of(out: Out, v6: bool) -> Packet:
    return out.packet[IPv6 if v6 else IP]


def one_server(
    director: World, method: Method, v6: bool, udp: bool, port: int = 80, **changes: object
) -> int:
    local = (w.LIP6 if v6 else w.LIP,) if method is Method.FULLNAT else ()
    service = director.service(w.VIP6 if v6 else w.VIP, 80, w.UDP if udp else w.TCP, local=local)
    return director.destination(service, 1, method, port=port, v6=v6, **changes)


@FAMILIES
@PROTOCOLS
@pytest.mark.parametrize("method", [Method.NAT, Method.FULLNAT])
def test_translated_both_ways(director: World, v6: bool, udp: bool, method: Method) -> None:
    number = one_server(director, method, v6, udp, port=8080)
    sent = pieces(request(v6, udp), v6)
    assert len(sent) > 2
    outs = [director.client(each) for each in sent]
    reason = f"fwd_{method.name.lower()}"
    assert [(out.verdict, out.reason) for out in outs] == [("send", reason)] * len(sent)
    seen = together([network_of(out, v6) for out in outs], v6)
    assert seen.dst == (w.server6(1) if v6 else w.server(1))
    assert (seen.hlim if v6 else seen.ttl) == 63
    transport = seen[UDP] if udp else seen[TCP]
    assert transport.dport == 8080
    assert bytes(transport.payload) == DATA
    assert w.right(seen)
    assert all(w.right(network_of(out, v6)) for out in outs[1:])
    back = pieces(answer(v6, udp, seen.src, transport.sport), v6, ident=0x99)
    outs = [director.server(each) for each in back]
    assert [(out.verdict, out.reason) for out in outs] == [("send", "fwd_reply")] * len(back)
    seen = together([network_of(out, v6) for out in outs], v6)
    assert (seen.src, seen.dst) == ((w.VIP6, w.CLIENT6) if v6 else (w.VIP, w.CLIENT))
    transport = seen[UDP] if udp else seen[TCP]
    assert (transport.sport, transport.dport) == (80, 40000)
    assert bytes(transport.payload) == DATA
    assert w.right(seen)
    stats = director.stats("destination", number)
    assert (stats.connections, stats.in_packets, stats.out_packets) == (1, len(sent), len(back))


@FAMILIES
@pytest.mark.parametrize("method", [Method.DR, Method.TUN])
def test_not_translated(director: World, v6: bool, method: Method) -> None:
    one_server(director, method, v6, udp=True)
    for each in pieces(request(v6, udp=True), v6):
        out = director.client(each)
        assert (out.verdict, out.reason) == ("send", f"fwd_{method.name.lower()}")
        assert out.packet.dst == w.server_mac(1)
        inner = network_of(out, v6).payload if method is Method.TUN else network_of(out, v6)
        assert bytes(inner.payload) == bytes(each.payload)


@FAMILIES
def test_what_is_not_known_is_the_stacks(director: World, v6: bool) -> None:
    one_server(director, Method.NAT, v6, udp=True)
    first, second, *_ = pieces(request(v6, udp=True), v6)
    assert director.client(second).reason == "pass_fragment"
    assert director.client(second).packet.payload == second
    assert director.connections() == []
    assert director.client(first).reason == "fwd_nat"
    assert director.client(second).reason == "fwd_nat"
    _, other, *_ = pieces(request(v6, udp=True), v6, ident=0x78)
    assert director.client(other).reason == "pass_fragment"


def test_the_first_is_remembered_for_seconds_only(director: World) -> None:
    one_server(director, Method.NAT, v6=False, udp=True)
    first, second, *_ = pieces(request(v6=False, udp=True), v6=False)
    director.client(first)
    table = director.path.map("fragments")
    codec = director.layout.codec(r.Fragment)
    ((raw, value),) = table.items()
    flow = codec.unpack(value)
    left = flow.until - director.path.ticks()
    assert 4 * director.hz < left <= 5 * director.hz
    table.update(raw, director.layout.pack(flow._replace(until=director.path.ticks())))
    assert director.client(second).reason == "pass_fragment"


@PROTOCOLS
def test_later_fragments_change_no_state_but_restart_the_timer(director: World, udp: bool) -> None:
    one_server(director, Method.NAT, v6=False, udp=udp)
    first, *later = pieces(request(v6=False, udp=udp), v6=False)
    director.client(first)
    (opened,) = director.connections()
    director.age(20)
    for each in later:
        assert director.client(each).reason == "fwd_nat"
    (connection,) = director.connections()
    assert (connection.state, connection.word) == (opened.state, opened.word)
    assert director.left(connection) > (299 if udp else 59)


def test_a_later_one_does_not_overwrite_the_tcp_header(director: World) -> None:
    """RFC 1858 3.2: an offset of one or two reaches into the flags of the first."""
    one_server(director, Method.NAT, v6=False, udp=False)
    first, *_ = pieces(request(v6=False, udp=False), v6=False)
    assert director.client(first).reason == "fwd_nat"
    for offset, reason in ((1, "pass_fragment"), (2, "pass_fragment"), (3, "fwd_nat")):
        packet = IP(src=w.CLIENT, dst=w.VIP, id=0x77, proto=6, frag=offset) / (b"x" * 40)
        assert director.client(packet).reason == reason


def test_udp_without_a_checksum_stays_without(director: World) -> None:
    one_server(director, Method.NAT, v6=False, udp=True, port=8080)
    packet = request(v6=False, udp=True)
    packet[UDP].chksum = 0
    outs = [director.client(each) for each in pieces(packet, v6=False)]
    seen = together([network_of(out, v6=False) for out in outs], v6=False)
    assert (seen[UDP].dport, seen[UDP].chksum) == (8080, 0)
    assert bytes(seen[UDP].payload) == DATA


@FAMILIES
def test_one_packet_services_send_all_fragments_to_one_server(director: World, v6: bool) -> None:
    service = director.service(w.VIP6 if v6 else w.VIP, 80, w.UDP)
    for n in (1, 2, 3):
        director.destination(service, n, Method.NAT, v6=v6)
    record = director.layout.unpack(r.Service, director.path.map("services").lookup(service) or b"")
    record = record._replace(flags=record.flags | r.ServiceFlag.ONE_PACKET)
    director.path.map("services").update(service, director.layout.pack(record))
    chosen = []
    for ident in (1, 2, 3):
        outs = [director.client(each) for each in pieces(request(v6, udp=True), v6, ident)]
        assert {out.reason for out in outs} == {"fwd_nat"}
        (server,) = {out.packet.dst for out in outs}
        chosen.append(server)
    assert len(set(chosen)) == 3
    assert director.connections() == []


def test_one_packet_fullnat(director: World) -> None:
    service = director.service(port=80, protocol=w.UDP, local=(w.LIP,))
    director.destination(service, 1, Method.FULLNAT)
    record = director.layout.unpack(r.Service, director.path.map("services").lookup(service) or b"")
    record = record._replace(flags=record.flags | r.ServiceFlag.ONE_PACKET)
    director.path.map("services").update(service, director.layout.pack(record))
    outs = [director.client(each) for each in pieces(request(v6=False, udp=True), v6=False)]
    seen = together([network_of(out, v6=False) for out in outs], v6=False)
    assert (seen.src, seen.dst) == (w.LIP, w.server(1))
    assert w.right(seen)


@FAMILIES
def test_hops_that_are_over_and_removed_servers(director: World, v6: bool) -> None:
    number = one_server(director, Method.NAT, v6, udp=True)
    first, second, third, *_ = pieces(request(v6, udp=True), v6)
    director.client(first)
    director.change(number, flags=director.destinations[number].flags & ~1)
    assert director.client(second).reason == "drop_destination_removed"
    director.change(number, flags=director.destinations[number].flags | 1)
    if v6:
        third.hlim = 1
    else:
        third.ttl = 1
        del third.chksum
    assert director.client(third).reason == "pass_fragment"


def test_an_atomic_fragment_is_a_packet(director: World) -> None:
    """RFC 6946."""
    one_server(director, Method.NAT, v6=True, udp=True, port=8080)
    packet = IPv6(src=w.CLIENT6, dst=w.VIP6) / IPv6ExtHdrFragment(id=5)
    out = director.client(packet / UDP(sport=40000, dport=80) / b"whole")
    assert out.reason == "fwd_nat"
    assert w.right(out.packet)
    assert list(director.path.map("fragments").items()) == []


def test_options_behind_the_fragment_header(director: World) -> None:
    one_server(director, Method.NAT, v6=True, udp=True, port=8080)
    whole = bytes(UDP(sport=40000, dport=80, len=8 + 64) / bytes(64))
    options = bytes(IPv6ExtHdrDestOpt(nh=17))
    data = options + whole
    ip = IPv6(src=w.CLIENT6, dst=w.VIP6)
    first = ip / IPv6ExtHdrFragment(nh=60, id=9, m=1) / Raw(data[:40])
    second = ip / IPv6ExtHdrFragment(nh=60, id=9, offset=5) / Raw(data[40:])
    assert director.client(first).reason == "fwd_nat"
    out = director.client(second)
    assert out.reason == "fwd_nat"
    assert out.packet[IPv6].dst == w.server6(1)


def test_protected_fragments_need_no_first(director: World) -> None:
    service = director.service(port=500, protocol=w.UDP)
    director.destination(service, 1, Method.NAT, port=500)
    director.client(IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=500, dport=500) / b"keys")
    packet = IP(src=w.CLIENT, dst=w.VIP, proto=w.ESP) / Raw(DATA)
    outs = [director.client(each) for each in reversed(pieces(packet, v6=False))]
    assert {out.reason for out in outs} == {"fwd_nat"}
    seen = [network_of(out, v6=False) for out in reversed(outs)]
    assert {packet.dst for packet in seen} == {w.server(1)}
    assert b"".join(bytes(packet)[20:] for packet in seen) == DATA


# The client's port: of a service of all ports, or of a mark.
@pytest.mark.parametrize(("port", "clients"), [(99, False), (9899, False), (0, True)])
def test_sctp_follows_where_its_ports_stay(director: World, port: int, clients: bool) -> None:
    service = director.service(port=99, protocol=w.SCTP)
    flags = r.DestinationFlag.AVAILABLE | r.DestinationFlag.RESOLVED
    if clients:
        flags |= r.DestinationFlag.CLIENT_PORT
    director.destination(service, 1, Method.NAT, port=port, flags=flags)
    header = struct.pack("!HHI", 40000, 99, 1)
    body = struct.pack("!BBH", 1, 0, 20) + bytes(16) + DATA
    segment = header + struct.pack(">I", crc32c(header + bytes(4) + body)) + body
    packet = IP(src=w.CLIENT, dst=w.VIP, proto=w.SCTP) / Raw(segment)
    outs = [director.client(each) for each in pieces(packet, v6=False)]
    if port == 99 or clients:
        assert {out.reason for out in outs} == {"fwd_nat"}
        seen = together([network_of(out, v6=False) for out in outs], v6=False)
        assert bytes(seen.payload) == segment
    else:
        assert {out.reason for out in outs} == {"pass_fragment"}


def test_an_error_about_a_first_fragment_is_translated(director: World) -> None:
    one_server(director, Method.NAT, v6=False, udp=True, port=8080)
    first, second, *_ = pieces(request(v6=False, udp=True), v6=False)
    seen = network_of(director.client(first), v6=False)
    later = network_of(director.client(second), v6=False)
    error = IP(src=w.server(1), dst=w.CLIENT) / ICMP(type=11, code=1)
    out = director.server(error / bytes(seen)[:28])
    assert out.reason == "fwd_icmp_out"
    inner = IP(bytes(out.packet[ICMP].payload))
    assert (inner.src, inner.dst) == (w.CLIENT, w.VIP)
    assert director.server(error / bytes(later)[:28]).reason == "pass_fragment"


def test_fragments_of_others_are_not_looked_up(director: World) -> None:
    one_server(director, Method.NAT, v6=False, udp=True)
    first, second, *_ = pieces(IP(src=w.CLIENT, dst="10.0.0.9") / UDP(dport=80) / DATA, v6=False)
    assert director.client(first).reason == "pass_no_service"
    assert director.client(second).reason == "pass_no_service"


@FAMILIES
def test_a_server_on_the_director_itself(director: World, v6: bool) -> None:
    """Its answers are fragments before the program on egress sees them."""
    if director.hook == "xdp":
        return  # the egress program is TC's in both cases
    local = r.DestinationFlag.AVAILABLE | r.DestinationFlag.RESOLVED | r.DestinationFlag.LOCAL
    one_server(director, Method.NAT, v6, udp=True, port=8080, flags=local)
    director.set(local_destinations=1)
    outs = [director.client(each) for each in pieces(request(v6, udp=True), v6)]
    assert {out.reason for out in outs} == {"fwd_local"}
    seen = together([network_of(out, v6) for out in outs], v6)
    assert (seen.dst, seen[UDP].dport) == (w.server6(1) if v6 else w.server(1), 8080)
    assert w.right(seen)
    back = pieces(answer(v6, True, w.CLIENT6 if v6 else w.CLIENT, 40000), v6, ident=0x99)
    program = director.path.programs["xlvs_tc_egress"]
    context = testrun.tc_context(director.ifindex["eth0"])
    sent = [
        Ether(
            testrun.test_run(
                program, bytes(Ether(src=w.MAC0, dst=w.CLIENT_MAC) / each), ctx=context
            ).data_out
        )
        for each in back
    ]
    seen = together([each[IPv6 if v6 else IP] for each in sent], v6)
    assert (seen.src, seen[UDP].sport) == (w.VIP6 if v6 else w.VIP, 80)
    assert w.right(seen)
