# SPDX-License-Identifier: Apache-2.0
"""Malformed, cut and hostile packets: passed or dropped with a reason, bytes unchanged
when passed, never a wrong checksum, never another flow's counter."""

from __future__ import annotations

import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether

from xlvs.datapath.records import Method

from . import world as w
from .world import World

LINK = Ether(src=w.CLIENT_MAC, dst=w.MAC0)
SYN = TCP(sport=40000, dport=80, flags="S")
CUT = bytes(SYN)[:16]


def services(director: World) -> None:
    for vip, v6 in ((w.VIP, False), (w.VIP6, True)):
        service = director.service(vip)
        director.destination(service, 1, Method.NAT, port=8080, v6=v6)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (LINK / ARP(pdst=w.VIP), "pass_not_ip"),
        (LINK / (b"\x00" * 4), "pass_not_ip"),
        (LINK / IP(src=w.CLIENT, dst=w.VIP, proto=132) / b"sctp", "pass_malformed"),
        (LINK / IP(src=w.CLIENT, dst=w.VIP, proto=47) / b"gre!", "pass_protocol"),
        (LINK / IP(src=w.CLIENT, dst=w.VIP, proto=50) / b"esp!", "pass_protocol"),
        (
            LINK / IP(src=w.CLIENT, dst=w.VIP, flags="MF", proto=6) / bytes(SYN)[:16],
            "pass_fragment",
        ),
        (LINK / IP(src=w.CLIENT, dst=w.VIP, frag=10, proto=6) / (b"x" * 40), "pass_fragment"),
        (
            LINK / IPv6(src=w.CLIENT6, dst=w.VIP6) / IPv6ExtHdrFragment(offset=10, nh=6) / b"data",
            "pass_fragment",
        ),
        (
            LINK
            / IPv6(src=w.CLIENT6, dst=w.VIP6)
            / IPv6ExtHdrFragment(m=1, nh=6)
            / bytes(SYN)[:16],
            "pass_fragment",
        ),
        (LINK / IP(src=w.CLIENT, dst=w.VIP, ihl=4) / SYN, "pass_malformed"),
        (LINK / IP(src=w.CLIENT, dst=w.VIP, len=19) / SYN, "pass_malformed"),
        (LINK / IP(src=w.CLIENT, dst=w.VIP, len=2000) / SYN, "pass_malformed"),
        (LINK / IP(src=w.CLIENT, dst=w.VIP, version=5) / SYN, "pass_malformed"),
        (LINK / IP(src=w.CLIENT, dst=w.VIP, chksum=0x1234) / SYN, "pass_malformed"),
        (
            LINK / IP(src=w.CLIENT, dst=w.VIP, chksum=0x1234, options=b"\x94\x04\0\0") / SYN,
            "pass_malformed",
        ),
        (LINK / IP(src=w.CLIENT, dst=w.VIP, len=30) / SYN, "pass_malformed"),
        (
            LINK / IP(src=w.CLIENT, dst=w.VIP) / TCP(dport=80, flags="S", dataofs=4),
            "pass_malformed",
        ),
        (
            LINK / IP(src=w.CLIENT, dst=w.VIP) / TCP(dport=80, flags="S", dataofs=9),
            "pass_malformed",
        ),
        (LINK / IP(src=w.CLIENT, dst=w.VIP) / UDP(dport=80, len=7), "pass_malformed"),
        (LINK / IPv6(src=w.CLIENT6, dst=w.VIP6, plen=1000) / SYN, "pass_malformed"),
        (LINK / IPv6(src=w.CLIENT6, dst=w.VIP6, version=4) / SYN, "pass_malformed"),
        (LINK / IP(src=w.CLIENT, dst=w.VIP) / ICMP(type=3), "pass_icmp"),
        (
            LINK
            / IPv6(src=w.CLIENT6, dst=w.VIP6)
            / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 240)])
            / SYN,
            "pass_extension_headers",
        ),
        (LINK / IP(src=w.CLIENT, dst=w.VIP) / TCP(dport=81, flags="S"), "pass_no_service"),
        (LINK / IP(src=w.CLIENT, dst="10.0.0.9") / SYN, "pass_no_service"),
        (
            Ether(src=w.CLIENT_MAC, dst="33:33:00:00:00:01") / IP(src=w.CLIENT, dst=w.VIP) / SYN,
            "pass_not_for_host",
        ),
    ],
)
def test_passed_unchanged(director: World, frame: Ether, reason: str) -> None:
    services(director)
    data = bytes(frame).ljust(60, b"\0")
    out = director.run(data)
    assert (out.verdict, out.reason) == ("pass", reason)
    assert out.raw == data
    assert director.connections() == []


