# SPDX-License-Identifier: Apache-2.0
"""The frame with which the kernel is asked what it can do."""

from __future__ import annotations

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from xlvs.realserver.decap import Addresses, Virtual, mixed_probe


def test_no_frame_for_one_family() -> None:
    assert mixed_probe(Addresses((Virtual("10.0.0.3"),), ("10.2.0.11",))) is None
    assert mixed_probe(Addresses((Virtual("fd00::3"),), ("fd00:2::11",))) is None


def test_ipv6_in_ipv4() -> None:
    frame = mixed_probe(Addresses((Virtual("fd00::3"),), ("10.2.0.11",)))
    assert frame is not None
    packet = Ether(frame)
    assert packet[IP].dst == "10.2.0.11"
    assert packet[IP].proto == 41
    assert packet[IPv6].dst == "fd00::3"


def test_ipv4_in_ipv6() -> None:
    frame = mixed_probe(Addresses((Virtual("10.0.0.3"),), ("10.2.0.11", "fd00:2::11")))
    assert frame is not None
    packet = Ether(frame)
    assert packet[IPv6].dst == "fd00:2::11"
    assert packet[IPv6].nh == 4
    assert packet[IP].dst == "10.0.0.3"


def test_by_gue_and_by_gre() -> None:
    for virtual, inside in (
        (Virtual("10.0.0.3", ("gue",), 6080), IP),
        (Virtual("10.0.0.3", ("gre",)), IP),
    ):
        frame = mixed_probe(Addresses((virtual,), ("fd00:2::11",)))
        assert frame is not None
        outer = Ether(frame)[IPv6]
        assert outer.nh == (17 if virtual.port else 47)
        payload = bytes(outer.payload)
        if virtual.port:
            assert payload[2:4] == (6080).to_bytes(2, "big")
            assert payload[8:12] == bytes((0, 4, 0, 0))
        else:
            assert payload[:4] == bytes((0, 0, 8, 0))
        assert inside(payload[12 if virtual.port else 4 :]).dst == "10.0.0.3"


def test_a_virtual_address_as_the_program_reads_it() -> None:
    assert Virtual("10.0.0.3").packed() == bytes((1, 0, 0, 0))
    assert Virtual("10.0.0.3", ("gre", "gue"), 6080, 32).packed() == bytes((6, 32, 0x17, 0xC0))
