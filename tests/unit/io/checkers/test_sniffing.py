# SPDX-License-Identifier: Apache-2.0
"""The filter, by an interpreter of the few operations that it has."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest

from xlvs.io.checkers import sniffing
from xlvs.protocols.checks import packets

A4, B4 = ip_address("10.0.0.1"), ip_address("10.0.0.2")
A6, B6 = ip_address("fd00::1"), ip_address("fd00::2")


def passes(kind: int, packet: bytes) -> bool:
    code = [struct.unpack_from("=HBBI", sniffing.assembled(), at)
            for at in range(0, len(sniffing.assembled()), 8)]  # fmt: skip
    at = a = x = 0
    while True:
        operation, yes, no, k = code[at]
        at += 1
        if operation == 0x28:
            a = kind if k == 0xFFFFF000 else int.from_bytes(packet[k : k + 2])
        elif operation == 0x48:
            a = int.from_bytes(packet[x + k : x + k + 2])
        elif operation == 0x30:
            a = packet[k]
        elif operation == 0x50:
            a = packet[x + k]
        elif operation == 0xB1:
            x = (packet[k] & 15) * 4
        elif operation in (0x15, 0x35):
            at += yes if (a == k if operation == 0x15 else a >= k) else no
        else:
            assert operation == 0x06
            return bool(k)


@pytest.mark.parametrize(
    ("kind", "packet", "expected"),
    [
        (0x0800, packets.tcp((B4, 80), (A4, 61000), 0, 0, 18), True),
        (0x0800, packets.tcp((B4, 80), (A4, 60999), 0, 0, 18), False),
        (0x86DD, packets.tcp((B6, 80), (A6, 65535), 0, 0, 18), True),
        (0x86DD, packets.tcp((B6, 80), (A6, 40000), 0, 0, 18), False),
        (0x0800, packets.ip(B4, A4, 1, b"\3\0" + bytes(6)), True),
        (0x0800, packets.ip(B4, A4, 1, b"\0\0" + bytes(6)), False),
        (0x0800, packets.udp((B4, 53), (A4, 61001), b""), True),
        (0x86DD, packets.udp((B6, 53), (A6, 61001), b""), True),
        (0x0800, packets.udp((B4, 53), (A4, 5353), b""), False),
        (0x0800, packets.ip(B4, A4, 2, bytes(8)), False),
        (0x86DD, packets.ip(B6, A6, 58, b"\1\0" + bytes(6)), True),
        (0x86DD, packets.ip(B6, A6, 58, b"\x88\0" + bytes(6)), True),
        (0x86DD, packets.ip(B6, A6, 58, b"\x87\0" + bytes(6)), False),
        (0x0806, bytes(6) + b"\0\2" + bytes(20), True),
        (0x0806, packets.who_has(B4, A4, bytes(6))[1], False),
        (0x88CC, bytes(40), False),
    ],
)
def test_filter(kind: int, packet: bytes, expected: bool) -> None:
    assert passes(kind, packet) is expected
