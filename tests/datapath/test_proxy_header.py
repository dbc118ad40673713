# SPDX-License-Identifier: Apache-2.0
"""The PROXY protocol's header in front of a client's stream, on both hooks."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.packet import Packet
from scapy.utils import checksum

from xlvs.datapath.records import DestinationFlag, Method, ServiceFlag

from . import world as w
from .test_gso import run as run_gso
from .test_toa import (
    FAMILIES,
    ISN,
    LINUX,
    PORT,
    SERVER_ISN,
    STAMPS,
    known,
    parts,
    right,
    segment,
    toa,
)
from .world import Out, World

METHODS = pytest.mark.parametrize("method", [Method.NAT, Method.FULLNAT], ids=["nat", "fullnat"])
VERSIONS = pytest.mark.parametrize("version", ["v1", "v2", "tlvs"])
FLAGS = {
    "v1": ServiceFlag.PROXY_V1,
    "v2": ServiceFlag.PROXY_V2,
    "tlvs": ServiceFlag.PROXY_V2 | ServiceFlag.PROXY_MARK | ServiceFlag.PROXY_ID,
}
LOCAL = DestinationFlag.AVAILABLE | DestinationFlag.RESOLVED | DestinationFlag.LOCAL
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def service(
    director: World,
    v6: bool,
    version: str = "v2",
    method: Method = Method.FULLNAT,
    more: ServiceFlag = ServiceFlag.USED,
    **changes: object,
) -> int:
    director.set(toa_kind=254)
    number = director.service(
        w.VIP6 if v6 else w.VIP,
        local=(w.LIP6 if v6 else w.LIP,) if method is Method.FULLNAT else (),
        flags=ServiceFlag.USED | FLAGS[version] | more,
    )
    return director.destination(number, 1, method, v6=v6, **changes)


def sent(director: World, packet: Packet) -> tuple[int, bytes, bytes]:
    """What became of a client's segment: its number from the ISN on, options, payload."""
    out = director.client(packet)
    assert out.verdict == "send", out.reason
    assert out.reason in {"fwd_nat", "fwd_fullnat"}
    assert right(out.packet)
    return (out.packet[TCP].seq - ISN & 0xFFFFFFFF, *parts(out.packet))


def answered(
    director: World, v6: bool, flags: str, ack: int, options: bytes = b"", payload: bytes = b""
) -> tuple[int, bytes, bytes]:
    """What the client gets: the acknowledgement from its ISN on, options, payload."""
    (connection,) = director.connections()
    full = connection.method is Method.FULLNAT
    to = (w.LIP6 if v6 else w.LIP) if full else (w.CLIENT6 if v6 else w.CLIENT)
    ip = IPv6(src=w.server6(1), dst=to) if v6 else IP(src=w.server(1), dst=to)
    tcp = TCP(
        sport=80,
        dport=connection.local_port if full else PORT,
        flags=flags,
        seq=SERVER_ISN,
        ack=(ISN + ack) & 0xFFFFFFFF,
        dataofs=5 + len(options) // 4,
    )
    out: Out = director.server(ip / tcp / (options + payload))
    assert (out.verdict, out.reason) == ("send", "fwd_reply")
    assert right(out.packet)
    found = out.packet[TCP]
    assert found.seq == SERVER_ISN, "the server's own numbers stay"
    return (found.ack - ISN & 0xFFFFFFFF, *parts(out.packet))


def wanted(v6: bool, version: str, sport: int = PORT) -> bytes:
    """The header but for the unique id, which nobody else knows."""
    source, target = (w.CLIENT6, w.VIP6) if v6 else (w.CLIENT, w.VIP)
    if version == "v1":
        if v6:
            source, target = (ip_address(each).exploded for each in (source, target))
        return f"PROXY TCP{6 if v6 else 4} {source} {target} {sport} 80\r\n".encode()
    addresses = ip_address(source).packed + ip_address(target).packed
    addresses += sport.to_bytes(2, "big") + (80).to_bytes(2, "big")
    rest = b""
    if version == "tlvs":
        rest = b"\xe0\0\x04" + bytes(4) + b"\x05\0\x10" + bytes(16)
    length = (len(addresses) + len(rest)).to_bytes(2, "big")
    return SIGNATURE + b"\x21" + (b"\x21" if v6 else b"\x11") + length + addresses + rest


