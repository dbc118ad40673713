# SPDX-License-Identifier: Apache-2.0
"""net.ipv4.vs.schedule_icmp: an ICMP error about an unknown flow of a service opens it.

What each service makes of such an error was asked of the kernel (6.1).
"""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.packet import Packet

from xlvs.datapath import records as r
from xlvs.datapath.records import Method

from . import world as w
from .world import World

ROUTER = "198.51.100.7"
ROUTER6 = "2001:db8:77::7"
USED = r.ServiceFlag.USED
FULL = r.DestinationFlag.AVAILABLE | r.DestinationFlag.RESOLVED
ANY_PORT = FULL | r.DestinationFlag.CLIENT_PORT
PERSISTENT = {
    "flags": USED | r.ServiceFlag.PERSISTENT,
    "persistence": 5000,
    "mask": b"\xff" * 16,
}
SIP = {**PERSISTENT, "flags": USED | r.ServiceFlag.PERSISTENT | r.ServiceFlag.SIP}
ONE_PACKET = {"flags": USED | r.ServiceFlag.ONE_PACKET}
ONE_PACKET_PERSISTENT = {**PERSISTENT, "flags": PERSISTENT["flags"] | r.ServiceFlag.ONE_PACKET}
NO_SERVER: dict[str, object] = {}


def error(transport: Packet, client: str = w.CLIENT) -> Packet:
    """A router's, about what the virtual address sent to the client."""
    if ":" in client:
        quoted = IPv6(src=w.VIP6, dst=client) / transport
        return IPv6(src=ROUTER6, dst=w.VIP6) / ICMPv6PacketTooBig(mtu=1300) / quoted
    quoted = IP(src=w.VIP, dst=client) / transport
    return IP(src=ROUTER, dst=w.VIP) / ICMP(type=3, code=4, nexthopmtu=1300) / quoted


def answer(sport: int = 80, dport: int = 40000, flags: str = "A") -> Packet:
    return TCP(sport=sport, dport=dport, flags=flags)


def datagram(sport: int) -> Packet:
    return UDP(sport=sport, dport=40000) / b"?"


def test_an_error_about_an_unknown_flow_opens_a_connection(director: World) -> None:
    number = director.service()
    director.destination(number, 1, Method.DR)
    assert director.client(error(answer())).reason == "pass_icmp_no_connection"
    director.set(schedule_icmp=1)
    out = director.client(error(answer()))
    assert (out.verdict, out.reason) == ("send", "fwd_icmp_in")
    (found,) = director.connections()
    assert (found.client, found.client_port, found.state) == (w.CLIENT, 40000, "NONE")
    assert 2.5 < director.left(found) <= 3.1
    assert director.load(0) == (0, 1)
    assert director.client(error(datagram(53))).reason == "pass_icmp_no_connection"


@pytest.mark.parametrize(
    ("service", "server", "quoted", "reason", "connections"),
    [
        pytest.param({}, {}, answer(flags="R"), "fwd_icmp_in", ["NONE"], id="reset"),
        pytest.param({}, NO_SERVER, answer(), "drop_icmp_not_forwarded", [], id="no server"),
        pytest.param(
            {}, {"weight": 0}, answer(), "drop_icmp_not_forwarded", [], id="only weight 0"
        ),
        pytest.param(
            PERSISTENT, NO_SERVER, answer(), "drop_icmp_not_forwarded", [], id="none, persistent"
        ),
        pytest.param({}, {}, answer(dport=20), "pass_icmp_no_connection", [], id="active FTP's"),
        pytest.param(
            {"port": 21},
            {"port": 21, "flags": ANY_PORT},
            answer(50000),
            "pass_icmp_no_connection",
            [],
            id="FTP's other ports",
        ),
        pytest.param(
            {"port": 21, **PERSISTENT},
            {"port": 21, "flags": ANY_PORT},
            answer(50000),
            "fwd_icmp_in",
            ["NONE", "NONE"],
            id="FTP's other ports, persistent",
        ),
        pytest.param(
            {"port": 0, **PERSISTENT},
            {"port": 0, "flags": ANY_PORT},
            answer(),
            "fwd_icmp_in",
            ["NONE", "NONE"],
            id="all ports, persistent",
        ),
        pytest.param(
            {"port": 5060, "protocol": w.UDP, **SIP},
            {"port": 5060},
            datagram(5060),
            "drop_no_call_id",
            [],
            id="SIP",
        ),
        pytest.param(
            {"port": 53, "protocol": w.UDP, **ONE_PACKET},
            {"port": 53},
            datagram(53),
            "fwd_icmp_in",
            [],
            id="one packet",
        ),
        pytest.param(
            {"port": 53, "protocol": w.UDP, **ONE_PACKET_PERSISTENT},
            {"port": 53},
            datagram(53),
            "fwd_icmp_in",
            ["NONE"],
            id="one packet, persistent",
        ),
    ],
)
def test_services(
    director: World,
    service: dict[str, object],
    server: dict[str, object],
    quoted: Packet,
    reason: str,
    connections: list[str],
) -> None:
    number = director.service(**service)  # type: ignore[arg-type]
    director.set(schedule_icmp=1, ftp_services=1, zero_ports=1, cache_bypass=1, sip_services=1)
    if server is not NO_SERVER:
        director.destination(number, 1, Method.NAT, **server)  # type: ignore[arg-type]
    for _ in range(2):
        assert director.client(error(quoted)).reason == reason
        assert [each.state for each in director.connections()] == connections


