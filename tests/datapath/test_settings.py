# SPDX-License-Identifier: Apache-2.0
"""net.ipv4.vs.* and our own settings, as packets obey them."""

from __future__ import annotations

import subprocess
import time

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.packet import Packet

from xlvs.datapath import records as r
from xlvs.datapath.records import Method

from . import world as w
from .world import World, right

FULL = r.DestinationFlag.AVAILABLE | r.DestinationFlag.RESOLVED


def syn(client: str = w.CLIENT, sport: int = 40000, flags: str = "S", dport: int = 80) -> Packet:
    if ":" in client:
        return IPv6(src=client, dst=w.VIP6) / TCP(sport=sport, dport=dport, flags=flags)
    return IP(src=client, dst=w.VIP) / TCP(sport=sport, dport=dport, flags=flags)


def datagram(sport: int = 5000) -> Packet:
    return IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=sport, dport=53) / b"?"


def remove(director: World, number: int, service: int) -> None:
    director.lists[service].remove(number)
    director.commit(service, r.Scheduler.RR)
    director.change(number, flags=r.DestinationFlag.RESOLVED)


# -- drop_packet ----------------------------------------------------------------


def test_drop_packet_takes_the_first_and_then_every_so_many(director: World) -> None:
    director.destination(director.service(), 1, Method.DR)
    director.set(drop_rate=5)
    reasons = [director.client(syn(sport=40000 + i)).reason for i in range(11)]
    assert [i for i, why in enumerate(reasons) if why == "drop_loaded"] == [0, 5, 10]
    # Known connections are not concerned.
    assert all(director.client(syn(sport=40001, flags="A")).reason == "fwd_dr" for _ in range(9))


# -- nat_icmp_send --------------------------------------------------------------


def interface(director: World) -> None:
    index = director.ifindex["eth1"]
    record = r.Interface(
        address4=w.packed("192.168.200.1"), address6=w.packed("fd00:200::1"), carrier=index
    )
    raw = index.to_bytes(4, "little")
    director.path.map("interfaces").update(raw, director.layout.pack(record))


def real_server(director: World, number: int, address: str, port: int, protocol: int) -> None:
    family = 10 if ":" in address else 2
    key = r.ServiceKey(w.packed(address), port=port, protocol=protocol, family=family)
    raw = number.to_bytes(4, "little")
    director.path.map("real_servers").update(director.layout.pack(key), raw)


@pytest.mark.parametrize("v6", [False, True])
def test_a_server_is_told_that_nobody_waits_for_its_answer(director: World, v6: bool) -> None:
    server = w.server6(1) if v6 else w.server(1)
    number = director.service(w.VIP6 if v6 else w.VIP)
    id_ = director.destination(number, 1, Method.NAT, v6=v6)
    real_server(director, id_, server, 80, w.TCP)
    interface(director)
    # Not the station that the frame comes from, which is another server here.
    neighbour = ("dev", "eth1", "lladdr", w.server_mac(1))
    subprocess.run(["ip", "neigh", "replace", server, *neighbour], check=True)
    network = IPv6(src=server, dst=w.CLIENT6) if v6 else IP(src=server, dst=w.CLIENT)
    answer = network / TCP(sport=80, dport=40000, flags="SA")
    assert director.server(answer).reason == "pass_no_service"
    director.set(nat_icmp_send=1)
    out = director.server(answer, 2)
    assert (out.verdict, out.reason) == ("send", "reply_no_connection")
    ip = out.packet[IPv6 if v6 else IP]
    assert (ip.src, ip.dst) == ("fd00:200::1" if v6 else "192.168.200.1", server)
    error = ip[ICMPv6DestUnreach if v6 else ICMP]
    assert (error.type, error.code) == ((1, 4) if v6 else (3, 3))
    assert right(out.packet)
    assert out.packet.dst == w.server_mac(1)
    # Nobody is told of a reset, of another port or of a server that is not ours.
    for flags, port, source in (("R", 80, server), ("SA", 81, server), ("SA", 80, None)):
        other = network.copy() / TCP(sport=port, dport=40000, flags=flags)
        if source is None:
            other.src = w.server6(2) if v6 else w.server(2)
        assert director.server(other).reason == "pass_no_service"


# -- answers' rate --------------------------------------------------------------


def test_answers_are_limited(director: World) -> None:
    director.service()
    director.set(answer_rate=20)
    reasons = [director.client(syn(sport=40000 + i)).reason for i in range(60)]
    sent = reasons.count("reply_no_destination")
    assert reasons.count("drop_answer_rate") == 60 - sent
    # A second's worth at once on each CPU that we were on, and what came in meanwhile.
    assert 20 <= sent < 60
    time.sleep(0.3)
    assert director.client(syn(sport=41000)).reason == "reply_no_destination"
    director.set(answer_rate=0)
    reasons = [director.client(syn(sport=42000 + i)).reason for i in range(60)]
    assert set(reasons) == {"reply_no_destination"}


# -- time-outs of a service -----------------------------------------------------


