# SPDX-License-Identifier: Apache-2.0
"""Persistent services: templates, what they decide, what they count and when they end."""

from __future__ import annotations

import time

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet
from tests.datapath import world as w
from tests.datapath.world import Connection, World

from xlvs.datapath import records as r
from xlvs.datapath.records import ConnectionFlag, Method, Scheduler, State, Transport

HOST_MASK = b"\xff" * 16
MAPS = ("templates", "controlled", "call_ids")


def mask(bits4: int) -> bytes:
    return b"\xff" * 12 + ((0xFFFFFFFF << 32 - bits4) & 0xFFFFFFFF).to_bytes(4, "big")


def service(director: World, seconds: float = 100, **changes: object) -> int:
    """A persistent service of TCP port 80 with the servers 1 and 2, round robin."""
    fields: dict[str, object] = {
        "persistence": round(seconds * director.hz),
        "mask": HOST_MASK,
        "flags": r.ServiceFlag.USED | r.ServiceFlag.PERSISTENT,
    }
    port = changes.pop("port", 80)
    protocol = changes.pop("protocol", w.TCP)
    vip = changes.pop("vip", w.VIP)
    assert isinstance(port, int)
    assert isinstance(protocol, int)
    assert isinstance(vip, str)
    local = changes.pop("local", ())
    assert isinstance(local, tuple)
    number = director.service(vip, port, protocol, local=local, **{**fields, **changes})
    if port == 0:
        director.set(zero_ports=1)
    return number


def two(
    director: World, number: int, method: Method = Method.DR, **changes: object
) -> tuple[int, int]:
    v6 = ":" in director.vips[number]
    one = director.destination(number, 1, method, v6=v6, **changes)
    return one, director.destination(number, 2, method, v6=v6, **changes)


def syn(client: str = w.CLIENT, sport: int = 40000, dport: int = 80, flags: str = "S") -> Packet:
    if ":" in client:
        return IPv6(src=client, dst=w.VIP6) / TCP(sport=sport, dport=dport, flags=flags)
    return IP(src=client, dst=w.VIP) / TCP(sport=sport, dport=dport, flags=flags)


def chosen(director: World, packet: Packet) -> int:
    """Which server gets it."""
    out = director.client(packet)
    assert out.reason.startswith("fwd_"), out.reason
    return int(out.packet.dst[-2:], 16) & 0xF


def templates(director: World) -> list[Connection]:
    return [each for each in director.connections() if each.template]


def plain(director: World) -> list[Connection]:
    return [each for each in director.connections() if not each.template]


def state(director: World) -> r.Template:
    ((_, raw),) = director.path.map("templates").items()
    return director.layout.unpack(r.Template, raw)


def persistent(director: World, destination: int) -> int:
    raw = director.path.map("destination_load").lookup(destination) or b""
    return director.layout.unpack(r.DestinationLoad, raw).persistent


def nothing_left(director: World) -> None:
    director.path.start_sweep()
    director.age(1000000)
    # A template is renewed while the sweep has not ended its connections.
    for _ in range(40):
        time.sleep(0.1)
        director.age(1000000)
        if not director.connections():
            break
    assert director.connections() == []
    for name in MAPS:
        assert list(director.path.map(name).items()) == [], name
    for each in director.destinations:
        assert director.load(each) == (0, 0)
        assert persistent(director, each) == 0
    assert director.left_behind() == []


@pytest.mark.parametrize("client", [w.CLIENT, w.CLIENT6])
@pytest.mark.parametrize("method", list(Method))
def test_a_client_keeps_its_server(director: World, method: Method, client: str) -> None:
    v6 = ":" in client
    local = ("fd00:200::65" if v6 else "192.168.200.101",)
    number = service(director, vip=w.VIP6 if v6 else w.VIP, local=local)
    director.destination(number, 1, method, v6=v6, port_block=0)
    director.destination(number, 2, method, v6=v6, port_block=1)
    first = chosen(director, syn(client))
    assert [chosen(director, syn(client, 40001 + i)) for i in range(5)] == [first] * 5
    other = "fd00:3::77" if v6 else "198.51.100.77"
    assert chosen(director, syn(other)) == 3 - first
    assert len(templates(director)) == 2
    assert {each.client_port for each in templates(director)} == {0}
    nothing_left(director)


def test_the_mask_makes_one_client_of_a_network(director: World) -> None:
    two(director, service(director, mask=mask(24)))
    first = chosen(director, syn("198.51.100.1"))
    assert chosen(director, syn("198.51.100.254")) == first
    assert chosen(director, syn("198.51.101.1")) == 3 - first
    assert {each.client for each in templates(director)} == {"198.51.100.0", "198.51.101.0"}