def test_ipv6(director: World) -> None:
    number = director.service(w.VIP6)
    director.set(schedule_icmp=1)
    assert director.client(error(answer(), w.CLIENT6)).reason == "drop_icmp_not_forwarded"
    director.destination(number, 1, Method.NAT, v6=True)
    assert director.client(error(answer(), w.CLIENT6)).reason == "fwd_icmp_in"
    (found,) = director.connections()
    assert (found.client, found.state) == (w.CLIENT6, "NONE")


@pytest.mark.parametrize("client", ["127.0.0.9", w.VIP])
def test_the_quoted_client_may_be_anybody(director: World, client: str) -> None:
    director.destination(director.service(), 1, Method.NAT)
    director.set(schedule_icmp=1)
    assert director.client(error(answer(), client)).reason == "fwd_icmp_in"


def test_drop_packet_counts_it_as_a_new_connection(director: World) -> None:
    director.destination(director.service(), 1, Method.DR)
    director.set(schedule_icmp=1, drop_rate=3)
    reasons = [director.client(error(answer(dport=40000 + i))).reason for i in range(4)]
    assert reasons == ["drop_loaded", "fwd_icmp_in", "fwd_icmp_in", "drop_loaded"]


def test_no_server_is_told(director: World) -> None:
    """nat_icmp_send is about servers' packets, not about what an error quotes."""
    id_ = director.destination(director.service(port=81), 1, Method.NAT)
    key = r.ServiceKey(w.packed(w.CLIENT), port=40000, protocol=w.TCP, family=2)
    director.path.map("real_servers").update(director.layout.pack(key), id_.to_bytes(4, "little"))
    director.role(w.CLIENT, r.AddressRole.SERVER)
    director.role(w.VIP, r.AddressRole.SERVER)
    director.set(schedule_icmp=1, nat_icmp_send=1)
    assert director.client(error(answer())).reason == "pass_icmp_no_connection"


def test_its_local_port_is_given_back_with_the_packet(director: World) -> None:
    number = director.service(port=53, protocol=w.UDP, local=(w.LIP,), **ONE_PACKET)
    director.destination(number, 1, Method.FULLNAT, port=53, port_block=0)
    director.set(schedule_icmp=1)
    for i in range(3):
        out = director.client(error(UDP(sport=53, dport=40000 + i) / b"?"))
        assert out.reason == "fwd_icmp_in"
    ports = director.layout.unpack(r.LocalPorts, director.path.map("local_ports").lookup(0) or b"")
    assert ports.used == 0
    assert director.connections() == []


def test_its_services_time_outs_hold_from_the_next_packet_on(director: World) -> None:
    number = director.service(
        port=53,
        protocol=w.UDP,
        flags=USED | r.ServiceFlag.OWN_TIMEOUTS,
        timeout_udp=5 * director.hz,
    )
    director.destination(number, 1, Method.DR, port=53)
    director.set(schedule_icmp=1)
    director.client(error(datagram(53)))
    assert 2 < director.left(director.connections()[0]) <= 3.1
    director.client(IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=40000, dport=53) / b"?")
    assert 4 < director.left(director.connections()[0]) <= 5.2
