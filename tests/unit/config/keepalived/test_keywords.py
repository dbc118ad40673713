# SPDX-License-Identifier: Apache-2.0
"""Every keyword of keepalived's is in a table, and the documentation has them all."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.config.keepalived.reading import problems, remarks

from xlvs.config.keepalived.documentation import markdown
from xlvs.config.keepalived.table import Fate, tables

HERE = Path(__file__).parent
KNOWN = [
    tuple(line.split())
    for line in (HERE / "keywords.txt").read_text().splitlines()
    if not line.startswith("#")
]
TITLES = {
    "top": "the file (outside of blocks)",
    "HTTP_GET": "HTTP_GET, SSL_GET",
    "vrrp_track_file": "track_file",
}


@pytest.mark.parametrize("block", sorted({block for block, _ in KNOWN}))
def test_every_keyword_of_keepalived_has_its_fate(block):
    (table,) = [each for each in tables if each.title == TITLES.get(block, block)]
    missing = [name for known, name in KNOWN if known == block and name not in table.keywords]
    assert not missing


def test_what_has_no_effect_or_is_refused_says_why():
    for table in tables:
        for keyword in table.keywords.values():
            if keyword.fate is not Fate.SUPPORTED:
                assert keyword.note, (table.title, keyword.name)


def test_the_documentation_is_up_to_date():
    written = HERE.parents[3] / "docs" / "keepalived-keywords.md"
    assert written.read_text() == markdown(), "run script/keepalived-keywords"


def test_an_unknown_keyword_is_told_with_the_nearest_one():
    assert problems("global_defs {\n  router_di x\n}") == [
        "2:3: unknown keyword 'router_di' in global_defs: is 'router_id' meant?"
    ]
    assert problems("quorum 3") == [
        "1:1: unknown keyword 'quorum' in the file (outside of blocks): "
        "it belongs to vrrp_track_process"
    ]
    assert problems("qwertzuiop 3") == [
        "1:1: unknown keyword 'qwertzuiop' in the file (outside of blocks)"
    ]


def test_a_refused_keyword_is_told_by_name_with_the_reason():
    (problem,) = problems("global_defs {\n  net_namespace x\n}")
    assert problem.startswith("2:3: keyword 'net_namespace' is not supported: start the daemon")


def test_a_keyword_without_effect_is_remarked_with_the_reason():
    (remark,) = remarks("global_defs {\n  enable_dbus\n}")
    assert remark.startswith("2:3: enable_dbus has no effect: there is no D-Bus")


def test_blocks_are_where_they_belong():
    assert problems("global_defs x\nvrrp_instance V") == [
        "1:1: global_defs wants a block in braces",
        "2:1: vrrp_instance wants a block in braces",
    ]
    assert problems("global_defs {\n router_id x {\n }\n}") == ["2:2: router_id has no block"]


def test_what_stands_behind_a_value_is_remarked():
    assert remarks("global_defs {\n router_id x y z\n}") == ["2:14: 'y z' is not read"]


def test_what_is_said_twice_is_remarked():
    assert remarks("global_defs {\n router_id x\n router_id y\n}") == [
        "3:2: router_id is said again: this one counts"
    ]


def test_problems_are_in_the_order_of_the_file():
    found = problems("vrrp_instance V {\n}\nfoo\nglobal_defs {\n bar\n}\n}\n")
    assert [int(each.partition(":")[0]) for each in found] == [1, 1, 3, 5, 7]


def test_all_problems_are_told_up_to_a_bound():
    found = problems("\n".join(f"x{n}y 1" for n in range(500)))
    assert len(found) == 101
    assert "there is more" in found[-1]
