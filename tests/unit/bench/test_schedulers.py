# SPDX-License-Identifier: Apache-2.0
"""The benchmark of schedulers: what is measured, and how figures come of it."""

from __future__ import annotations

from ipaddress import IPv4Address

from bench import schedulers
from bench.schedulers import DESTINATIONS, SERVICES, Row, document, figures, rows, service, tables

from xlvs.datapath.support import SCHEDULERS


def test_every_scheduler_with_every_number_on_both_hooks() -> None:
    found = rows(("xdp", "tc"), list(SCHEDULERS))
    assert (
        len(found) == len(set(found)) == 2 * (len(SCHEDULERS) * len(DESTINATIONS) + len(SERVICES))
    )


def test_figures_are_medians_beside_rr_of_one_in_the_same_run() -> None:
    found = {
        Row("rr", "xdp", 1): [300.0, 320.0, 310.0],
        Row("lc", "xdp", 1000): [20_100.0],
        Row("lc", "tc", 10): [],
    }
    of = figures(found, {"xdp": [110.0, 90.0, 100.0], "tc": [100.0]})
    assert of[Row("rr", "xdp", 1)] == (310.0, 305.0, 315.0, 210.0, 1.0)
    assert of[Row("lc", "xdp", 1000)].times == 20_000 / 210
    assert Row("lc", "tc", 10) not in of
    text = tables(of)
    assert "| lc | xdp |  |  |  | 20000 (95.24) |" in text
    assert len(document(of, {"rounds": 3})["rows"]) == 2


def test_ovf_never_overflows_and_weights_differ() -> None:
    _, servers = service("ovf", IPv4Address("10.1.0.1"), 1000)
    assert len({each.key for each in servers}) == 1000
    assert min(each.weight for each in servers) > schedulers.PACKETS
    assert len({each.weight for each in servers}) > 1
