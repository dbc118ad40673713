# SPDX-License-Identifier: Apache-2.0
"""The real server's programs: which tunnels they open, and what SYN/ACKs announce."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Packet, Raw

from xlvs.datapath import libbpf, testrun
from xlvs.realserver.address import key
from xlvs.realserver.decap import OBJECT, Virtual

from .world import network

ALL = Virtual("10.0.0.3", ("ipip", "gre", "gue"), 6080, 32)
ALL6 = Virtual("fd00::3", ("ipip", "gre", "gue"), 6080, 52)
ONLY_IPIP = Virtual("10.0.0.4", ("ipip",))
ONLY_GUE = Virtual("10.0.0.5", ("gue",), 7000)
HOST, HOST6 = "192.168.200.11", "fd00:200::11"
ETHER = Ether(src="02:00:00:00:02:01", dst="02:00:00:00:02:11")


@pytest.fixture(scope="module")
def programs() -> Iterator[dict[str, int]]:
    """Descriptors of the programs, and eth1's number in a namespace of their own."""
    with network() as ifindex, closing(libbpf.Object(str(OBJECT), None)) as loaded:
        loaded.load()
        maps = loaded.map_fds()
        for virtual in (ALL, ALL6, ONLY_IPIP, ONLY_GUE):
            libbpf.map_update(maps["decap_inner"], key(virtual.address), virtual.packed())
        for address in (HOST, HOST6):
            libbpf.map_update(maps["decap_outer"], key(address), b"\1")
        yield {**loaded.program_fds(), "eth1": ifindex["eth1"]}


def inner(vip: str) -> Packet:
    ip = IPv6(src="2001:db8::1", dst=vip) if ":" in vip else IP(src="203.0.113.1", dst=vip)
    return ip / TCP(sport=40000, dport=80, flags="PA") / (b"odd" * 101)


def outer(host: str, protocol: int, payload: bytes) -> Packet:
    if ":" in host:
        return IPv6(src="fd00:200::1", dst=host, nh=protocol) / Raw(payload)
    return IP(src="192.168.200.1", dst=host, proto=protocol) / Raw(payload)


def gue(packet: Packet, port: int = 6080, head: bytes = b"\0", flags: bytes = b"\0\0") -> bytes:
    protocol = bytes([41 if isinstance(packet, IPv6) else 4])
    body = head + protocol + flags + bytes(packet)
    return bytes(UDP(sport=44444, dport=port, len=8 + len(body), chksum=0xBEEF)) + body


def gre(packet: Packet, **fields: object) -> bytes:
    return bytes(GRE(proto=0x86DD if isinstance(packet, IPv6) else 0x0800, **fields) / packet)


def ipip(packet: Packet) -> tuple[int, bytes]:
    return (41 if isinstance(packet, IPv6) else 4, bytes(packet))


def opened(programs: dict[str, int], hook: str, packet: Packet) -> bytes:
    """The frame behind the program; it is passed in every case."""
    done = testrun.test_run(programs[f"xlvs_decap_{hook}"], bytes(ETHER / packet))
    assert done.retval == {"tc": 0xFFFFFFFF, "xdp": 2}[hook]
    return done.data_out


@pytest.mark.parametrize("hook", ["tc", "xdp"])
@pytest.mark.parametrize("host", [HOST, HOST6])
@pytest.mark.parametrize("vip", [ALL.address, ALL6.address])
@pytest.mark.parametrize("kind", ["ipip", "gre", "gre-csum", "gue"])
def test_opens(programs: dict[str, int], kind: str, vip: str, host: str, hook: str) -> None:
    packet = inner(vip)
    protocol, payload = {
        "ipip": ipip(packet),
        "gre": (47, gre(packet)),
        "gre-csum": (47, gre(packet, chksum_present=1)),
        "gue": (17, gue(packet)),
    }[kind]
    assert opened(programs, hook, outer(host, protocol, payload)) == bytes(ETHER / packet)


