# SPDX-License-Identifier: Apache-2.0
"""What bench/scale makes of its figures."""

from __future__ import annotations

import copy

import pytest
from bench.scale import CONNECTIONS, judged

FOUND = {
    "connections": CONNECTIONS,
    "memory": {"all": 902_000_000},
    "tick_full": {"share": 0.01},
    "tick_full_later": {"share": 0.009},
    "listing": {
        "bytes_before": 36_000_000,
        "daemon_bytes": 39_000_000,
        "ipvsadm_bytes": 46_000_000,
        "lines_per_cpu_second": 300_000,
        "seconds_of_others": {"services": 0.1, "status": 0.2, "ipvsadm -Ln": 3.0},
    },
}


def test_all_limits_are_met() -> None:
    assert all(judged(FOUND).values())


@pytest.mark.parametrize(
    ("path", "value", "limit"),
    [
        (("memory", "all"), 1_000_000_000, "memory"),
        (("connections",), CONNECTIONS // 2, "memory"),
        (("tick_full", "share"), 0.03, "idle"),
        (("tick_full_later", "share"), 0.03, "idle"),
        (("listing", "lines_per_cpu_second"), 199_999, "listing"),
        (("listing", "daemon_bytes"), 101_000_000, "listing_memory"),
        (("listing", "ipvsadm_bytes"), 64_000_000, "listing_memory"),
        (("listing", "seconds_of_others", "status"), 1.0, "others_meanwhile"),
    ],
)
def test_a_limit_that_is_missed(path, value, limit) -> None:
    found = copy.deepcopy(FOUND)
    inner = found
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    assert [name for name, met in judged(found).items() if not met] == [limit]


def test_a_small_table_has_room_for_what_is_not_the_table() -> None:
    small = {**FOUND, "connections": 262144, "memory": {"all": 43_000_000}}
    assert judged(small)["memory"]