def opened(director: World, v6: bool, version: str) -> bytes:
    """Shake hands; the header as it was sent in front of the handshake's ACK."""
    assert sent(director, segment(v6, "S", 0, LINUX)) == (0, LINUX, b"")
    answered(director, v6, "SA", 1, LINUX)
    seq, options, header = sent(director, segment(v6, "A", 1, STAMPS))
    assert (seq, options) == (1, STAMPS)
    expected = wanted(v6, version)
    if version == "tlvs":
        assert (header[:-16], len(header)) == (expected[:-16], len(expected))
        assert header[-16:].strip(b"\0")
    else:
        assert header == expected
    return header


@FAMILIES
@METHODS
@VERSIONS
def test_until_it_is_acknowledged_then_only_shifted(
    director: World, v6: bool, method: Method, version: str
) -> None:
    service(director, v6, version, method)
    header = opened(director, v6, version)
    h = len(header)
    # Again and the same, whatever begins with the stream.
    again = (("A", b""), ("PA", b"GET /"), ("PA", b"even"), ("FA", b""), ("FA", b"x"))
    for flags, payload in again:
        assert sent(director, segment(v6, flags, 1, STAMPS, payload)) == (
            *(1, STAMPS, header + payload),
        )
    assert sent(director, segment(v6, "PA", 6, STAMPS, b"behind")) == (6 + h, STAMPS, b"behind")
    assert sent(director, segment(v6, "A", 0)) == (0, b"", b""), "a probe for life"
    # The server's acknowledgements, before, within and behind the header.
    assert answered(director, v6, "A", 1, STAMPS) == (1, STAMPS, b"")
    assert answered(director, v6, "A", h, STAMPS)[0] == 1
    assert answered(director, v6, "PA", 1 + h, STAMPS, b"220 ready") == (1, STAMPS, b"220 ready")
    assert sent(director, segment(v6, "PA", 1, b"", b"GET /")) == (1 + h, b"", b"GET /")
    assert sent(director, segment(v6, "A", 0)) == (h, b"", b"")
    assert answered(director, v6, "A", 6 + h)[0] == 6
    assert answered(director, v6, "FA", 7 + h)[0] == 7
    assert sent(director, segment(v6, "R", 6))[0] == 6 + h
    assert director.streams() == {"proxy": 6}


@FAMILIES
def test_a_reset_is_where_the_server_expects_it(director: World, v6: bool) -> None:
    service(director, v6)
    header = opened(director, v6, "v2")
    assert sent(director, segment(v6, "R", 1)) == (1, b"", b""), "perhaps it never came"
    answered(director, v6, "A", 1 + len(header))
    assert sent(director, segment(v6, "R", 1)) == (1 + len(header), b"", b"")


@FAMILIES
def test_numbers_that_have_wrapped(director: World, v6: bool) -> None:
    """Half of all numbers further on nothing is before the first one."""
    service(director, v6)
    h = len(opened(director, v6, "v2"))
    answered(director, v6, "A", 1 + h)
    for at in (1 << 30, 3 << 30, (1 << 32) - 10, 1, 5, 20):
        assert sent(director, segment(v6, "PA", at, b"", b"data"))[0] == at + h & 0xFFFFFFFF
        assert answered(director, v6, "A", at)[0] == at - h & 0xFFFFFFFF


def sack(*edges: int) -> bytes:
    """An option, and NOPs in front of it."""
    raw = b"".join((ISN + each & 0xFFFFFFFF).to_bytes(4, "big") for each in edges)
    return b"\x01\x01" + bytes((5, 2 + len(raw))) + raw


@FAMILIES
def test_blocks_that_the_server_has(director: World, v6: bool) -> None:
    service(director, v6)
    h = len(opened(director, v6, "v2"))

    def blocks(*edges: int) -> list[bytes]:
        return known(answered(director, v6, "A", 1 + h, sack(*edges))[1])

    assert blocks(100 + h, 200 + h) == known(sack(100, 200))
    assert blocks(100 + h, 200 + h, 300 + h, 400 + h) == known(sack(100, 200, 300, 400))
    # What of the header came twice says nothing to the client.
    assert blocks(1, 1 + h) == []
    assert blocks(1, 1 + h, 100 + h, 200 + h) == known(sack(100, 200))
    assert blocks(1, 1 + h, *(each + h for each in (100, 200, 300, 400, 500, 600))) == (
        known(sack(100, 200, 300, 400, 500, 600))
    )
    assert blocks(1, 6 + h) == known(sack(1, 6))
    stamped = STAMPS + sack(1, 1 + h, 50 + h, 60 + h)
    assert known(answered(director, v6, "A", 1 + h, stamped)[1]) == (
        known(STAMPS) + known(sack(50, 60))
    )