@pytest.mark.parametrize("hook", ["tc", "xdp"])
@pytest.mark.parametrize(
    ("host", "protocol", "payload"),
    [
        (HOST, 17, gue(inner("10.0.0.3"), port=6081)),
        (HOST, 17, gue(inner("10.0.0.3"), head=b"\1")),  # options
        (HOST, 17, gue(inner("10.0.0.3"), head=b"\x20")),  # control message
        (HOST, 17, gue(inner("10.0.0.3"), head=b"\x40")),  # another variant
        (HOST, 17, gue(inner("10.0.0.3"), flags=b"\0\1")),
        (HOST, 17, gue(inner("10.0.0.3"))[:20]),
        (HOST, 17, gue(inner("10.0.0.4"))),  # a kind that is not expected
        (HOST, 47, gre(inner("10.0.0.5"))),
        (HOST, *ipip(inner("10.0.0.5"))),
        (HOST, 17, gue(inner("10.0.0.5"))),  # another's port
        (HOST, 47, gre(inner("10.0.0.3"), key_present=1)),
        (HOST, 47, gre(inner("10.0.0.3"), seqnum_present=1)),
        (HOST, 47, gre(inner("10.0.0.3"), version=1)),
        (HOST, 47, gre(inner("10.0.0.6"))),  # not a virtual address
        ("192.168.200.12", 47, gre(inner("10.0.0.3"))),  # not this host
        (HOST, 47, gre(inner("10.0.0.3"))[:10]),
    ],
)
def test_leaves_alone(
    programs: dict[str, int], host: str, protocol: int, payload: bytes, hook: str
) -> None:
    packet = outer(host, protocol, payload)
    assert opened(programs, hook, packet) == bytes(ETHER / packet)


def announced(programs: dict[str, int], packet: Packet) -> Packet:
    done = testrun.test_run(
        programs["xlvs_mss"], bytes(ETHER / packet), ctx=testrun.tc_context(programs["eth1"])
    )
    assert done.retval == 0xFFFFFFFF
    return Ether(done.data_out)


@pytest.mark.parametrize(
    ("source", "options", "flags", "expected"),
    [
        ("10.0.0.3", [("MSS", 1460)], "SA", 1428),
        ("10.0.0.3", [("MSS", 1460), ("WScale", 7), ("SAckOK", b"")], "SA", 1428),
        ("10.0.0.3", [("NOP", None), ("NOP", None), ("MSS", 1460)], "SA", 1428),
        ("10.0.0.3", [("Timestamp", (1, 2)), ("MSS", 9000)], "SAE", 1428),
        ("fd00::3", [("MSS", 1440)], "SA", 1388),
        ("10.0.0.3", [("MSS", 1428)], "SA", 1428),
        ("10.0.0.3", [("MSS", 536)], "SA", 536),
        ("10.0.0.3", [("NOP", None), ("MSS", 1460)], "SA", 1460),  # at an odd place
        ("10.0.0.3", [("MSS", 1460)], "S", 1460),  # a connection of the server's own
        ("10.0.0.3", [("MSS", 1460)], "RA", 1460),
        ("10.0.0.4", [("MSS", 1460)], "SA", 1460),  # without overhead
        ("10.0.0.9", [("MSS", 1460)], "SA", 1460),  # not a virtual address
    ],
)
def test_what_syn_acks_announce(
    programs: dict[str, int], source: str, options: object, flags: str, expected: int
) -> None:
    ip = IPv6(src=source, dst="2001:db8::1") if ":" in source else IP(src=source, dst="203.0.113.1")
    sent = ip / TCP(sport=80, dport=40000, flags=flags, options=options)
    got = announced(programs, sent)
    assert dict(got[TCP].options)["MSS"] == expected
    checksum = got[TCP].chksum
    del got[TCP].chksum
    assert Ether(bytes(got))[TCP].chksum == checksum
    if expected in {each[1] for each in options}:  # type: ignore[attr-defined]
        assert bytes(announced(programs, sent)) == bytes(ETHER / sent)


def test_a_syn_ack_without_options(programs: dict[str, int]) -> None:
    sent = IP(src="10.0.0.3", dst="203.0.113.1") / TCP(sport=80, dport=40000, flags="SA")
    assert bytes(announced(programs, sent)) == bytes(ETHER / sent)
