# SPDX-License-Identifier: Apache-2.0
"""A director over a data path in memory, scraped."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain
from tests.unit.datapath_plan.build import World

from xlvs.api.metrics.exposition import pieces
from xlvs.api.metrics.scrape import Identity, Scraper
from xlvs.engine.histogram import Histogram
from xlvs.model.detail import Detail

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def identity(**more):
    known = {
        "version": "1.2",
        "director": "edge",
        "hooks": lambda: (("eth0", "tc", "as asked for"), ("eth1", "tc", "as asked for")),
        "warnings": lambda: ("one",),
        "loop_lag": Histogram([0.1]),
        "refused_tokens": lambda: 3,
    }
    return Identity(**{**known, **more})


async def scraped(found, accept=""):
    """The text, as it is sent."""
    encode, content_type = choose_encoder(accept)
    return [piece async for piece in pieces(found.metrics(), encode, content_type)]


NO_SYN_PROXY = SimpleNamespace(proxied=lambda _keys: {})
NO_SYNC = SimpleNamespace(running=None, error="")


def scraper(
    world: World,
    *,
    configured=None,
    syncing=NO_SYNC,
    syn_proxying=NO_SYN_PROXY,
    detail=Detail.DESTINATIONS,
):
    return Scraper(world.director, configured, syncing, syn_proxying, identity(), detail=detail)


def text(world: World, accept="", **more):
    return b"".join(asyncio.run(scraped(scraper(world, **more), accept))).decode()


def samples(found: str, accept=""):
    """``{(name, labels): value}``; the library's own parser reads it."""
    parse = openmetrics if accept else plain
    seen = {}
    for family in parse(found):
        for each in family.samples:
            at = (each.name, frozenset(each.labels.items()))
            assert at not in seen, f"{at} is there twice"
            seen[at] = each.value
    return seen


def value(found, name, **labels):
    return found[name, frozenset(labels.items())]
