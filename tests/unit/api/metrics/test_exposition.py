# SPDX-License-Identifier: Apache-2.0
"""Families that are too big for one piece."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.exposition import choose_encoder
from tests.unit.api.metrics.scraping import OPENMETRICS, samples

from xlvs.api.metrics.exposition import CHUNK, pieces
from xlvs.api.metrics.family import ROWS
from xlvs.api.metrics.services import Counted, Read, Server, families
from xlvs.datapath.records import DestinationLoad, Stats
from xlvs.model.detail import Detail
from xlvs.wire.messages import Counters

MANY = 2 * ROWS + 3


def row(n):
    labels = f'service="s{n}",destination="d"'
    server = Server(labels, f'local_mark="{n}"', n, Stats(n), DestinationLoad(n))
    return Counted(f'service="s{n}"', "rr", Stats(n), DestinationLoad(n), 1, 1, [server])


def sent(detail, accept=""):
    encode, content_type = choose_encoder(accept)

    async def metrics():
        for each in families(Read([row(n) for n in range(MANY)], Counters()), detail):
            yield each

    async def main():
        return [piece async for piece in pieces(metrics(), encode, content_type)]

    return asyncio.run(main())


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_a_family_has_one_head_and_all_its_samples(accept):
    text = b"".join(sent(Detail.DESTINATIONS, accept)).decode()
    found = samples(text, accept)
    heads = [line for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(heads) == len(set(heads))
    for n in range(MANY):
        at = frozenset({"service": f"s{n}", "destination": "d"}.items())
        assert found["xlvs_destination_connections_total", at] == n
    assert sum(name == "xlvs_service_packets_total" for name, _ in found) == 2 * MANY


def test_pieces_are_small():
    found = sent(Detail.DESTINATIONS)
    assert len(found) > 10
    assert max(map(len, found)) < CHUNK + ROWS * 3 * 120


def test_the_end_is_at_the_end():
    assert b"".join(sent(Detail.SERVICES, OPENMETRICS)).endswith(b"# EOF\n")
    assert b"# EOF" not in b"".join(sent(Detail.SERVICES))
