# SPDX-License-Identifier: Apache-2.0
"""The frame with which the kernel is asked what it can do."""

from __future__ import annotations

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from xlvs.realserver.decap import Addresses, mixed_probe


def test_no_frame_for_one_family() -> None:
    assert mixed_probe(Addresses(("10.0.0.3",), ("10.2.0.11",))) is None
    assert mixed_probe(Addresses(("fd00::3",), ("fd00:2::11",))) is None


def test_ipv6_in_ipv4() -> None:
    frame = mixed_probe(Addresses(("fd00::3",), ("10.2.0.11",)))
    assert frame is not None
    packet = Ether(frame)
    assert packet[IP].dst == "10.2.0.11"
    assert packet[IP].proto == 41
    assert packet[IPv6].dst == "fd00::3"


def test_ipv4_in_ipv6() -> None:
    frame = mixed_probe(Addresses(("10.0.0.3",), ("10.2.0.11", "fd00:2::11")))
    assert frame is not None
    packet = Ether(frame)
    assert packet[IPv6].dst == "fd00:2::11"
    assert packet[IPv6].nh == 4
    assert packet[IP].dst == "10.0.0.3"