def test_a_service_has_its_own_time_outs(director: World) -> None:
    own = director.service(
        flags=r.ServiceFlag.USED | r.ServiceFlag.OWN_TIMEOUTS,
        timeout_tcp=7 * director.hz,
        timeout_tcp_fin=3 * director.hz,
    )
    director.destination(own, 1, Method.DR)
    director.client(syn())
    assert 59 < director.left(director.connections()[0]) <= 60.2
    for flags, seconds in (("A", 7), ("PA", 7), ("FA", 3)):
        director.client(syn(flags=flags))
        assert seconds - 1 < director.left(director.connections()[0]) <= seconds + 0.2
    udp = director.service(
        port=53,
        protocol=w.UDP,
        flags=r.ServiceFlag.USED | r.ServiceFlag.OWN_TIMEOUTS,
        timeout_udp=5 * director.hz,
    )
    director.destination(udp, 1, Method.DR, port=53)
    for _ in range(3):
        director.client(datagram())
        (found,) = [each for each in director.connections() if each.virtual_port == 53]
        assert 4 < director.left(found) <= 5.2


# -- profile modern -------------------------------------------------------------


@pytest.mark.parametrize("client", [w.CLIENT, w.CLIENT6])
@pytest.mark.parametrize("method", [Method.NAT, Method.DR, Method.TUN])
def test_a_removed_servers_client_is_reset(director: World, method: Method, client: str) -> None:
    v6 = ":" in client
    number = director.service(w.VIP6 if v6 else w.VIP)
    id_ = director.destination(number, 1, method, v6=v6)
    director.client(syn(client))
    director.client(syn(client, flags="A"))
    remove(director, id_, number)
    segment = syn(client, flags="PA")
    segment[TCP].seq, segment[TCP].ack = 5000, 777
    segment /= b"x" * 100
    assert director.client(segment).reason == "drop_destination_removed"
    director.set(reset=1, reschedule=1)
    out = director.client(segment)
    assert (out.verdict, out.reason) == ("send", "reply_reset")
    ip, tcp = out.packet[IPv6 if v6 else IP], out.packet[TCP]
    assert (ip.src, ip.dst) == (w.VIP6 if v6 else w.VIP, client)
    assert (tcp.sport, tcp.dport, str(tcp.flags), tcp.seq) == (80, 40000, "R", 777)
    assert right(out.packet)
    assert out.packet.dst == w.CLIENT_MAC
    assert len(out.raw) == 14 + (40 if v6 else 20) + 20
    assert director.connections() == []
    assert director.load(id_) == (0, 0)


def test_a_reset_is_not_answered_and_a_fin_without_ack_is(director: World) -> None:
    number = director.service()
    id_ = director.destination(number, 1, Method.DR)
    director.set(reset=1, reschedule=1)
    for flags, reason in (("R", "drop_destination_removed"), ("F", "reply_reset")):
        director.change(id_, flags=FULL)
        director.lists[number] = [id_]
        director.commit(number, r.Scheduler.RR)
        director.client(syn())
        remove(director, id_, number)
        segment = syn(flags=flags)
        segment[TCP].seq = 99
        out = director.client(segment)
        assert out.reason == reason
        if reason == "reply_reset":
            tcp = out.packet[TCP]
            assert (str(tcp.flags), tcp.seq, tcp.ack) == ("RA", 0, 100)
            assert right(out.packet)
    assert director.connections() == []


def test_new_flows_and_datagrams_go_to_another_server(director: World) -> None:
    number = director.service(port=53, protocol=w.UDP)
    one = director.destination(number, 1, Method.DR, port=53)
    director.client(datagram())
    director.destination(number, 2, Method.DR, port=53)
    remove(director, one, number)
    assert director.client(datagram()).reason == "drop_destination_removed"
    director.set(reset=1, reschedule=1)
    assert director.client(datagram()).packet.dst == w.server_mac(2)
    assert director.load(one) == (0, 0)
    tcp = director.service()
    two = director.destination(tcp, 1, Method.DR)
    director.client(syn())
    director.destination(tcp, 2, Method.DR)
    remove(director, two, tcp)
    assert director.client(syn()).packet.dst == w.server_mac(2)


# -- drop_entry -----------------------------------------------------------------


def test_drop_entry_ends_half_open_connections_only(director: World) -> None:
    number = director.destination(director.service(), 1, Method.DR)
    for i in range(100):
        director.client(syn(sport=40000 + i))
    director.client(syn(sport=40000, flags="A"))
    director.set(drop_entry=1)
    director.path.start_sweep()
    for _ in range(600):
        if len(director.connections()) == 1:
            break
        time.sleep(0.1)
    (left,) = director.connections()
    assert left.client_port == 40000
    assert director.load(number) == (1, 0)


# -- snat_reroute ---------------------------------------------------------------


def test_snat_reroute_says_whose_packet_an_answer_is_to_the_routes(director: World) -> None:
    """A rule of the server's address is met with 0, one of the virtual address with 1."""
    director.destination(director.service(), 1, Method.NAT)
    for rule in (f"from {w.server(1)}", f"from {w.VIP}"):
        subprocess.run(["ip", "rule", "add", *rule.split(), "blackhole"], check=True)
        try:
            for reroute in (0, 1):
                director.path.map("next_hops").clear()
                director.set(snat_reroute=reroute)
                port = 40000 + 2 * len(rule) + reroute
                assert director.client(syn(sport=port)).reason == "fwd_nat"
                answer = IP(src=w.server(1), dst=w.CLIENT) / TCP(sport=80, dport=port, flags="SA")
                met = reroute == (w.VIP in rule)
                why = director.server(answer).reason
                assert why == ("drop_no_next_hop" if met else "fwd_reply"), (rule, reroute)
        finally:
            subprocess.run(["ip", "rule", "del", *rule.split(), "blackhole"], check=True)
