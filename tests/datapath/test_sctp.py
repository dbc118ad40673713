# SPDX-License-Identifier: Apache-2.0
"""SCTP: what opens a connection, bundled chunks, reuse of ports, and the CRC after a
translation; scapy computes the CRC32c to compare with. The states are the oracle's."""

from __future__ import annotations

import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, crc32c
from scapy.packet import Packet, Raw

from xlvs.datapath import records as r
from xlvs.datapath.records import Method

from . import world as w
from .world import World

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
DATA, INIT, INIT_ACK, SACK, ABORT, SHUTDOWN = 0, 1, 2, 3, 6, 7
COOKIE_ECHO, COOKIE_ACK = 10, 11


def chunk(kind: int, value: bytes = b"", length: int | None = None) -> bytes:
    size = 4 + len(value) if length is None else length
    return struct.pack("!BBH", kind, 0, size) + value + bytes(-len(value) % 4)


def sctp(sport: int, dport: int, body: bytes) -> bytes:
    """A packet with a right CRC."""
    header = struct.pack("!HHI", sport, dport, 0x11223344)
    return header + struct.pack(">I", crc32c(header + bytes(4) + body)) + body


def right(segment: bytes) -> bool:
    """Has the packet the right CRC?"""
    return struct.pack(">I", crc32c(segment[:8] + bytes(4) + segment[12:])) == segment[8:12]


def network(source: str, target: str, segment: bytes) -> Packet:
    if ":" in source:
        return IPv6(src=source, dst=target, nh=w.SCTP) / Raw(segment)
    return IP(src=source, dst=target, proto=w.SCTP) / Raw(segment)


def client(body: bytes, v6: bool = False, sport: int = 40000) -> Packet:
    segment = sctp(sport, 99, body)
    return network(w.CLIENT6 if v6 else w.CLIENT, w.VIP6 if v6 else w.VIP, segment)


def answer(body: bytes, v6: bool = False, sport: int = 99, dport: int = 40000) -> Packet:
    source, target = (w.server6(1), w.CLIENT6) if v6 else (w.server(1), w.CLIENT)
    return network(source, target, sctp(sport, dport, body))


def payload(packet: Packet, v6: bool) -> bytes:
    """The SCTP packet of a frame."""
    ip = packet[IPv6 if v6 else IP]
    ip = ip.__class__(bytes(ip))
    raw = bytes(ip)
    return raw[40:] if v6 else raw[ip.ihl * 4 : ip.len]


def one_server(director: World, method: Method, v6: bool = False, port: int = 99) -> int:
    local = (w.LIP6 if v6 else w.LIP,) if method is Method.FULLNAT else ()
    service = director.service(w.VIP6 if v6 else w.VIP, 99, w.SCTP, local=local)
    return director.destination(service, 1, method, port=port, v6=v6)


@FAMILIES
@pytest.mark.parametrize("method", [Method.NAT, Method.FULLNAT])
def test_ports_are_translated_and_the_crc_follows(
    director: World, v6: bool, method: Method
) -> None:
    number = one_server(director, method, v6, port=9899)
    out = director.client(client(chunk(INIT, bytes(16)), v6))
    assert (out.verdict, out.reason) == ("send", f"fwd_{method.name.lower()}")
    seen = payload(out.packet, v6)
    sport, dport = struct.unpack("!HH", seen[:4])
    assert dport == 9899
    assert (sport == 40000) == (method is Method.NAT)
    assert right(seen)
    assert out.packet[IPv6 if v6 else IP].dst == (w.server6(1) if v6 else w.server(1))
    back = w.CLIENT6 if v6 else w.CLIENT
    if method is Method.FULLNAT:
        back = w.LIP6 if v6 else w.LIP
    reply = network(
        w.server6(1) if v6 else w.server(1),
        back,
        sctp(9899, sport, chunk(INIT_ACK, bytes(16)) + b"x" * 3),
    )
    out = director.server(reply)
    assert (out.verdict, out.reason) == ("send", "fwd_reply")
    seen = payload(out.packet, v6)
    assert struct.unpack("!HH", seen[:4]) == (99, 40000)
    assert right(seen)
    (connection,) = director.connections()
    assert connection.protocol is r.Transport.SCTP
    assert connection.state == "SCTP_COOKIE_SENT"
    assert director.stats("destination", number)[:3] == (1, 1, 1)