IMPOSSIBLE4 = ["127.0.0.1", "0.1.2.3", "224.0.0.5", "255.255.255.255", w.VIP]
IMPOSSIBLE6 = ["::", "::1", "ff02::1", w.VIP6]


@pytest.mark.parametrize("source", [*IMPOSSIBLE4, *IMPOSSIBLE6])
def test_impossible_sources_open_nothing(director: World, source: str) -> None:
    services(director)
    v6 = ":" in source
    network = IPv6(src=source, dst=w.VIP6) if v6 else IP(src=source, dst=w.VIP)
    data = bytes(LINK / network / SYN)
    out = director.run(data)
    assert (out.verdict, out.reason, out.raw) == ("pass", "pass_martian", data)
    assert director.connections() == []


@pytest.mark.parametrize("count", [1, 3])
def test_extension_headers_are_walked(director: World, count: int) -> None:
    services(director)
    packet = IPv6(src=w.CLIENT6, dst=w.VIP6)
    packet /= IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)])
    if count > 1:
        packet = packet / IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting(segleft=0)
    out = director.client(packet / SYN)
    assert out.reason == "fwd_nat"
    assert out.packet[IPv6].dst == w.server6(1)
    assert w.right(out.packet)


def test_two_vlan_tags(director: World) -> None:
    services(director)
    if director.hook == "tc":
        return  # the stack takes the first one off, and leaves the second as the protocol
    frame = LINK / Dot1Q(vlan=3) / Dot1Q(vlan=4) / IP(src=w.CLIENT, dst=w.VIP) / SYN
    out = director.run(frame)
    assert out.reason == "fwd_nat"
    assert w.right(out.packet)


@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
def test_every_truncation(director: World, v6: bool) -> None:
    services(director)
    network = IPv6(src=w.CLIENT6, dst=w.VIP6) if v6 else IP(src=w.CLIENT, dst=w.VIP)
    whole = bytes(LINK / network / SYN)
    # A TC test run wants a whole IP header: the kernel itself refuses less.
    shortest = 14 if director.hook == "xdp" else 14 + (40 if v6 else 20)
    for length in range(shortest, len(whole)):
        cut = whole[:length]
        out = director.run(cut)
        assert out.verdict == "pass", (length, out.reason)
        assert out.raw[: len(cut)] == cut
    assert director.connections() == []


def test_random_damage(director: World) -> None:
    """Bounded, repeatable: damaged frames of a known flow and of new ones."""
    services(director)
    director.client(IP(src=w.CLIENT, dst=w.VIP) / SYN)
    other = director.destination(director.service(port=81), 2, Method.TUN)
    director.client(IP(src=w.CLIENT, dst=w.VIP) / TCP(sport=1, dport=81, flags="S"))
    untouched = director.stats("destination", other)
    whole = bytes(LINK / IP(src=w.CLIENT, dst=w.VIP) / SYN / b"payload")
    chance = random.Random(20260101)
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(14, len(data))
            if at in range(30, 38):  # to another port or address: another flow's business
                continue
            data[at] = chance.randrange(256)
        shortest = 14 if director.hook == "xdp" else 34
        frame = bytes(data[: chance.randint(shortest, len(data))])
        out = director.run(frame)
        if out.verdict == "pass":
            assert out.raw[: len(frame)] == frame
    assert director.stats("destination", other) == untouched