@FAMILIES
def test_what_knows_the_streams_numbers_is_taken_out(director: World, v6: bool) -> None:
    service(director, v6)
    mptcp = bytes.fromhex("1e0c01810123456789abcdef")
    cookie = bytes.fromhex("220a0123456789abcdef")
    _, options, _ = sent(director, segment(v6, "S", 0, LINUX[:4] + mptcp + cookie))
    assert known(options) == [LINUX[:4]]
    _, options, _ = answered(director, v6, "SA", 1, LINUX[:4] + cookie + b"\x01\x01")
    assert known(options) == [b"\x02\x04" + (1460 - (52 if v6 else 28)).to_bytes(2, "big")]


@FAMILIES
def test_data_in_a_syn_is_refused(director: World, v6: bool) -> None:
    service(director, v6)
    out = director.client(segment(v6, "S", 0, b"", b"early"))
    assert (out.verdict, out.reason) == ("drop", "drop_syn_data")
    assert sent(director, segment(v6, "S", 0))[0] == 0, "the client tries without"


@FAMILIES
def test_a_segment_that_leaves_no_room_is_answered(director: World, v6: bool) -> None:
    service(director, v6, mtu=1500)
    h = len(opened(director, v6, "v2"))
    headers = 60 if v6 else 40
    packet = segment(v6, "A", 1, b"", bytes(1500 - headers - h + 1))
    if not v6:
        packet[IP].flags = "DF"
    out = director.client(packet)
    assert out.reason == "reply_too_big"
    told = out.packet.getlayer(2)
    assert (told.mtu if v6 else told.nexthopmtu) == 1500 - h
    assert sent(director, segment(v6, "A", 1, b"", bytes(1500 - headers - h)))[0] == 1


@pytest.mark.parametrize("hook", ["tc"])
def test_a_frame_of_many_segments_goes_on_shifted(director: World) -> None:
    service(director, False)
    h = len(opened(director, False, "v2"))
    out = run_gso(director, segment(False, "A", 1, STAMPS, bytes(2500)))
    assert right(out)
    assert (out[TCP].seq - ISN & 0xFFFFFFFF, *parts(out)) == (1 + h, STAMPS, bytes(2500))
    assert director.streams() == {"proxy": 1, "proxy_gso": 3}
    # Had the handshake's ACK been lost, the client would send its first segment again.
    assert sent(director, segment(False, "A", 1, STAMPS, bytes(1000)))[2][h:] == bytes(1000)


@FAMILIES
@METHODS
def test_icmp_errors_quote_what_the_client_sent(director: World, v6: bool, method: Method) -> None:
    """Path MTU discovery: Linux ignores an error about a number that it has not sent."""
    service(director, v6, method=method)
    h = len(opened(director, v6, "v2"))
    answered(director, v6, "A", 1 + h)
    for at in (1, 5000):
        ours = director.client(segment(v6, "A", at, STAMPS, bytes(1000))).packet
        ip = ours.getlayer(IPv6) or ours.getlayer(IP)
        if v6:
            error = IPv6(src="fd00:200::fe", dst=ip.src) / ICMPv6PacketTooBig(mtu=1280)
        else:
            error = IP(src="192.168.200.254", dst=ip.src) / ICMP(type=3, code=4, nexthopmtu=1280)
        out = director.server(error / bytes(ip)[:300])
        assert (out.verdict, out.reason) == ("send", "fwd_icmp_out")
        told = out.raw[14:]
        header = 40 if v6 else 20
        pseudo = told[8:40] + (len(told) - 40).to_bytes(4, "big") + b"\0\0\0:" if v6 else b""
        assert checksum(pseudo + told[header:]) == 0
        number = int.from_bytes(told[2 * header + 12 : 2 * header + 16], "big")
        assert number - ISN & 0xFFFFFFFF == at