@given(
    body=st.binary(max_size=1400),
    ports=st.tuples(*[st.integers(1, 65535)] * 2),
    server=st.integers(1, 65535),
)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # it is reset below
)
def test_the_crc_follows_whatever_the_packet(
    director: World, body: bytes, ports: tuple[int, int], server: int
) -> None:
    director.reset()
    service = director.service(w.VIP, ports[1], w.SCTP)
    director.destination(service, 1, Method.NAT, port=server)
    segment = sctp(ports[0], ports[1], chunk(INIT, bytes(16)) + body)
    out = director.client(network(w.CLIENT, w.VIP, segment))
    assert out.reason == "fwd_nat"
    seen = payload(out.packet, v6=False)
    assert struct.unpack("!HH", seen[:4]) == (ports[0], server)
    assert seen[12:] == segment[12:]
    assert right(seen)


def test_a_long_packet(director: World) -> None:
    """More than one nibble of its length in every place."""
    one_server(director, Method.NAT, port=9899)
    director.change(0, next_hop=director.destinations[0].next_hop._replace(mtu=9000))
    size = 3000  # one page holds it
    segment = sctp(40000, 99, chunk(INIT, bytes(16)) + (bytes(range(256)) * 32)[: size - 28])
    out = director.client(network(w.CLIENT, w.VIP, segment))
    assert out.reason == "fwd_nat"
    assert right(payload(out.packet, v6=False))


def test_a_wrong_crc_stays_wrong(director: World) -> None:
    one_server(director, Method.NAT, port=9899)
    segment = bytearray(sctp(40000, 99, chunk(INIT, bytes(16))))
    segment[8] ^= 1
    out = director.client(network(w.CLIENT, w.VIP, bytes(segment)))
    assert out.reason == "fwd_nat"
    assert not right(payload(out.packet, v6=False))


def test_a_crc_that_the_device_computes_is_left_to_it(director: World) -> None:
    one_server(director, Method.NAT, port=9899)
    segment = sctp(40000, 99, chunk(INIT, bytes(16)))
    out = director.client(network(w.CLIENT, w.VIP, segment[:8] + bytes(4) + segment[12:]))
    assert out.reason == "fwd_nat"
    assert (payload(out.packet, v6=False)[8:12] == bytes(4)) == (director.hook == "tc")


@FAMILIES
@pytest.mark.parametrize("method", [Method.DR, Method.TUN])
def test_what_is_not_translated_stays(director: World, v6: bool, method: Method) -> None:
    number = one_server(director, method, v6)
    sent = client(chunk(INIT, bytes(16)), v6)
    out = director.client(sent)
    assert (out.verdict, out.reason) == ("send", f"fwd_{method.name.lower()}")
    ip = out.packet[IPv6 if v6 else IP]
    inner = ip.payload if method is Method.TUN else ip
    assert bytes(inner)[-32:] == bytes(sent)[-32:]
    assert director.state() == "SCTP_INIT1"
    assert director.load(number) == (0, 1)


@pytest.mark.parametrize(
    ("body", "opens", "opens_sloppy"),
    [
        (chunk(INIT, bytes(16)), True, True),
        (chunk(DATA, bytes(16)), False, True),
        (chunk(COOKIE_ECHO, bytes(8)), False, True),
        (chunk(SHUTDOWN, bytes(4)), False, True),
        (chunk(0xC1), False, True),
        (chunk(ABORT), False, False),
        (b"", False, False),
        (b"\x01\0\0", False, False),
    ],
    ids=["init", "data", "cookie_echo", "shutdown", "asconf", "abort", "none", "cut"],
)
def test_what_opens_a_connection(
    director: World, body: bytes, opens: bool, opens_sloppy: bool
) -> None:
    one_server(director, Method.NAT)
    assert director.client(client(body)).reason == ("fwd_nat" if opens else "pass_not_syn")
    director.set(sloppy_sctp=1)
    out = director.client(client(body, sport=40001))
    assert out.reason == ("fwd_nat" if opens_sloppy else "pass_not_syn")


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (chunk(COOKIE_ECHO, bytes(8)) + chunk(ABORT), "SCTP_CLOSED"),
        (chunk(COOKIE_ECHO, bytes(5)) + chunk(ABORT), "SCTP_CLOSED"),
        (chunk(COOKIE_ACK) + chunk(ABORT), "SCTP_CLOSED"),
        (chunk(DATA, bytes(16)) + chunk(ABORT), "SCTP_COOKIE_SENT"),
        (chunk(SACK, bytes(12)) + chunk(ABORT), "SCTP_COOKIE_SENT"),
        (chunk(COOKIE_ECHO) + chunk(SHUTDOWN, bytes(4)), "SCTP_COOKIE_REPLIED"),
        (chunk(COOKIE_ECHO, length=0) + chunk(ABORT), "SCTP_COOKIE_REPLIED"),
        (chunk(COOKIE_ECHO, length=3) + chunk(ABORT), "SCTP_COOKIE_REPLIED"),
        (
            chunk(COOKIE_ECHO) + chunk(DATA, bytes(16)) + chunk(ABORT),
            "SCTP_COOKIE_REPLIED",
        ),
        (chunk(COOKIE_ECHO) + chunk(ABORT)[:3], "SCTP_COOKIE_REPLIED"),
        (chunk(COOKIE_ECHO, length=2000), "SCTP_COOKIE_REPLIED"),
        (b"", "SCTP_COOKIE_SENT"),
        (chunk(0x80), "SCTP_COOKIE_SENT"),
        (chunk(15), "SCTP_COOKIE_SENT"),
    ],
)
def test_bundled_chunks(director: World, body: bytes, state: str) -> None:
    """As kernel 6.1 did when it was asked."""
    one_server(director, Method.NAT)
    director.client(client(chunk(INIT, bytes(16))))
    director.server(answer(chunk(INIT_ACK, bytes(16))))
    assert director.client(client(body)).reason == "fwd_nat"
    assert director.state() == state


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_an_init_on_closed_ports_is_scheduled_anew(director: World, mode: int) -> None:
    director.set(conn_reuse_mode=mode)
    service = director.service(port=99, protocol=w.SCTP)
    for n in (1, 2):
        director.destination(service, n, Method.DR, port=99)
    init = client(chunk(INIT, bytes(16)))
    first = director.client(init).packet.dst
    director.client(client(chunk(ABORT)))
    assert director.state() == "SCTP_CLOSED"
    again = director.client(init).packet.dst
    assert (again == first) == (mode == 0)
    assert director.state() == ("SCTP_INIT" if mode == 0 else "SCTP_INIT1")
    assert len(director.connections()) == 1