def test_its_time_runs_from_the_last_new_connection(director: World) -> None:
    two(director, service(director, 100))
    chosen(director, syn())
    (template,) = templates(director)
    assert 99 < director.left(template) <= 100.2
    director.age(60, [template])
    director.client(syn(flags="A"))
    assert director.left(templates(director)[0]) < 41
    chosen(director, syn(sport=40001))
    assert director.left(templates(director)[0]) > 99


def test_it_lives_on_for_a_minute_with_its_connections(director: World) -> None:
    one, two_ = two(director, service(director, 2))
    director.path.start_sweep()
    chosen(director, syn())
    director.age(3, templates(director))
    time.sleep(0.5)
    (template,) = templates(director)
    assert 58 < director.left(template) <= 60.2
    assert state(director).timeout == 60 * director.hz
    chosen(director, syn(sport=40001))
    assert director.left(templates(director)[0]) > 59
    assert persistent(director, one) + persistent(director, two_) == 1
    nothing_left(director)


def test_a_template_that_is_over_is_not_asked(director: World) -> None:
    two(director, service(director, 100))
    first = chosen(director, syn())
    director.path.start_sweep()
    director.age(10000, plain(director))
    time.sleep(0.5)
    director.age(10000)
    assert chosen(director, syn(sport=40001)) == 3 - first


def test_established_assures_it(director: World) -> None:
    two(director, service(director))
    chosen(director, syn())
    assert not state(director).assured
    director.client(syn(flags="A"))
    assert state(director).assured


def test_an_answer_assures_it_for_udp(director: World) -> None:
    number = service(director, protocol=w.UDP, port=53)
    one, _ = two(director, number, Method.NAT, port=53)
    server = chosen(director, IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=5000, dport=53) / b"?")
    answer = IP(src=w.server(server), dst=w.CLIENT) / UDP(sport=53, dport=5000) / b"!"
    for _ in range(2):
        assert not state(director).assured
        director.client(IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=5000, dport=53) / b"?")
    assert director.server(answer, server).reason == "fwd_reply"
    assert state(director).assured
    assert one >= 0


def test_weight_zero_and_threshold_do_not_matter_to_a_known_client(director: World) -> None:
    one, two_ = two(director, service(director))
    first = chosen(director, syn())
    mine = one if first == 1 else two_
    director.change(mine, weight=0)
    assert chosen(director, syn(sport=40001)) == first
    director.change(mine, weight=1, upper_threshold=1, lower_threshold=0)
    assert chosen(director, syn(sport=40002)) == first


def test_expire_quiescent_template_abandons_it(director: World) -> None:
    one, two_ = two(director, service(director))
    first = chosen(director, syn())
    director.set(expire_quiescent_template=1)
    director.change(one if first == 1 else two_, weight=0)
    assert chosen(director, syn(sport=40001)) == 3 - first
    assert sorted(each.state for each in templates(director)) == ["ABANDONED", "NONE"]
    # Its connection goes on.
    assert chosen(director, syn(flags="A")) == first
    nothing_left(director)


def test_a_removed_server_abandons_it(director: World) -> None:
    number = service(director)
    one, two_ = two(director, number)
    first = chosen(director, syn())
    mine = one if first == 1 else two_
    director.lists[number].remove(mine)
    director.commit(number, Scheduler.RR)
    director.change(mine, flags=r.DestinationFlag.RESOLVED)
    assert chosen(director, syn(sport=40001)) == 3 - first
    nothing_left(director)


def test_port_zero_takes_all_ports_to_one_server(director: World) -> None:
    number = service(director, port=0)
    two(
        director,
        number,
        Method.NAT,
        port=0,
        flags=(
            r.DestinationFlag.AVAILABLE | r.DestinationFlag.RESOLVED | r.DestinationFlag.CLIENT_PORT
        ),
    )
    first = chosen(director, syn(dport=8080))
    out = director.client(syn(sport=40001, dport=443))
    assert (out.packet[IP].dst, out.packet[TCP].dport) == (w.server(first), 443)
    assert w.right(out.packet)
    answer = IP(src=w.server(first), dst=w.CLIENT) / TCP(sport=443, dport=40001, flags="SA")
    back = director.server(answer, first)
    assert (back.reason, back.packet[IP].src, back.packet[TCP].sport) == ("fwd_reply", w.VIP, 443)
    (template,) = templates(director)
    assert template.virtual_port == 0
    # A service of the port itself comes first.
    other = director.service(port=443)
    two(director, other)
    assert director.client(syn("198.51.100.9", dport=443)).reason == "fwd_dr"
    nothing_left(director)


def test_port_zero_without_persistence_serves_nobody(director: World) -> None:
    number = director.service(port=0)
    director.set(zero_ports=1)
    two(director, number)
    assert director.client(syn()).reason == "reply_no_destination"


