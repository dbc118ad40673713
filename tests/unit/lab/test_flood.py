# SPDX-License-Identifier: Apache-2.0
"""A flood's SYNs are valid, and each is somebody else's."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import islice

import pytest
from scapy.all import IP, TCP, IPv6

from xlvs.lab.flood import packets


@pytest.mark.parametrize(
    ("vip", "header", "clients"),
    [("10.0.0.4", IP, "198.51.100.0/24"), ("fd00::4", IPv6, "2001:db8::/64")],
)
def test_each_is_a_syn_of_another_client(vip, header, clients):
    made = [header(raw) for raw in islice(packets(ip_address(vip), 80, seed=7), 200)]
    assert all(ip_address(one.src) in ip_network(clients) for one in made)
    assert {(one.dst, one[TCP].dport, str(one[TCP].flags)) for one in made} == {(vip, 80, "S")}
    assert len({(one.src, one[TCP].sport, one[TCP].seq) for one in made}) == len(made)
    for one in made:
        wrong = one.copy()
        del wrong[TCP].chksum
        assert header(bytes(wrong))[TCP].chksum == one[TCP].chksum
