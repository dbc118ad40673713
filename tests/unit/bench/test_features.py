# SPDX-License-Identifier: Apache-2.0
"""The rows of what features cost, and the tables that are made of them."""

from __future__ import annotations

from bench.feature_world import PREFIXES, Feature, bad
from bench.features import (
    DOCUMENT,
    FEW,
    MANY,
    Row,
    What,
    floods,
    into,
    near_nat,
    rows,
    tables,
)
from bench.rows import HOOKS

from xlvs.model.service import Method

EVERY = list(rows(HOOKS))


def test_each_row_is_there_once() -> None:
    assert len(set(EVERY)) == len(EVERY)
    assert len({row.title + f"{row.room}" for row in EVERY}) == len(EVERY)


def test_each_feature_is_compared_with_the_same_without_it() -> None:
    for row in EVERY:
        if row.feature is Feature.OFF or row.what in {What.SYN, What.SYN_ACK}:
            continue
        assert row.off in EVERY, row.title
        assert row.off.method is row.method


def test_switched_off_fullnat_is_beside_nat_with_few_and_many_flows() -> None:
    found = dict.fromkeys(EVERY, 100.0)
    ours = Row(What.ESTABLISHED, "tc", method=Method.FULLNAT, flows=MANY, room=MANY)
    found[ours] = 120.0
    pairs = {(row.hook, row.flows): value / nat for row, value, nat in near_nat(found)}
    assert set(pairs) == {(hook, flows) for hook in HOOKS for flows in (1, FEW, MANY)}
    assert [key for key, ratio in pairs.items() if ratio > 1.1] == [("tc", MANY)]


def test_a_flood_is_answered_fast_enough_by_either_measure() -> None:
    found = dict.fromkeys(EVERY, 600.0)
    assert all(each.met for each in floods(found))
    found = {row: 1000.0 if row.what is What.SYN else 400.0 for row in EVERY}
    assert not any(each.met for each in floods(found))
    found = {row: 1000.0 if row.what is What.SYN else 500.0 for row in EVERY}
    assert all(each.met for each in floods(found))


def test_the_tables_show_all_and_how_much_more_it_is() -> None:
    found = {row: 70.0 if row.feature is Feature.OFF else 170.0 for row in EVERY}
    text = tables(found)
    assert "| TOA (FULLNAT) | established, 64 K | 170 (+100) | 170 (+100) |" in text
    assert text.count("two packets made of it |  | 170 |") == 1
    assert tables({}) == ""


def test_the_list_has_so_many_prefixes() -> None:
    assert len(bad()) == PREFIXES


def test_the_document_has_one_place_for_the_figures() -> None:
    before = DOCUMENT.read_text(encoding="utf-8")
    once = into(before, "figures")
    assert into(once, "figures") == once
    assert "-->\n\nfigures\n\n<!--" in once
    assert before.split("<!--")[:2] == once.split("<!--")[:2]
    assert before.rpartition("-->")[2] == once.rpartition("-->")[2]
