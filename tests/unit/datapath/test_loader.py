# SPDX-License-Identifier: Apache-2.0
"""How big the maps are made, before any is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xlvs.datapath.loader import CONNECTIONS_MAX, PORT_BLOCKS_MAX, Sizes, geometry
from xlvs.datapath.problems import DataPathProblem
from xlvs.datapath.records import CHAIN, WAYS4
from xlvs.model.problem import Code


@pytest.mark.parametrize(
    ("connections", "connections6", "half_open"),
    [
        (8, 8, 64),
        (1024, 1024, 256),
        (4096, 1024, 1024),
        (262_144, 65_536, 65_536),
        (10_000_000, 2_500_000, 2_500_000),
    ],
)
def test_ipv6_and_half_open_connections_have_their_share(connections, connections6, half_open):
    sizes = Sizes(connections=connections)
    found = geometry(sizes)
    assert sizes.connections6 == found.lines6 == connections6
    assert found.lines4 == connections - connections // 24
    assert found.half_open_max == half_open
    assert found.hz in {100, 250, 300, 1000}
    sizes.check()


def test_the_share_of_ipv6_can_be_another():
    sizes = Sizes(connections=4096, connections6=16)
    assert geometry(sizes).lines6 == 16
    assert replace(sizes, connections=8).connections6 == 16


def test_secrets_are_nobodys():
    first, second = geometry(Sizes()), geometry(Sizes())
    assert not set(first.secret) & set(second.secret)
    assert first.secret[1] & 1
    assert all(value < 1 << 64 for value in first.secret)


@pytest.mark.parametrize("connections", [1, 7, 8, 9, 17, 1000, 10_000_000, CONNECTIONS_MAX])
def test_every_place_has_a_number(connections):
    lines = geometry(Sizes(connections=connections)).lines4
    assert (lines + CHAIN - 1) * WAYS4 <= 1 << 32


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        (Sizes(connections=CONNECTIONS_MAX + 1), "--table-size"),
        (Sizes(connections6=CONNECTIONS_MAX + 1), "IPv6"),
        (Sizes(port_blocks=PORT_BLOCKS_MAX + 1), "at most, not 65535"),
    ],
)
def test_what_has_no_number_is_refused(sizes, words):
    with pytest.raises(DataPathProblem, match=words) as refused:
        sizes.check()
    assert refused.value.code is Code.INVALID
