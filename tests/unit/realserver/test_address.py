# SPDX-License-Identifier: Apache-2.0
"""Addresses as typed, and as the program's maps have them."""

from __future__ import annotations

import pytest

from xlvs.model.problem import Problem
from xlvs.realserver.address import host_prefix, key, virtual_address


def test_usual_spelling() -> None:
    assert virtual_address("10.0.0.1") == "10.0.0.1"
    assert virtual_address("FD00:0:0::1") == "fd00::1"


IMPOSSIBLE = (
    *("", "x", "10.0.0", "10.0.0.1/32", "10.0.0.1:80"),
    *("0.0.0.0", "127.0.0.1", "224.0.0.1"),  # noqa: S104  # refused, not bound
    *("::", "::1", "ff02::1", "fe80::1", "fe80::1%eth0", "::ffff:10.0.0.1"),
)


@pytest.mark.parametrize("text", IMPOSSIBLE)
def test_what_cannot_be_a_virtual_address(text: str) -> None:
    with pytest.raises(Problem) as refused:
        virtual_address(text)
    assert refused.value.where == "--vip"


def test_key_is_one_form_for_both_families() -> None:
    assert key("10.0.0.1") == bytes.fromhex("00000000000000000000ffff0a000001")
    assert key("fd00::3") == bytes.fromhex("fd000000000000000000000000000003")


def test_host_prefix() -> None:
    assert (host_prefix("10.0.0.1"), host_prefix("fd00::1")) == (32, 128)