def test_a_server_on_the_director_itself(director: World) -> None:
    """What its own stack gets, and sends, is changed as well."""
    service(director, False, method=Method.NAT, flags=LOCAL)
    syn = director.client(segment(False, "S", 0, LINUX))
    assert (syn.verdict, syn.reason) == ("pass", "fwd_local")
    out = director.client(segment(False, "PA", 1, STAMPS, b"odd"))
    assert (out.verdict, out.reason) == ("pass", "fwd_local")
    assert right(out.packet)
    assert parts(out.packet) == (STAMPS, wanted(False, "v2") + b"odd")


def test_a_packet_that_the_stack_fragments(director: World) -> None:
    service(director, False, method=Method.NAT, mtu=1400)
    h = len(opened(director, False, "v2"))
    out = director.client(segment(False, "A", 5000, b"", bytes(1440)))
    assert (out.verdict, out.reason) == ("pass", "fwd_fragmented")
    assert right(out.packet)
    assert out.packet[TCP].seq - ISN & 0xFFFFFFFF == 5000 + h


def test_fragments_are_shifted(director: World) -> None:
    service(director, False)
    h = len(opened(director, False, "v2"))

    def fragments(seq: int) -> list[Packet]:
        """Of 1020 bytes of TCP, the checksum for all of them."""
        whole: list[Packet] = IP(bytes(segment(False, "A", seq, b"", bytes(1000)))).fragment(512)
        return whole

    found = [director.client(each) for each in fragments(5000)]
    assert [each.reason for each in found] == ["fwd_fullnat"] * 2
    tcp = b"".join(each.raw[34:] for each in found)
    assert int.from_bytes(tcp[4:8], "big") - ISN & 0xFFFFFFFF == 5000 + h
    pseudo = found[0].raw[26:34] + (6).to_bytes(2, "big") + len(tcp).to_bytes(2, "big")
    assert checksum(pseudo + tcp) == 0
    out = director.client(fragments(1)[0])
    assert out.reason == "drop_too_big", "it has no room for the header"


@FAMILIES
def test_with_toa(director: World, v6: bool) -> None:
    service(director, v6, more=ServiceFlag.TOA)
    assert sent(director, segment(v6, "S", 0)) == (0, toa(v6), b"")
    _, options, _ = answered(director, v6, "SA", 1, LINUX)
    less = 52 + 20 if v6 else 28 + 8
    assert options[:4] == b"\x02\x04" + (1460 - less).to_bytes(2, "big")
    assert sent(director, segment(v6, "PA", 1, STAMPS, b"odd")) == (
        *(1, toa(v6) + STAMPS, wanted(v6, "v2") + b"odd"),
    )


@FAMILIES
def test_a_client_that_begins_anew_on_its_old_ports(director: World, v6: bool) -> None:
    service(director, v6)
    h = len(opened(director, v6, "v2"))
    answered(director, v6, "A", 1 + h)
    assert sent(director, segment(v6, "S", 5000))[0] == 5000
    assert sent(director, segment(v6, "PA", 9, b"", b"old"))[0] == 9 + h, "anybody could send it"
    assert answered(director, v6, "SA", 5001)[0] == 5001
    assert sent(director, segment(v6, "A", 5001)) == (5001, b"", wanted(v6, "v2"))
    assert answered(director, v6, "A", 5001 + h)[0] == 5001


@FAMILIES
def test_ids_are_unique(director: World, v6: bool) -> None:
    service(director, v6, "tlvs")
    found = set()
    for port in range(2000, 2050):
        syn, ack = segment(v6, "S", 0), segment(v6, "A", 1)
        for each in (syn, ack):
            each[TCP].sport = port
        director.client(syn)
        found.add(parts(director.client(ack).packet)[1][-16:])
    assert len(found) == 50


@FAMILIES
@VERSIONS
@given(
    payload=st.binary(max_size=60),
    options=st.sampled_from([b"", STAMPS, b"\x01" * 4, b"\x01" * 40]),
    port=st.sampled_from([1, 99, 443, 4000, 65535]),
)
@hypothesis_settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_payload(
    director: World, v6: bool, version: str, payload: bytes, options: bytes, port: int
) -> None:
    """A header of any length in front of a payload of any length: the sums are right."""
    director.reset()
    service(director, v6, version)
    for packet in (segment(v6, "S", 0), segment(v6, "PA", 1, options, payload)):
        packet[TCP].sport = port
        seq, seen, carried = sent(director, packet)
    header = wanted(v6, version, port)
    assert (seq, seen, carried[len(header) :]) == (1, options, payload)
    if version != "tlvs":
        assert carried.startswith(header)
