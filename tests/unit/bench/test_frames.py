# SPDX-License-Identifier: Apache-2.0
"""The benchmark's frames: a template completed as the wrapper does it is a right packet."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from bench.frames import (
    ACK,
    FRAME_BYTES,
    SYN,
    SYN_BYTES,
    Ends,
    Kind,
    Segment,
    fold,
    reply,
    request,
    right,
    segment_in,
    segment_out,
    total,
)
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

MAC0, MAC1 = bytes.fromhex("020000000101"), bytes.fromhex("0200000001fe")
ENDS4 = Ends(MAC0, MAC1, IPv4Address("10.0.0.1"), 80)
ENDS6 = Ends(MAC0, MAC1, IPv6Address("fd00:1::1"), 80)
# bench_place() of bench/bpf/bench.h: address, port, IP checksum, transport checksum.
PLACES = {
    Kind.TCP4: (26, 34, 24, 50),
    Kind.UDP4: (26, 34, 24, 40),
    Kind.TCP6: (34, 54, None, 70),
    Kind.REPLY4: (30, 36, 24, 50),
}
TEMPLATES = [
    request(Kind.TCP4, ENDS4),
    request(Kind.TCP4, ENDS4, SYN),
    request(Kind.UDP4, ENDS4),
    request(Kind.TCP6, ENDS6),
    reply((MAC0, MAC1), 8080, IPv4Address("192.168.200.16"), 8),
    segment_in(ENDS4, Segment(SYN, options=b"\1" * 20)),
    segment_in(ENDS4, Segment(ACK, 7, 9, b"\1" * 12, 7)),
    segment_out((MAC0, MAC1), 8080, IPv4Address("192.168.200.16"), 8, Segment(ACK, size=3)),
]


def complete(template, flow):
    """What bench_make() writes."""
    frame = bytearray(template.frame)
    address_at, port_at, ip_check, l4_check = PLACES[template.kind]
    address = struct.pack(">I", template.address + (flow >> 15))
    port = struct.pack(">H", 1024 + (flow & 0x7FFF))
    server = b""
    if template.kind is Kind.REPLY4:
        server = struct.pack(">I", template.server + (flow & template.server_mask))
        frame[26:30] = server
    frame[address_at : address_at + 4] = address
    frame[port_at : port_at + 2] = port
    more = total(address) + total(server)
    if ip_check:
        struct.pack_into("=H", frame, ip_check, 0xFFFF ^ fold(template.ip_sum + more))
    l4 = 0xFFFF ^ fold(template.l4_sum + more + total(port))
    struct.pack_into("=H", frame, l4_check, l4)
    return bytes(frame)


@pytest.mark.parametrize("flow", [0, 1, 7, 32767, 32768, 1048575, 4_000_000])
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda t: t.kind.name)
def test_a_completed_template_has_right_checksums(template, flow):
    frame = complete(template, flow)
    assert len(frame) in {SYN_BYTES, FRAME_BYTES}
    assert right(frame)
    packet = Ether(frame)
    again = packet.copy()
    for layer in (IP, TCP, UDP):
        if layer in again:
            del again[layer].chksum
    assert bytes(again) == frame


def test_what_the_frames_say():
    packet = Ether(complete(TEMPLATES[0], 32769))
    assert (packet[IP].src, packet[IP].dst) == ("10.64.0.1", "10.0.0.1")
    assert (packet[TCP].sport, packet[TCP].dport, packet[TCP].flags) == (1025, 80, "A")
    assert Ether(complete(TEMPLATES[1], 0))[TCP].flags == "S"
    answer = Ether(complete(TEMPLATES[4], 11))
    assert (answer[IP].src, answer[TCP].sport) == ("192.168.200.19", 8080)
    assert (answer[IP].dst, answer[TCP].dport) == ("10.64.0.0", 1035)


def test_every_damage_is_seen():
    for template in TEMPLATES:
        frame = complete(template, 5)
        network = 40 if template.kind is Kind.TCP6 else 20
        length = len(frame) - 14
        if template.kind is not Kind.TCP6:  # behind its end is Ethernet's padding
            length = int.from_bytes(frame[16:18], "big")
        for at in range(14 + network - 8, 14 + length):
            damaged = bytearray(frame)
            damaged[at] ^= 0x10
            assert not right(bytes(damaged)), at


def test_packets_in_tunnels_and_other_frames():
    inner = IP(src="10.64.0.0", dst="10.0.0.1") / TCP(sport=1024, dport=80, flags=ACK) / b"abc"
    outer = IP(src="192.168.200.1", dst="192.168.200.16", proto=4)
    assert right(bytes(Ether() / outer / inner))
    bad = IP(bytes(inner))
    bad[TCP].chksum ^= 1
    assert not right(bytes(Ether() / outer / Raw(bytes(bad))))
    assert not right(bytes(Ether(type=0x0806) / Raw(bytes(46))))
    assert not right(bytes(Ether() / IPv6(nh=59)))
