# SPDX-License-Identifier: Apache-2.0
"""The filter for ARP, run by a small interpreter of what it uses of classic BPF."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest

from xlvs.io.vrrp.conflicts import instructions
from xlvs.protocols.vrrp.neighbours import arp_sender, gratuitous_arp

MAC = bytes.fromhex("020000000001")


def passes(program, frame):
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at = value = 0
    while True:
        op, yes, no, number = code[at]
        at += 1
        if op == 0x20:
            value = int.from_bytes(frame[number : number + 4], "big")
        elif op == 0x15:
            at += yes if value == number else no
        else:
            return bool(number)


@pytest.mark.parametrize("count", [0, 1, 3, 500, 3000])
def test_what_names_one_of_the_addresses_passes(count):
    wanted = [ip_address(f"10.{n // 250}.0.{n % 250}") for n in range(count)]
    program = instructions(wanted)
    assert len(program) // 8 <= 4096
    for one in wanted[:3]:
        assert passes(program, gratuitous_arp(one, MAC))
    assert not passes(program, gratuitous_arp(ip_address("10.99.0.1"), MAC))


def test_who_says_what():
    frame = gratuitous_arp(ip_address("10.0.0.1"), MAC)
    assert arp_sender(frame) == (ip_address("10.0.0.1"), MAC)
    assert arp_sender(frame[:41]) is None
    assert arp_sender(b"\0" * 60) is None
