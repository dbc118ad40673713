# SPDX-License-Identifier: Apache-2.0
"""TOA: an option of TCP tells FULLNAT's servers the client's address, on both hooks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from ipaddress import ip_address

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet
from scapy.utils import checksum

from xlvs.datapath.records import ConnectionFlag, Method, ServiceFlag

from . import world as w
from .test_gso import run as run_gso
from .world import Out, World

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
KIND = 254
ISN, SERVER_ISN, PORT = 0xFFFFFFF0, 5000, 40000
"""The client's numbers wrap."""
LINUX = bytes.fromhex("020405b40402080a00000001000000000103030a")
"""What Linux asks for in a SYN: 20 bytes."""
STAMPS = bytes.fromhex("0101080a0000000200000001")


def toa(v6: bool, kind: int = KIND) -> bytes:
    address = ip_address(w.CLIENT6 if v6 else w.CLIENT).packed
    return bytes((kind, len(address) + 4)) + PORT.to_bytes(2, "big") + address


def service(
    director: World,
    v6: bool,
    kind: int = KIND,
    own: dict[str, int] | None = None,
    **changes: object,
) -> int:
    """``own``: fields of the service's record, the others are the real server's."""
    director.set(toa_kind=kind)
    fields = {"flags": ServiceFlag.USED | ServiceFlag.TOA} | (own or {})
    local = (w.LIP6 if v6 else w.LIP,)
    number = director.service(w.VIP6 if v6 else w.VIP, local=local, **fields)
    return director.destination(number, 1, Method.FULLNAT, v6=v6, **changes)


def segment(v6: bool, flags: str, seq: int, options: bytes = b"", payload: bytes = b"") -> Packet:
    """A client's. Options as bytes: scapy would tidy them up."""
    ip = IPv6(src=w.CLIENT6, dst=w.VIP6) if v6 else IP(src=w.CLIENT, dst=w.VIP)
    options += bytes(-len(options) % 4)
    tcp = TCP(
        sport=PORT,
        dport=80,
        flags=flags,
        seq=(ISN + seq) & 0xFFFFFFFF,
        ack=SERVER_ISN + 1 if "A" in flags else 0,
        dataofs=5 + len(options) // 4,
    )
    # The options go behind scapy's header; its checksum counts what follows too.
    return ip / tcp / (options + payload)


def answer(
    director: World, v6: bool, flags: str, ack: int, options: bytes = b"", payload: bytes = b""
) -> Out:
    (connection,) = director.connections()
    ip = IPv6(src=w.server6(1), dst=w.LIP6) if v6 else IP(src=w.server(1), dst=w.LIP)
    tcp = TCP(
        sport=80,
        dport=connection.local_port,
        flags=flags,
        seq=SERVER_ISN,
        ack=(ISN + ack) & 0xFFFFFFFF,
        dataofs=5 + len(options) // 4,
    )
    out = director.server(ip / tcp / (options + payload))
    assert (out.verdict, out.reason) == ("send", "fwd_reply")
    assert right(out.packet)
    return out


def right(packet: Packet) -> bool:
    """Are the checksums right? As bytes: scapy tidies up options when it is asked for them."""
    raw = bytes(packet.getlayer(IPv6) or packet.getlayer(IP))
    if raw[0] >> 4 == 6:
        header, addresses, length = 40, raw[8:40], int.from_bytes(raw[4:6], "big")
    else:
        header, addresses = 20, raw[12:20]
        length = int.from_bytes(raw[2:4], "big") - header
        if checksum(raw[:header]):
            return False
    pseudo = addresses + length.to_bytes(4, "big") + (6).to_bytes(4, "big")
    return checksum(pseudo + raw[header : header + length]) == 0


def parts(packet: Packet) -> tuple[bytes, bytes]:
    """Options and payload."""
    ip = packet.getlayer(IPv6) or packet.getlayer(IP)
    raw = bytes(ip)[: ip.plen + 40 if ip.version == 6 else ip.len][40 if ip.version == 6 else 20 :]
    header = (raw[12] >> 4) * 4
    return raw[20:header], raw[header:]


def sent(director: World, packet: Packet) -> tuple[bytes, bytes]:
    """What became of a client's segment: its options and payload."""
    out = director.client(packet)
    assert (out.verdict, out.reason) == ("send", "fwd_fullnat")
    assert right(out.packet)
    return parts(out.packet)


@FAMILIES
@pytest.mark.parametrize("kind", [252, 253, 254])
def test_in_the_syn_and_until_the_server_shows_that_it_has_it(
    director: World, v6: bool, kind: int
) -> None:
    service(director, v6, kind)
    ours = toa(v6, kind)
    assert sent(director, segment(v6, "S", 0, LINUX)) == (ours + LINUX, b"")
    assert sent(director, segment(v6, "S", 0)) == (ours, b""), "sent again, with less"
    answer(director, v6, "SA", 1)
    for flags, payload in (("A", b""), ("PA", b"GET /"), ("A", b"odd")):
        assert sent(director, segment(v6, flags, 1, STAMPS, payload)) == (ours + STAMPS, payload)
    answer(director, v6, "A", 1)
    assert sent(director, segment(v6, "A", 1, STAMPS))[0] == ours + STAMPS, "still the handshake"
    answer(director, v6, "A", 6)
    (connection,) = director.connections()
    assert not connection.word & ConnectionFlag.SPECIAL, "it is as any other from now on"
    assert list(director.path.map("streams").items()) == []
    assert sent(director, segment(v6, "PA", 6, STAMPS, b"more")) == (STAMPS, b"more")
    assert director.streams() == {"toa": 6}


