# SPDX-License-Identifier: Apache-2.0
"""The one address form, its text, and the bytes that tell addresses' roles."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlvs.datapath.addresses import family, packed, slot, text, unpacked
from xlvs.datapath.records import ADDRESS_SLOTS


@given(st.ip_addresses())
def test_there_and_back(address):
    # An IPv6 address that maps IPv4 is IPv4 to the maps.
    expected = getattr(address, "ipv4_mapped", None) or address
    assert unpacked(packed(address)) == expected
    assert 0 <= slot(packed(address)) < ADDRESS_SLOTS


@pytest.mark.parametrize(
    ("address", "number", "words"),
    [
        ("10.0.0.1", 2, "10.0.0.1"),
        ("fd00::1", 10, "fd00::1"),
        ("::a00:1", 10, "::10.0.0.1"),
    ],
)
def test_family_and_text(address, number, words):
    assert family(ip_address(address)) == number
    assert text(packed(ip_address(address))) == words
    assert text(ip_address(address).packed) == words


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("10.0.0.1", 0x0100000A),
        ("192.168.200.11", 0x0BC8A8C0),
        ("fd00:1::1", 0x010000FD ^ 0 ^ 0 ^ 0x01000000),
        ("2001:db8:1:2:3:4:5:6", 0xB80D0120 ^ 0x02000100 ^ 0x04000300 ^ 0x06000500),
    ],
)
def test_a_slot_is_a_hash_of_the_words_as_they_lie_in_memory(address, word):
    expected = (word * 0x9E3779B1 & 0xFFFFFFFF) >> 16
    assert slot(packed(ip_address(address))) == expected
