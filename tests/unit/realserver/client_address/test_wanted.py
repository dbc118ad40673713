# SPDX-License-Identifier: Apache-2.0
"""Whom to believe: what is typed, and what the map holds."""

from __future__ import annotations

import struct

import pytest

from xlvs.model.problem import Problem
from xlvs.realserver.client_address.wanted import Wanted, family, packed, unpacked, wanted


@pytest.mark.parametrize(
    ("typed", "believed"),
    [
        (["10.2.0.101"], ("10.2.0.101",)),
        (["10.2.0.101,10.2.0.102"], ("10.2.0.101", "10.2.0.102")),
        (["10.2.0.102", "10.2.0.101,"], ("10.2.0.101", "10.2.0.102")),
        (["10.2.0.0/24,10.2.0.0/24"], ("10.2.0.0/24",)),
        (["fd00:2::/64,10.0.0.0/8"], ("10.0.0.0/8", "fd00:2::/64")),
        (["10.2.0.101/32", "fd00:2:0::101/128"], ("10.2.0.101", "fd00:2::101")),
        (["::/97"], ("::/97",)),
    ],
)
def test_prefixes(typed: list[str], believed: tuple[str, ...]) -> None:
    assert wanted(typed) == Wanted(believed, 254)


@pytest.mark.parametrize(
    ("typed", "kind", "where", "sentence"),
    [
        ([], 254, "--from", "only they are believed"),
        ([","], 254, "--from", "only they are believed"),
        (["0.0.0.0/0"], 254, "--from", "0.0.0.0/0 is everybody"),
        (["::/0"], 254, "--from", "::/0 is everybody"),
        (["::/80"], 254, "--from", "write them as IPv4"),
        (["::ffff:10.2.0.101"], 254, "--from", "write them as IPv4"),
        (["10.2.0.101/24"], 254, "--from", "has bits beyond its prefix: 10.2.0.0/24?"),
        (["10.2.0"], 254, "--from", "10.2.0 is not an address or prefix"),
        (["10.2.0.0/33"], 254, "--from", "is not an address or prefix"),
        (["eth0"], 254, "--from", "eth0 is not an address or prefix"),
        (["10.2.0.101"], 251, "--toa-kind", "252 to 254, not 251"),
        (["10.2.0.101"], 255, "--toa-kind", "252 to 254, not 255"),
        ([f"10.{n // 256}.{n % 256}.1" for n in range(1025)], 254, "--from", "at most 1024"),
    ],
)  # fmt: skip
def test_refused(typed: list[str], kind: int, where: str, sentence: str) -> None:
    with pytest.raises(Problem) as refused:
        wanted(typed, kind)
    assert refused.value.where == where
    assert sentence in refused.value.message


@pytest.mark.parametrize(
    ("prefix", "bits", "address"),
    [
        ("10.2.0.101", 128, "00000000000000000000ffff0a020065"),
        ("10.2.0.0/24", 120, "00000000000000000000ffff0a020000"),
        ("fd00:2::/64", 64, "fd000002000000000000000000000000"),
        ("fd00:2::101", 128, "fd000002000000000000000000000101"),
    ],
)
def test_keys_of_the_map(prefix: str, bits: int, address: str) -> None:
    data = packed(prefix)
    assert data == struct.pack("=I", bits) + bytes.fromhex(address)
    assert unpacked(data) == prefix
    assert family(prefix) == (6 if ":" in prefix else 4)
