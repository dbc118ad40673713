# SPDX-License-Identifier: Apache-2.0
"""A SYN as bytes: another reader finds in it what was said, and its checksums right."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from xlvs.protocols.tcp_syn import Syn, packet

ALL = {"stamp": 77, "sack": True, "scale": 9}


def syn(source: str, destination: str, **more: int) -> Syn:
    return Syn(
        ip_address(source), ip_address(destination), 40000, 80, 4_000_000_000, 64000, 1400, **more
    )


@pytest.mark.parametrize(
    ("more", "options"),
    [
        ({}, [("MSS", 1400)]),
        ({"stamp": 0}, [("MSS", 1400), ("NOP", None), ("NOP", None), ("Timestamp", (0, 0))]),
        (
            ALL,
            [("MSS", 1400), ("SAckOK", b""), ("Timestamp", (77, 0)), ("NOP", None), ("WScale", 9)],
        ),
    ],
)
@pytest.mark.parametrize("v6", [False, True])
def test_it_says_what_it_shall(
    v6: bool, more: dict[str, int], options: list[tuple[str, object]]
) -> None:
    ends = ("fd00::1", "fd00::2") if v6 else ("192.0.2.1", "192.0.2.2")
    made = syn(*ends, **more)
    sent = IPv6(packet(made)) if v6 else IP(packet(made))
    assert (sent.src, sent.dst) == ends
    tcp = sent[TCP]
    assert (tcp.sport, tcp.dport, tcp.seq, tcp.window) == (40000, 80, 4_000_000_000, 64000)
    assert str(tcp.flags) == "S"
    assert tcp.options == options
    was = tcp.chksum
    del tcp.chksum
    again = sent.__class__(bytes(sent))
    assert again[TCP].chksum == was
    assert len(bytes(again)) == (again.plen + 40 if v6 else again.len)