def test_a_service_keeps_time_outs_of_its_own(director: World) -> None:
    flags = ServiceFlag.USED | ServiceFlag.TOA | ServiceFlag.OWN_TIMEOUTS
    service(director, False, own={"flags": flags, "timeout_tcp": 7 * director.hz})
    sent(director, segment(False, "S", 0))
    answer(director, False, "SA", 1)
    sent(director, segment(False, "A", 1))
    answer(director, False, "PA", 1, payload=b"220 ready")
    assert sent(director, segment(False, "A", 1))[0] == b""
    (connection,) = director.connections()
    assert connection.word & ConnectionFlag.SPECIAL
    assert director.left(connection) < 8


@FAMILIES
def test_a_server_that_speaks_first_has_the_connection(director: World, v6: bool) -> None:
    service(director, v6)
    sent(director, segment(v6, "S", 0))
    answer(director, v6, "SA", 1)
    assert sent(director, segment(v6, "A", 1))[0] == toa(v6)
    answer(director, v6, "PA", 1, payload=b"220 ready")
    assert sent(director, segment(v6, "A", 1))[0] == b""


@FAMILIES
def test_it_ends_after_so_many(director: World, v6: bool) -> None:
    service(director, v6)
    for _ in range(16):
        assert sent(director, segment(v6, "S", 0))[0] == toa(v6)
    assert sent(director, segment(v6, "S", 0))[0] == b""


@FAMILIES
def test_a_reset_needs_none(director: World, v6: bool) -> None:
    service(director, v6)
    sent(director, segment(v6, "S", 0))
    assert sent(director, segment(v6, "R", 1))[0] == b""


@FAMILIES
def test_the_server_leaves_room_for_it(director: World, v6: bool) -> None:
    service(director, v6)
    sent(director, segment(v6, "S", 0))
    options, _ = parts(answer(director, v6, "SA", 1, LINUX).packet)
    assert options == b"\x02\x04" + (1460 - (20 if v6 else 8)).to_bytes(2, "big") + LINUX[4:]
    odd = b"\x01\x02\x04\x05\xb4\x04\x02\x00"
    options, _ = parts(answer(director, v6, "SA", 1, odd).packet)
    less = (1460 - (20 if v6 else 8)).to_bytes(2, "big")
    assert options == b"\x01\x02\x04" + less + b"\x04\x02\x00", "not on an even byte"


@FAMILIES
def test_what_does_not_fit_goes_without_and_is_counted(director: World, v6: bool) -> None:
    service(director, v6, mtu=1500)
    room = 40 - len(toa(v6))
    assert sent(director, segment(v6, "S", 0, b"\x01" * room))[0] == toa(v6) + b"\x01" * room
    full = b"\x01" * (room + 4)
    assert sent(director, segment(v6, "S", 0, full)) == (full, b"")
    assert director.streams() == {"toa": 1, "toa_no_room": 1}
    answer(director, v6, "SA", 1)
    headers = 60 if v6 else 40
    big = bytes(1500 - headers - len(toa(v6)) + 1)
    assert sent(director, segment(v6, "A", 1, b"", big)) == (b"", big)
    assert sent(director, segment(v6, "A", 1, b"", big[1:])) == (toa(v6), big[1:])
    assert director.streams() == {"toa": 2, "toa_no_room": 1, "toa_mtu": 1}


MPTCP = bytes.fromhex("1e040101")
JOIN = bytes.fromhex("1e0c1000") + bytes(range(8))


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (LINUX + MPTCP, LINUX),
        (MPTCP + LINUX, LINUX),
        (b"\x01" + MPTCP + b"\x01\x01\x01" + LINUX[4:], b"\x01\x01\x01\x01" + LINUX[4:]),
        (LINUX[:16] + MPTCP + LINUX[16:], LINUX),
        # A forged one becomes NOPs in front of that.
        (bytes.fromhex("fe04aaaa") + LINUX[4:] + MPTCP, b"\x01" * 4 + LINUX[4:]),
    ],
)
def test_multipath_tcp_makes_room(director: World, options: bytes, left: bytes) -> None:
    """IPv6 alone needs it: the client's address is worth more than the offer."""
    service(director, True)
    for _ in range(2):
        assert sent(director, segment(True, "S", 0, options)) == (toa(True) + left, b"")
    forged = {"toa_forged": 2} if b"\xfe" in options else {}
    assert director.streams() == {"toa": 2, "toa_mptcp": 2} | forged


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        ("S", LINUX + JOIN),
        ("S", LINUX + MPTCP + LINUX[:4]),
        ("S", LINUX + b"\x01" * 4),
        ("A", LINUX[4:16] + JOIN),
        ("A", MPTCP + LINUX[4:16] + b"\x01" * 8),
    ],
)
def test_other_options_do_not(director: World, flags: str, options: bytes) -> None:
    """Joining a connection; too many others; after the SYN."""
    service(director, True)
    begun = int(flags == "A")
    if begun:
        sent(director, segment(True, "S", 0))
    assert sent(director, segment(True, flags, begun, options)) == (options, b"")
    assert director.streams() == {"toa_no_room": 1} | ({"toa": 1} if begun else {})


