# SPDX-License-Identifier: Apache-2.0
"""Frames to be explained: scapy agrees with what is made, and with what is read."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet

from xlvs.datapath.explain.frame import Wanted, make, read
from xlvs.model.problem import Problem
from xlvs.model.service import Protocol

MACS = {"source_mac": bytes.fromhex("020000000001"), "destination_mac": b"\x02" * 6}


def wanted(protocol: str = "tcp", v6: bool = False, **changes: object) -> Wanted:
    source, destination = ("fd00::1", "fd00::2") if v6 else ("1.2.3.4", "10.0.0.1")
    plain = Wanted(
        Protocol(protocol), ip_address(source), 1234, ip_address(destination), 80, **MACS
    )
    return plain._replace(**changes)


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("length", [0, 333])
@pytest.mark.parametrize(
    ("protocol", "flags"),
    [("tcp", "S"), ("tcp", "A"), ("tcp", "RA"), ("udp", "S"), ("sctp", "S"), ("sctp", "A"),
     ("sctp", "F"), ("sctp", "R")],
)  # fmt: skip
def test_lengths_and_checksums_are_right(protocol: str, flags: str, v6: bool, length: int) -> None:
    if protocol == "sctp" and length:
        length += 3  # chunks are whole words
    raw = make(wanted(protocol, v6, flags=flags, length=length))
    packet = Ether(raw)
    ip = packet.getlayer(IP) or packet.getlayer(IPv6)
    assert (ip.src, ip.dst) == (("fd00::1", "fd00::2") if v6 else ("1.2.3.4", "10.0.0.1"))
    if length:
        assert len(ip) == length
    again: Packet = Ether(raw)
    layer = again
    while layer:
        for field in ("chksum", "cksum"):
            if field in layer.fields:
                layer.delfieldval(field)
        layer = layer.payload
    assert bytes(again) == raw
    kind = {"tcp": TCP, "udp": UDP, "sctp": SCTP}[protocol]
    assert (packet[kind].sport, packet[kind].dport) == (1234, 80)


@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp"])
@pytest.mark.parametrize("length", [0, 1400])
@pytest.mark.parametrize(
    ("error", "v4", "v6"),
    [
        ("host-unreachable", (3, 1), (1, 3)),
        ("port-unreachable", (3, 3), (1, 4)),
        ("too-big", (3, 4), (2, 0)),
        ("ttl-exceeded", (11, 0), (3, 0)),
    ],
)
@pytest.mark.parametrize("six", [False, True])
def test_errors_about_a_packet(
    protocol: str,
    length: int,
    error: str,
    v4: tuple[int, int],
    v6: tuple[int, int],
    six: bool,
) -> None:
    packet = wanted(protocol, six, length=length)
    raw = make(packet._replace(error=error))
    assert len(raw) - 14 <= (1280 if six else 576)
    whole = Ether(raw)
    ip = whole[IPv6 if six else IP]
    assert (ip.src, ip.dst) == (("fd00::2", "fd00::1") if six else ("10.0.0.1", "1.2.3.4"))
    data = bytes(ip.payload)
    assert (data[0], data[1]) == (v6 if six else v4)
    assert int.from_bytes(data[6:8], "big") == (1280 if error == "too-big" else 0)
    assert make(packet)[14:].startswith(data[8:])
    again = IPv6(raw[14:]) if six else IP(raw[14:])
    again.payload.delfieldval("cksum" if six else "chksum")
    assert bytes(again) == raw[14:]
    kind = {"tcp": "tcp", "udp": "udp", "sctp": "sctp"}[protocol]
    outer = "ipv6" if six else "ipv4"
    assert [layer.name for layer in read(raw)] == [
        "ethernet", outer, "icmp", f"quoted {outer}", f"quoted {kind}"
    ]  # fmt: skip
    router = ip_address("fd00::9" if six else "9.9.9.9")
    ip = Ether(make(packet._replace(error=error, sender=router)))[IPv6 if six else IP]
    assert ip.src == str(router)


def test_what_cannot_be_made() -> None:
    for changes, words in (
        ({"error": "sad"}, "no such error: sad; one of host-unreachable, "),
        ({"error": "too-big", "sender": ip_address("fd00::1")}, "not of the packet's family"),
        ({"flags": "X"}, "no TCP flags"),
        ({"length": 39}, "at least 44 IP bytes"),
        ({"length": 4000}, "at most 3000 IP bytes"),
        ({"destination": ip_address("fd00::1")}, "not of one family"),
        ({"protocol": Protocol.FWM}, "of tcp, udp or sctp"),
        ({"protocol": Protocol.SCTP, "flags": "SF"}, "no SCTP packet"),
    ):
        with pytest.raises(Problem, match=words):
            make(wanted(**changes))


def names(frame: Packet) -> list[tuple[str, dict[str, str]]]:
    return [(layer.name, layer.fields) for layer in read(bytes(frame))]


def test_what_is_made_is_read() -> None:
    layers = read(make(wanted(vlan=7)))
    assert [layer.name for layer in layers] == ["ethernet", "ipv4", "tcp"]
    assert layers[0].fields["vlan"] == "7"
    assert layers[2].fields == {
        "source": "1234", "destination": "80", "flags": "S", "mss": "1460",
    }  # fmt: skip


def test_tunnels_and_errors_are_read() -> None:
    inner = IP(src="1.2.3.4", dst="10.0.0.1") / TCP(sport=1, dport=2, flags="SA")
    outer = Ether() / Dot1Q(vlan=3) / IP(src="10.9.0.1", dst="10.9.0.2", ttl=9)
    found = names(outer / inner)
    assert [name for name, _ in found] == ["ethernet", "ipv4", "ipv4", "tcp"]
    assert found[1][1]["ttl"] == "9"
    assert found[3][1]["flags"] == "SA"
    found = names(outer / GRE(chksum_present=1) / inner)
    assert [name for name, _ in found] == ["ethernet", "ipv4", "gre", "ipv4", "tcp"]
    gue = bytes([0, 4, 0, 0])
    found = names(outer / UDP(sport=1, dport=6080) / (gue + bytes(inner)))
    assert [name for name, _ in found] == ["ethernet", "ipv4", "udp", "gue", "ipv4", "tcp"]
    error = Ether() / IP() / ICMP(type=3, code=4, nexthopmtu=1400) / inner
    assert names(error)[2] == ("icmp", {"message": "fragmentation needed", "mtu": "1400"})


@pytest.mark.parametrize("cut", range(58))
def test_cut_off_frames_are_read_as_far_as_they_go(cut: int) -> None:
    whole = read(make(wanted()))
    found = read(make(wanted())[:cut])
    assert [layer.name for layer in found] == [layer.name for layer in whole][: len(found)]
