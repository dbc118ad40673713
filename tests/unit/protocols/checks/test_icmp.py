# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xlvs.protocols.checks import icmp
from xlvs.protocols.checks.icmp import Echo

IPV4 = bytes.fromhex("4500 0054 0000 0000 40 01 0000 0a000001 0a000002".replace(" ", ""))
IPV6 = bytes.fromhex("6000 0000 0040 3a 40".replace(" ", "")) + bytes(32)


def replied(request: bytes, kind: int) -> bytes:
    reply = bytes([kind, 0, 0, 0]) + request[4:]
    return reply[:2] + icmp.checksum(reply).to_bytes(2, "big") + reply[4:]


def test_reply() -> None:
    request = icmp.request(77, 3, v6=False)
    assert icmp.checksum(request) == 0
    assert icmp.parse4(IPV4 + replied(request, 0)) == Echo(77, 3)
    assert icmp.parse4(IPV4 + request) is None
    broken = bytearray(replied(request, 0))
    broken[20] ^= 1
    assert icmp.parse4(IPV4 + bytes(broken)) is None


def test_reply6() -> None:
    request = icmp.request(77, 4, v6=True)
    assert icmp.parse6(replied(request, 129)) == Echo(77, 4)
    assert icmp.parse6(request) is None


def test_errors_name_the_request() -> None:
    request = icmp.request(77, 5, v6=False)
    error = bytes([3, 1, 0, 0, 0, 0, 0, 0]) + IPV4 + request[:8]
    assert icmp.parse4(IPV4 + error) == Echo(77, 5, "no route to host")
    request6 = icmp.request(77, 6, v6=True)
    error6 = bytes([1, 0, 0, 0, 0, 0, 0, 0]) + IPV6 + request6
    assert icmp.parse6(error6) == Echo(77, 6, "no route to host")


@given(st.binary(max_size=80))
def test_any_bytes(data: bytes) -> None:
    icmp.parse4(data)
    icmp.parse4(IPV4 + data)
    icmp.parse6(data)
    icmp.parse6(b"\1\0\0\0\0\0\0\0" + data)