@pytest.mark.parametrize("options", [LINUX + MPTCP, b""])
def test_multipath_tcp_stays_where_there_is_room(director: World, options: bytes) -> None:
    service(director, False)
    assert sent(director, segment(False, "S", 0, options)) == (toa(False) + options, b"")
    assert director.streams() == {"toa": 1}


@pytest.mark.parametrize("hook", ["tc"])
def test_a_frame_of_many_segments_goes_without(director: World) -> None:
    service(director, False)
    sent(director, segment(False, "S", 0))
    answer(director, False, "SA", 1)
    out = run_gso(director, segment(False, "A", 1, toa(False), bytes(2500)))
    assert parts(out) == (b"\x01" * 8, bytes(2500)), "a client's own is taken out there too"
    assert right(out)
    assert director.streams() == {"toa": 1, "toa_gso": 3, "toa_forged": 3}


@FAMILIES
def test_a_clients_own_never_wins(director: World, v6: bool) -> None:
    service(director, v6)
    forged = b"\xfe\x08\x00\x50\x01\x02\x03\x04"
    nops = b"\x01" * len(forged)
    options = b"\x01" + forged + STAMPS[2:] + b"\x00"
    cleaned = b"\x01" + nops + STAMPS[2:] + b"\x00"
    assert sent(director, segment(v6, "S", 0, options))[0] == toa(v6) + cleaned
    assert director.streams() == {"toa": 1, "toa_forged": 1}
    # Also where ours has no room.
    assert sent(director, segment(v6, "S", 0, forged * 5))[0] == nops * 5
    # And behind the end of the options, where some might look.
    assert sent(director, segment(v6, "S", 0, b"\x00\x01\x01\x01" + forged))[0] == (
        toa(v6) + bytes(12)
    )
    # Another kind is none of ours.
    other = b"\xfd" + forged[1:]
    assert sent(director, segment(v6, "S", 0, other))[0] == toa(v6) + other


def test_others_have_none(director: World) -> None:
    director.set(toa_kind=KIND)
    number = director.service(local=(w.LIP,))
    director.destination(number, 1, Method.FULLNAT)
    assert sent(director, segment(False, "S", 0, LINUX))[0] == LINUX
    assert director.streams() == {}


def test_nothing_is_left_of_it(director: World) -> None:
    service(director, False)
    sent(director, segment(False, "S", 0))
    assert len(list(director.path.map("streams").items())) == 1
    director.path.start_sweep()
    director.age(1000)
    for _ in range(40):
        time.sleep(0.1)
        if not director.connections():
            break
    assert list(director.path.map("streams").items()) == []


def known(options: bytes) -> list[bytes]:
    """Options as a receiver reads them, without NOPs."""
    found = []
    while options and options[0]:
        if options[0] == 1:
            options = options[1:]
            continue
        if len(options) < 2 or not 2 <= options[1] <= len(options):
            break
        found.append(options[: options[1]])
        options = options[options[1] :]
    return found


OPTION = st.one_of(
    st.just(b"\x01"),
    st.builds(
        lambda kind, body: bytes((kind, len(body) + 2)) + body,
        st.sampled_from([2, 3, 4, 5, 8, 30, 34, 252, 253, 254]),
        st.binary(max_size=18),
    ),
)
LAYOUTS = st.one_of(st.lists(OPTION, max_size=12).map(b"".join), st.binary(max_size=40)).map(
    lambda raw: raw[:40]
)


@FAMILIES
@given(layouts=st.lists(LAYOUTS, min_size=1, max_size=4), payload=st.binary(max_size=9))
@hypothesis_settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_layout(director: World, v6: bool, layouts: Sequence[bytes], payload: bytes) -> None:
    """What a receiver reads is ours, if there was room, and the client's but for that kind."""
    director.reset()
    service(director, v6)
    for layout in layouts:
        asked = layout + bytes(-len(layout) % 4)
        options, carried = sent(director, segment(v6, "S", 0, asked, payload))
        assert carried == payload
        wanted = [each for each in known(asked) if each[0] != KIND]
        if len(asked) + len(toa(v6)) <= 40:
            wanted.insert(0, toa(v6))
        assert known(options) == wanted
        # One that ends too early or too late hides nothing behind it.
        assert bytes((KIND,)) not in [each[:1] for each in known(options)[1:]]
