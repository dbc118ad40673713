# SPDX-License-Identifier: Apache-2.0
"""Connections that an operator closes: both ends are told, and nothing that they held is lost."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from xlvs.datapath import records as r
from xlvs.datapath.held import to_take
from xlvs.datapath.port import Closed
from xlvs.datapath.records import Method, SyncedResult
from xlvs.datapath.selection import Selection
from xlvs.datapath.tables import Tables
from xlvs.io.connection_maps import ConnectionMaps
from xlvs.model.connection import ConnectionFilter, Side, Templates
from xlvs.model.service import Protocol

from . import world as w
from .table_invariants import check, check_empty
from .test_forwarding import FAMILIES, one_server
from .test_persistence import service as persistent
from .test_persistence import two
from .test_sync import METHODS, Teller, client, establish
from .world import World

ALL = ConnectionFilter(client=Side(port=40000))
BOTH_WAYS = (Method.NAT, Method.FULLNAT)


@pytest.fixture
def maps(director: World) -> Iterator[ConnectionMaps]:
    made = ConnectionMaps(director.path)
    yield made
    made.close()


def close(
    maps: ConnectionMaps, wanted: ConnectionFilter = ALL, limit: int = 100, *, reset: bool = True
) -> Closed:
    selection = Selection.of(wanted, Tables(), closed=not reset)
    return sum(maps.end(selection, limit, reset=reset), Closed())


def end_of(packet: Packet, v6: bool) -> tuple[str, str, int, int]:
    ip, tcp = packet[IPv6 if v6 else IP], packet[TCP]
    return ip.src, ip.dst, tcp.sport, tcp.dport


def segment(v6: bool, flags: str = "PA", sport: int = 40000) -> Packet:
    made = client(v6, udp=False, flags=flags, sport=sport)
    made[TCP].seq, made[TCP].ack = 5000, 777
    return made / (b"x" * 100 * ("P" in flags))


def answer(director: World, method: Method, v6: bool, flags: str = "PA") -> Packet:
    (found,) = director.connections()
    src = w.server6(1) if v6 else w.server(1)
    if method is Method.FULLNAT:
        dst, port = (w.LIP6 if v6 else w.LIP), found.local_port
    else:
        dst, port = (w.CLIENT6 if v6 else w.CLIENT), 40000
    made = (IPv6(src=src, dst=dst) if v6 else IP(src=src, dst=dst)) / TCP(
        sport=80, dport=port, flags=flags, seq=100, ack=4242
    )
    return made / (b"y" * 50 * ("P" in flags))


@FAMILIES
@METHODS
def test_both_ends_are_reset_when_they_send(
    director: World, maps: ConnectionMaps, method: Method, v6: bool
) -> None:
    _, id_ = one_server(director, method, v6, udp=False)
    establish(director, v6)
    assert director.load(id_) == (1, 0)
    assert close(maps) == Closed(reset=1)
    (closed,) = director.connections()
    assert closed.state == "RESET"
    assert director.load(id_) == (0, 1)
    assert 59 < director.left(closed) < 61, "a fresh time-out, this table's of the state"

    # The first segment tells the other end, and what its sender sends then is answered.
    out = director.client(segment(v6))
    assert (out.verdict, out.reason) == ("send", f"fwd_{method.name.lower()}")
    inner = out.packet if method is not Method.TUN else out.packet[IPv6 if v6 else IP].payload
    assert (str(inner[TCP].flags), inner[TCP].seq) == ("RA", 5000)
    assert w.right(out.packet)
    for _ in range(2):
        out = director.client(segment(v6))
        assert (out.verdict, out.reason) == ("send", "reply_reset")
        assert end_of(out.packet, v6) == (
            w.VIP6 if v6 else w.VIP,
            w.CLIENT6 if v6 else w.CLIENT,
            80,
            40000,
        )
        assert (str(out.packet[TCP].flags), out.packet[TCP].seq) == ("R", 777)
        assert w.right(out.packet)
    check(director)
    assert director.load(id_) == (0, 1)


@FAMILIES
@pytest.mark.parametrize("method", BOTH_WAYS)
def test_a_server_that_sends_first(
    director: World, maps: ConnectionMaps, method: Method, v6: bool
) -> None:
    one_server(director, method, v6, udp=False)
    establish(director, v6)
    close(maps)
    packet = answer(director, method, v6)
    out = director.server(packet)
    assert (out.verdict, out.reason) == ("send", "fwd_reply")
    client_end = (w.CLIENT6 if v6 else w.CLIENT, 40000)
    assert (end_of(out.packet, v6)[1], out.packet[TCP].dport) == client_end
    assert (str(out.packet[TCP].flags), out.packet[TCP].seq) == ("RA", 100)
    assert w.right(out.packet)
    out = director.server(packet)
    assert (out.verdict, out.reason) == ("send", "reply_reset")
    src, dst, sport, dport = end_of(packet, v6)
    assert end_of(out.packet, v6) == (dst, src, dport, sport)
    assert (str(out.packet[TCP].flags), out.packet[TCP].seq) == ("R", 4242)
    assert out.packet.dst == w.server_mac(1)
    assert w.right(out.packet)
    # Who was told and still sends has not heard it: the other is told now.
    assert director.client(segment(v6)).reason == f"fwd_{method.name.lower()}"
    assert director.client(segment(v6)).reason == "reply_reset"
    check(director)


@METHODS
def test_the_reset_of_one_end_reaches_the_other(
    director: World, maps: ConnectionMaps, method: Method
) -> None:
    """By DR and TUN it is the client that answers the server, which never passes here."""
    one_server(director, method, v6=False, udp=False)
    establish(director)
    close(maps)
    out = director.client(segment(v6=False, flags="R"))
    assert (out.verdict, out.reason) == ("send", f"fwd_{method.name.lower()}")
    if method in BOTH_WAYS:
        out = director.server(answer(director, method, v6=False, flags="R"))
        assert (out.verdict, out.reason) == ("send", "fwd_reply")
    assert director.state() == "RESET"


@METHODS
def test_a_client_that_comes_again_is_scheduled_anew(
    director: World, maps: ConnectionMaps, method: Method
) -> None:
    _, id_ = one_server(director, method, v6=False, udp=False)
    establish(director)
    director.set(conn_reuse_mode=0)
    close(maps)
    assert director.client(segment(v6=False, flags="S")).reason == f"fwd_{method.name.lower()}"
    assert director.state() != "RESET"
    assert director.load(id_) == (1, 0)
    assert director.stats("service", 0).connections == 2
    check(director)


@METHODS
@pytest.mark.parametrize(
    ("v6", "udp"), [(False, False), (True, False), (False, True)], ids=["tcp4", "tcp6", "udp4"]
)
def test_what_is_forgotten_leaves_nothing(
    director: World, maps: ConnectionMaps, method: Method, v6: bool, udp: bool
) -> None:
    _, id_ = one_server(director, method, v6, udp)
    establish(director, v6, udp)
    assert close(maps, reset=False) == Closed(ended=1)
    check_empty(director)
    assert director.load(id_) == (0, 0)
    if not udp:
        assert director.client(segment(v6)).reason == "pass_not_syn"


def test_datagrams_have_no_reset(director: World, maps: ConnectionMaps) -> None:
    one_server(director, Method.NAT, v6=False, udp=True)
    establish(director, udp=True)
    assert close(maps) == Closed(ended=1)
    check_empty(director)


def test_a_closed_connection_is_over_in_the_end(director: World, maps: ConnectionMaps) -> None:
    _, id_ = one_server(director, Method.FULLNAT, v6=False, udp=False)
    establish(director)
    close(maps)
    director.age(61)
    assert director.client(segment(v6=False)).reason == "pass_not_syn"
    assert director.client(segment(v6=False, flags="S")).verdict == "send"
    assert director.load(id_) == (1, 0)
    check(director)


def test_closed_once_is_closed(director: World, maps: ConnectionMaps) -> None:
    one_server(director, Method.NAT, v6=False, udp=False)
    establish(director)
    close(maps)
    assert close(maps) == Closed(), "what is closed does not count again"
    assert close(maps, reset=False) == Closed(ended=1), "but may be forgotten"
    check_empty(director)


def test_only_what_is_meant(director: World, maps: ConnectionMaps) -> None:
    one_server(director, Method.DR, v6=False, udp=False)
    for sport in range(40000, 40010):
        director.client(client(v6=False, udp=False, sport=sport))
    assert close(maps, ConnectionFilter(protocols=frozenset({Protocol.UDP}))) == Closed()
    elsewhere = Side(ip_network("192.0.2.0/25"))
    assert close(maps, ConnectionFilter(client=elsewhere)) == Closed()
    assert close(maps, ConnectionFilter(client=Side(port=40003))) == Closed(reset=1)
    here = Side(ip_network(w.VIP))
    assert close(maps, ConnectionFilter(virtual=here), limit=4) == Closed(reset=4, more=True)
    assert close(maps, ConnectionFilter(virtual=here), limit=5) == Closed(reset=5)
    assert {each.state for each in director.connections()} == {"RESET"}
    check(director)


def test_a_client_that_has_not_proved_itself(director: World, maps: ConnectionMaps) -> None:
    one_server(director, Method.NAT, v6=False, udp=False)
    director.client(client(v6=False, udp=False))
    assert close(maps) == Closed(reset=1)
    assert director.connections()[0].half_open
    assert director.client(segment(v6=False, flags="A")).reason == "reply_reset"
    check(director)


@pytest.mark.parametrize("method", BOTH_WAYS)
def test_an_end_that_only_listens(director: World, maps: ConnectionMaps, method: Method) -> None:
    """Nothing of it would come again: it is told, and the other when that sends something."""
    one_server(director, method, v6=False, udp=False)
    establish(director)
    close(maps)
    packet = answer(director, method, v6=False)
    for _ in range(2):
        assert director.client(segment(v6=False, flags="A")).reason == "reply_reset"
    assert director.state() == "RESET_CLIENT"
    out = director.server(packet)
    assert (out.reason, str(out.packet[TCP].flags), out.packet[TCP].seq) == (
        "reply_reset",
        "R",
        4242,
    )
    check(director)


def test_what_ended_meanwhile_is_gone(director: World, maps: ConnectionMaps) -> None:
    one_server(director, Method.NAT, v6=False, udp=False)
    establish(director)
    stale = r.Closing(r.Tenant(0, 0), 1)
    (told,) = maps._closings.run([stale])
    assert r.ClosingResult(told.result) is r.ClosingResult.GONE
    beyond = r.Closing(r.Tenant(0xFFFFFFFF, 1), 0)
    (told,) = maps._closings.run([beyond])
    assert r.ClosingResult(told.result) is r.ClosingResult.GONE
    assert director.state() == "ESTABLISHED"


def test_templates_and_what_lives_under_them(director: World, maps: ConnectionMaps) -> None:
    two(director, persistent(director))
    director.client(client(v6=False, udp=False))
    assert close(maps, reset=False) == Closed(ended=1)
    check(director)  # among others: the template counts nobody any more
    director.client(client(v6=False, udp=False))
    assert close(maps, ConnectionFilter(templates=Templates.ONLY)) == Closed(ended=1)
    assert [each.template for each in director.connections()] == [False]
    assert not dict(director.path.map("templates").items())
    assert close(maps, reset=False) == Closed(ended=1)
    check_empty(director)


def test_a_closed_client_of_a_template_keeps_its_server(
    director: World, maps: ConnectionMaps
) -> None:
    two(director, persistent(director))
    first = director.client(client(v6=False, udp=False)).packet.dst
    close(maps)
    assert director.client(client(v6=False, udp=False)).packet.dst == first
    check(director)


def test_other_directors_hear_of_it_and_do_not_undo_it(
    director: World, maps: ConnectionMaps
) -> None:
    teller = Teller(director)
    try:
        one_server(director, Method.NAT, v6=False, udp=False)
        establish(director)
        (before,) = teller.told()
        close(maps)
        (told,) = teller.told()
        assert told.state is r.State.RESET
        assert teller.maps.take([to_take(before)]) == [SyncedResult.OLDER]
        assert director.state() == "RESET"
    finally:
        teller.close()


def test_more_than_one_batch_while_packets_come(director: World, maps: ConnectionMaps) -> None:
    """Each packet either comes before, or is answered; the counters are right in the end."""
    count = 400
    _, id_ = one_server(director, Method.NAT, v6=False, udp=False)
    for sport in range(1024, 1024 + count):
        director.client(client(v6=False, udp=False, sport=sport))
        director.client(client(v6=False, udp=False, sport=sport, flags="A"))
    assert director.load(id_) == (count, 0)

    def send() -> set[str]:
        packets = (client(v6=False, udp=False, sport=s, flags="A") for s in range(1024, 1424))
        return {director.client(each).reason for each in packets}

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        done = Closed()
        while done.reset < count:
            done += close(maps, ConnectionFilter(virtual=Side(port=80)))
        assert sending.result() <= {"fwd_nat", "reply_reset"}
    assert done.contended == 0
    assert director.load(id_) == (0, count)
    check(director)
    assert close(maps, ConnectionFilter(virtual=Side(port=80)), 1000, reset=False).ended == count
    check_empty(director)


def test_udp_to_a_port_beside_is_left(director: World, maps: ConnectionMaps) -> None:
    director.destination(director.service(port=53, protocol=w.UDP), 1, Method.DR, port=53)
    query = IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=40000, dport=53)
    director.client(query)
    assert close(maps, ConnectionFilter(virtual=Side(port=54))) == Closed()
    assert close(maps, ConnectionFilter(virtual=Side(port=53))) == Closed(ended=1)
