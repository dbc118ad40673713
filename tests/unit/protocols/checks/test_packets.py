# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.all import ARP, GRE, IP, TCP, UDP, Ether, ICMPv6ND_NS, IPv6, raw

from xlvs.model.service import TunnelType
from xlvs.protocols.checks import packets
from xlvs.protocols.checks.packets import ACK, SYN, Claim, Datagram, Refusal, Segment

A4, B4 = ip_address("10.0.0.1"), ip_address("10.0.0.2")
A6, B6 = ip_address("fd00::1"), ip_address("fd00::2")
MAC, MAC2 = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")


def recomputed(packet: object) -> bytes:
    """Scapy's bytes with all checksums made anew."""
    copy = packet.copy()  # type: ignore[attr-defined]
    for layer in (IP, TCP, UDP):
        part = copy
        while part := part.getlayer(layer):
            if layer is not UDP or part.chksum:
                del part.chksum
            part = part.payload
    return raw(copy)


@pytest.mark.parametrize(("a", "b", "kind"), [(A4, B4, IP), (A6, B6, IPv6)])
def test_syn(a: object, b: object, kind: type) -> None:
    packet = packets.tcp((a, 61000), (b, 80), 7, 0, SYN)
    read = kind(packet)
    assert (read.src, read.dst) == (str(a), str(b))
    assert (read[TCP].sport, read[TCP].dport, read[TCP].seq) == (61000, 80, 7)
    assert str(read[TCP].flags) == "S"
    assert recomputed(read) == packet


@pytest.mark.parametrize(("a", "b", "kind"), [(A4, B4, IP), (A6, B6, IPv6)])
def test_udp(a: object, b: object, kind: type) -> None:
    packet = packets.udp((a, 61000), (b, 53), b"abc")
    assert recomputed(kind(packet)) == packet
    ethertype = 0x0800 if a == A4 else 0x86DD
    assert packets.read(ethertype, packet) == Datagram(a, b, 61000, 53, b"abc")


@pytest.mark.parametrize("kind", list(TunnelType))
@pytest.mark.parametrize(("a", "b"), [(A4, B4), (A6, B6)])
@pytest.mark.parametrize("inner", [(A4, B4), (A6, B6)])
def test_tunnels(kind: TunnelType, a: object, b: object, inner: tuple[object, object]) -> None:
    syn = packets.tcp((inner[0], 1), (inner[1], 2), 3, 4, SYN)
    packet = packets.tunnelled(syn, (a, b), kind, (5, 6080))
    outer = (IP if a == A4 else IPv6)(packet)
    assert packet.endswith(syn)
    protocol = outer.proto if a == A4 else outer.nh
    own = 4 if inner[0] == A4 else 41
    assert protocol == {"ipip": own, "gre": 47, "gue": 17}[kind]
    if kind == TunnelType.GRE:
        assert outer[GRE].proto == (0x0800 if inner[0] == A4 else 0x86DD)
    if kind == TunnelType.GUE:
        assert (outer[UDP].sport, outer[UDP].dport) == (5, 6080)
        assert bytes(outer[UDP].payload)[:4] == bytes([0, own, 0, 0])
        assert recomputed(outer) == packet


def test_frame() -> None:
    syn = packets.tcp((A4, 1), (B4, 2), 3, 0, SYN)
    assert packets.frame(MAC2, MAC, 0, syn) == MAC2 + MAC + b"\x08\0" + syn
    assert packets.frame(MAC2, MAC, 5, syn) == MAC2 + MAC + b"\x81\0\0\5\x08\0" + syn


def test_who_has() -> None:
    kind, payload = packets.who_has(B4, A4, MAC)
    asked = Ether(packets.frame(MAC2, MAC, 0, payload, kind))[ARP]
    assert (asked.op, asked.psrc, asked.pdst) == (1, "10.0.0.1", "10.0.0.2")
    kind, payload = packets.who_has(B6, A6, MAC)
    asked = Ether(packets.frame(MAC2, MAC, 0, payload, kind))
    assert asked[IPv6].dst == "ff02::1:ff00:2"
    assert asked[IPv6].hlim == 255
    assert asked[ICMPv6ND_NS].tgt == "fd00::2"


@pytest.mark.parametrize(("a", "b", "kind"), [(A4, B4, 0x0800), (A6, B6, 0x86DD)])
def test_reads_segments(a: object, b: object, kind: int) -> None:
    packet = packets.tcp((b, 80), (a, 61000), 9, 8, SYN | ACK)
    assert packets.read(kind, packet) == Segment(b, a, 80, 61000, 9, 8, SYN | ACK)


def test_reads_claims() -> None:
    reply = raw(ARP(op=2, hwsrc="02:00:00:00:00:02", psrc="10.0.0.2", pdst="10.0.0.1"))
    assert packets.read(0x0806, reply) == Claim(B4, MAC2)
    assert packets.read(0x0806, raw(ARP(op=1, psrc="10.0.0.2"))) is None
    advertisement = bytes([136, 0, 0, 0, 0, 0, 0, 0]) + B6.packed
    assert packets.read(0x86DD, packets.ip(B6, A6, 58, advertisement)) == Claim(B6, b"")


def test_reads_refusals() -> None:
    syn = packets.tcp((A4, 61000), (B4, 80), 7, 0, SYN)
    error = bytes([3, 3, 0, 0, 0, 0, 0, 0]) + syn[:28]
    expected = Refusal(B4, 3, 3, B4, 6, 61000)
    assert packets.read(0x0800, packets.ip(B4, A4, 1, error)) == expected
    too_big = bytes([3, 4, 0, 0, 0, 0, 5, 0]) + syn[:28]
    assert packets.read(0x0800, packets.ip(B4, A4, 1, too_big)) is None
    tunnel = packets.tunnelled(syn, (A6, B6), TunnelType.IPIP, (0, 0))
    error = bytes([4, 1, 0, 0, 0, 0, 0, 0]) + tunnel
    assert packets.read(0x86DD, packets.ip(B6, A6, 58, error)) == Refusal(B6, 4, 1, B6, 4, 0)


@given(st.binary(max_size=120), st.sampled_from([0x0800, 0x86DD, 0x0806]))
def test_any_bytes(data: bytes, kind: int) -> None:
    packets.read(kind, data)
    for protocol in (1, 6, 17):
        packets.read(0x0800, packets.ip(A4, B4, protocol, data))
        packets.read(0x0800, packets.ip(A4, B4, protocol, b"\3\0" + bytes(6) + data))
    packets.read(0x86DD, packets.ip(A6, B6, 58, b"\1\0" + bytes(6) + data))
