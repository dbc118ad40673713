# SPDX-License-Identifier: Apache-2.0
"""AH and ESP follow the connection that their keys were exchanged over, and open none."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import AH
from scapy.packet import Packet, Raw

from xlvs.datapath import records as r
from xlvs.datapath.records import Method

from . import world as w
from .world import World

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
SECRET = bytes.fromhex("0000100100000001") + b"e" * 24


def network(source: str, target: str, protocol: int) -> Packet:
    if ":" in source:
        return IPv6(src=source, dst=target, nh=protocol) / Raw(SECRET)
    return IP(src=source, dst=target, proto=protocol) / Raw(SECRET)


def protected(v6: bool, protocol: int = w.ESP) -> Packet:
    return network(w.CLIENT6 if v6 else w.CLIENT, w.VIP6 if v6 else w.VIP, protocol)


def answer(v6: bool, protocol: int = w.ESP) -> Packet:
    return network(w.server6(1) if v6 else w.server(1), w.CLIENT6 if v6 else w.CLIENT, protocol)


def keys(v6: bool) -> Packet:
    ip = IPv6(src=w.CLIENT6, dst=w.VIP6) if v6 else IP(src=w.CLIENT, dst=w.VIP)
    return ip / UDP(sport=500, dport=500) / b"isakmp"


def one_server(director: World, method: Method, v6: bool = False, port: int = 500) -> int:
    service = director.service(w.VIP6 if v6 else w.VIP, 500, w.UDP)
    return director.destination(service, 1, method, port=port, v6=v6)


@FAMILIES
def test_nat_translates_addresses_only(director: World, v6: bool) -> None:
    number = one_server(director, Method.NAT, v6)
    assert director.client(keys(v6)).reason == "fwd_nat"
    sent = protected(v6)
    out = director.client(sent)
    assert (out.verdict, out.reason) == ("send", "fwd_nat")
    ip = out.packet[IPv6 if v6 else IP]
    assert ip.dst == (w.server6(1) if v6 else w.server(1))
    assert bytes(ip)[-32:] == SECRET
    assert w.right(out.packet)
    out = director.server(answer(v6))
    assert (out.verdict, out.reason) == ("send", "fwd_reply")
    ip = out.packet[IPv6 if v6 else IP]
    assert ip.src == (w.VIP6 if v6 else w.VIP)
    assert bytes(ip)[-32:] == SECRET
    assert w.right(out.packet)
    stats = director.stats("destination", number)
    assert (stats.connections, stats.in_packets, stats.out_packets) == (1, 2, 1)
    (connection,) = director.connections()
    assert connection.state == "UDP"


@pytest.mark.parametrize("method", [Method.DR, Method.TUN])
@pytest.mark.parametrize("protocol", [w.ESP, w.AH])
def test_the_other_methods(director: World, method: Method, protocol: int) -> None:
    one_server(director, method)
    director.client(keys(v6=False))
    out = director.client(protected(v6=False, protocol=protocol))
    assert (out.verdict, out.reason) == ("send", f"fwd_{method.name.lower()}")
    assert bytes(out.packet)[-32:] == SECRET


def test_it_restarts_the_timer(director: World) -> None:
    one_server(director, Method.NAT)
    director.client(keys(v6=False))
    director.age(100)
    director.client(protected(v6=False, protocol=w.AH))
    (connection,) = director.connections()
    assert 299 < director.left(connection) < 301
    director.age(100)
    director.server(answer(v6=False))
    (connection,) = director.connections()
    assert 299 < director.left(connection) < 301


@FAMILIES
def test_without_a_connection_it_is_the_stacks(director: World, v6: bool) -> None:
    one_server(director, Method.NAT, v6)
    out = director.client(protected(v6))
    assert (out.verdict, out.reason) == ("pass", "pass_protocol")
    assert director.connections() == []


def test_answers_of_another_port_are_not_found(director: World) -> None:
    """IPVS too looks for a real server's port 500."""
    one_server(director, Method.NAT, port=501)
    director.client(keys(v6=False))
    assert director.client(protected(v6=False)).reason == "fwd_nat"
    assert director.server(answer(v6=False)).reason == "pass_protocol"


@pytest.mark.parametrize("to_server", [True, False])
def test_icmp_errors_about_it(director: World, to_server: bool) -> None:
    one_server(director, Method.NAT)
    director.client(keys(v6=False))
    if to_server:
        quoted = network(w.VIP, w.CLIENT, w.ESP)
        out = director.client(
            IP(src=w.CLIENT, dst=w.VIP) / ICMP(type=3, code=2) / Raw(bytes(quoted)[:28])
        )
        assert out.reason == "fwd_icmp_in"
        addresses = (w.server(1), w.CLIENT)
    else:
        quoted = network(w.CLIENT, w.server(1), w.ESP)
        out = director.server(
            IP(src=w.server(1), dst=w.CLIENT) / ICMP(type=3, code=2) / Raw(bytes(quoted)[:28])
        )
        assert out.reason == "fwd_icmp_out"
        addresses = (w.CLIENT, w.VIP)
    message = bytes(out.packet[ICMP])
    inner = IP(message[8:])
    assert (inner.src, inner.dst) == addresses
    assert bytes(inner)[-8:] == SECRET[:8]
    again = ICMP(message)
    del again.chksum
    assert bytes(ICMP(bytes(again))) == message


def test_what_an_ipv6_ah_protects_is_read(director: World) -> None:
    """As IPVS does: in IPv6 the header is one of many, and what follows has ports."""
    director.destination(director.service(w.VIP6), 1, Method.DR, v6=True)
    ip = IPv6(src=w.CLIENT6, dst=w.VIP6)
    header = AH(nh=w.TCP, payloadlen=4, spi=1, icv=bytes(12))  # six words, less two
    out = director.client(ip / header / TCP(sport=1, dport=80, flags="S"))
    assert out.reason == "fwd_dr"
    (connection,) = director.connections()
    assert (connection.protocol, connection.state) == (r.Transport.TCP, "SYN_RECV")