def test_ftp_data_goes_with_its_control_connection(director: World) -> None:
    number = service(director, port=21)
    two(
        director,
        number,
        port=21,
        flags=(
            r.DestinationFlag.AVAILABLE | r.DestinationFlag.RESOLVED | r.DestinationFlag.CLIENT_PORT
        ),
    )
    director.set(ftp_services=1)
    first = chosen(director, syn(dport=21))
    assert chosen(director, syn(sport=40001, dport=50000)) == first
    assert chosen(director, syn(sport=40002, dport=20)) == first
    assert director.client(syn(sport=40003, dport=80)).reason == "pass_no_service"
    (template,) = templates(director)
    assert template.virtual_port == 0


def test_one_packet_remembers_the_template_only(director: World) -> None:
    flags = r.ServiceFlag.USED | r.ServiceFlag.PERSISTENT | r.ServiceFlag.ONE_PACKET
    two(director, service(director, protocol=w.UDP, port=53, flags=flags), port=53)
    datagram = IP(src=w.CLIENT, dst=w.VIP) / UDP(sport=5000, dport=53) / b"?"
    first = chosen(director, datagram)
    assert [chosen(director, datagram) for _ in range(4)] == [first] * 4
    assert plain(director) == []
    assert len(templates(director)) == 1
    nothing_left(director)


# -- SIP ------------------------------------------------------------------------


def invite(call: bytes, client: str = w.CLIENT, sport: int = 5060) -> Packet:
    if ":" in client:
        return IPv6(src=client, dst=w.VIP6) / UDP(sport=sport, dport=5060) / call
    return IP(src=client, dst=w.VIP) / UDP(sport=sport, dport=5060) / call


def sip(director: World, vip: str = w.VIP) -> None:
    flags = r.ServiceFlag.USED | r.ServiceFlag.PERSISTENT | r.ServiceFlag.SIP
    two(director, service(director, vip=vip, protocol=w.UDP, port=5060, flags=flags), port=5060)


@pytest.mark.parametrize(
    "line",
    [
        b"Call-ID: aaa@x\r\n",
        b"call-id : aaa@x\r\n",
        b"CALL-ID:aaa@x\n",
        b"i: aaa@x\r",
        b"I:\t aaa@x\r\n",
        b"Call-ID:\r\n  aaa@x\r\n",
        b"Cal: x\r\nCall-Info: y\r\nCall-ID: aaa@x\r\n",
    ],
)
@pytest.mark.parametrize("client", [w.CLIENT, w.CLIENT6])
def test_a_call_keeps_its_server(director: World, line: bytes, client: str) -> None:
    sip(director, w.VIP6 if ":" in client else w.VIP)
    first = chosen(director, invite(b"INVITE sip:x SIP/2.0\r\n" + line + b"\r\n", client))
    ((_, raw),) = director.path.map("call_ids").items()
    text = director.layout.unpack(r.CallId, raw)
    assert text.text[: text.length] == b"aaa@x"
    assert chosen(director, invite(b"BYE x\r\nCall-ID: aaa@x\r\n\r\n", client, 5061)) == first
    assert chosen(director, invite(b"BYE x\r\nCall-ID: bbb@x\r\n\r\n", client, 5062)) == 3 - first
    assert len(templates(director)) == 2
    nothing_left(director)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"no sip at all",
        b"Call-ID: first-line@x\r\n",
        b"INVITE x\r\nCall-ID aaa@x\r\n",
        b"INVITE x\r\nCall-ID: aaa@x",
        b"INVITE x\r\nCall-ID: aaa@\r\n",
        b"INVITE x\r\nCall-ID: \r\n\r\n",
        b"INVITE x\r\nCall-ID: aaa@x;y\r\n",
        b"INVITE x\r\nCall-ID: " + b"a" * 256 + b"\r\n",
        b"INVITE x\r\ni-am: not it\r\nCall-ID: aaa@x\r\n",
    ],
)
def test_without_a_call_id_a_datagram_is_dropped(director: World, message: bytes) -> None:
    sip(director)
    assert director.client(invite(message)).reason == "drop_no_call_id"
    assert director.connections() == []


def test_the_longest_call_id(director: World) -> None:
    sip(director)
    call = b"INVITE x\r\nCall-ID: " + b"a" * 255 + b"\r\n"
    assert chosen(director, invite(call)) == chosen(director, invite(call, sport=5061))


def test_words(director: World) -> None:
    """What of the table a template's bits say."""
    two(director, service(director))
    chosen(director, syn())
    (template,) = templates(director)
    (connection,) = plain(director)
    assert template.protocol == Transport.TCP
    assert template.state == State.NONE.name
    assert connection.word & ConnectionFlag.CONTROLLED