def test_only_established_is_active(director: World) -> None:
    number = one_server(director, Method.NAT)
    steps = [
        (client(chunk(INIT, bytes(16))), "SCTP_INIT1", (0, 1), True),
        (answer(chunk(INIT_ACK, bytes(16))), "SCTP_COOKIE_SENT", (0, 1), True),
        (client(chunk(COOKIE_ECHO, bytes(8))), "SCTP_COOKIE_REPLIED", (0, 1), False),
        (answer(chunk(COOKIE_ACK)), "SCTP_ESTABLISHED", (1, 0), False),
        (client(chunk(DATA, bytes(16))), "SCTP_ESTABLISHED", (1, 0), False),
        (client(chunk(SHUTDOWN, bytes(4))), "SCTP_SHUTDOWN_RECEIVED", (0, 1), False),
    ]
    for packet, state, load, half_open in steps:
        out = director.client(packet) if packet.dst == w.VIP else director.server(packet)
        assert out.verdict == "send"
        (connection,) = director.connections()
        assert (connection.state, connection.half_open) == (state, half_open)
        assert director.load(number) == load


@FAMILIES
def test_icmp_errors_that_quote_eight_bytes(director: World, v6: bool) -> None:
    one_server(director, Method.NAT, v6, port=9899)
    out = director.client(client(chunk(INIT, bytes(16)), v6))
    seen = bytes(out.packet[IPv6 if v6 else IP])[: 48 if v6 else 28]
    if v6:
        error = IPv6(src=w.server6(1), dst=w.CLIENT6) / ICMPv6DestUnreach(code=4) / Raw(seen)
    else:
        error = IP(src=w.server(1), dst=w.CLIENT) / ICMP(type=3, code=2) / Raw(seen)
    out = director.run(Ether(src=w.server_mac(1), dst=w.MAC1) / error, "eth1")
    assert (out.verdict, out.reason) == ("send", "fwd_icmp_out")
    data = bytes(out.packet[IPv6 if v6 else IP])
    quoted = data[48:] if v6 else data[28:]
    ports = quoted[40:44] if v6 else quoted[20:24]
    assert struct.unpack("!HH", ports) == (40000, 99)
    assert out.packet[IPv6 if v6 else IP].src == (w.VIP6 if v6 else w.VIP)


def test_the_same_ports_of_tcp_are_another_connection(director: World) -> None:
    one_server(director, Method.NAT)
    service = director.service(port=99, protocol=w.UDP)
    director.destination(service, 2, Method.NAT, port=99)
    director.client(client(chunk(INIT, bytes(16))))
    director.client(IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=40000, dport=99) / b"x")
    assert {c.protocol for c in director.connections()} == {r.Transport.SCTP, r.Transport.UDP}


def test_scapy_knows_the_same_crc() -> None:
    packet = SCTP(sport=40000, dport=99, tag=0x11223344) / Raw(chunk(INIT, bytes(16)))
    assert right(bytes(packet))
