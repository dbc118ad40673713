# SPDX-License-Identifier: Apache-2.0
"""Regions of lists and slots: what is free, and what of it a page has room for."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlvs.datapath.records import SLOT_PAGE
from xlvs.datapath.space import NOWHERE, Space, page_of, slots_read, spare_pages
from xlvs.datapath.tables import Have, Region
from xlvs.model.problem import Code, Problem
from xlvs.schedulers import maglev

PAGE = 10
FULL = "no room here"


def space(*taken: Region, size: int = 3 * PAGE, page: int = PAGE) -> Space:
    return Space(lambda: taken, size, FULL, page)


def test_nothing_takes_no_room() -> None:
    assert space(size=0).take(0) == NOWHERE


def test_regions_do_not_cross_pages() -> None:
    made = space()
    assert [made.take(6), made.take(6), made.take(4), made.take(3)] == [
        Region(0, 6),
        Region(10, 6),
        Region(6, 4),
        Region(16, 3),
    ]


def test_without_pages_they_lie_one_behind_the_other() -> None:
    made = space(page=0)
    assert [made.take(6), made.take(6), made.take(18)] == [
        Region(0, 6),
        Region(6, 6),
        Region(12, 18),
    ]


def test_gaps_between_what_is_taken_are_used_first() -> None:
    made = space(Region(0, 2), Region(5, 3), Region(5, 3), NOWHERE, Region(12, 4))
    assert [made.take(2), made.take(3), made.take(2), made.take(2)] == [
        Region(2, 2),
        Region(16, 3),
        Region(8, 2),
        Region(10, 2),
    ]


def test_full_says_so_and_takes_nothing() -> None:
    made = space(Region(0, 9), Region(11, 9), size=2 * PAGE)
    # Two places are free, one on either side of a border.
    with pytest.raises(Problem, match=FULL) as caught:
        made.take(2)
    assert caught.value.code is Code.NO_SPACE
    assert [made.take(1), made.take(1)] == [Region(9, 1), Region(10, 1)]
    with pytest.raises(Problem, match=FULL):
        made.take(1)


def test_what_is_taken_is_not_asked_before_it_matters() -> None:
    def never() -> list[Region]:
        raise AssertionError

    assert Space(never, 10, FULL).take(0) == NOWHERE


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(1, PAGE)), max_size=8),
    st.lists(st.integers(1, PAGE), max_size=20),
)
def test_regions_are_apart_and_room_is_found_as_long_as_there_is(
    held: list[tuple[int, int, int]], counts: list[int]
) -> None:
    size = 6 * PAGE
    used = [False] * size
    taken = []
    for page, at, count in held:
        taken.append(Region(page * PAGE + at, min(count, PAGE - at)))
        for place in range(taken[-1].base, taken[-1].base + taken[-1].size):
            used[place] = True
    made = space(*taken, size=size)
    for count in counts:
        fits = [
            base
            for base in range(size - count + 1)
            if base // PAGE == (base + count - 1) // PAGE and not any(used[base : base + count])
        ]
        if not fits:
            with pytest.raises(Problem, match=FULL):
                made.take(count)
            continue
        found = made.take(count)
        assert found == Region(fits[0], count)
        used[found.base : found.base + count] = [True] * count


def test_so_many_tables_of_mh_fit_by_default_and_soon() -> None:
    made = Space(tuple, 2048 * SLOT_PAGE, FULL, SLOT_PAGE)
    begin = time.process_time()
    regions = [made.take(maglev.SIZE) for _ in range(2 * 16384)]
    assert time.process_time() - begin < 2
    assert {page_of(each) for each in regions} == set(range(2048))
    with pytest.raises(Problem):
        made.take(maglev.SIZE)


HZ = 100


def have(now: int, pages: frozenset[int]) -> Have:
    regions = {
        1: (Region(0, 9), Region(SLOT_PAGE, 9)),
        2: (NOWHERE, Region(2 * SLOT_PAGE + 5, 9)),
        3: (Region(4 * SLOT_PAGE, 9), NOWHERE),
    }
    committed = {1: 2**32 - 50, 2: 0, 3: 0}
    return Have(slot_regions=regions, committed=committed, now=now, hz=HZ, slot_pages=pages)


@pytest.mark.parametrize(
    ("now", "spare"), [(49, [3]), (50, [1, 3]), (99, [1, 3]), (100, [1, 2, 3])]
)
def test_pages_are_spare_when_packets_have_let_go_of_them(now: int, spare: list[int]) -> None:
    """A second after the change; also across the end of the ticks' numbers."""
    assert spare_pages(have(now, frozenset(range(5)))) == spare
    assert spare_pages(have(now, frozenset())) == []
    assert Region(0, 9) in set(slots_read(have(now, frozenset())))


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=40), st.sampled_from([0, 16]))
def test_what_is_given_back_is_free_in_one_piece(steps: list[tuple[int, bool]], page: int) -> None:
    space = Space(lambda: taken, 64, "full", page)
    taken: list[Region] = []
    assert space.gaps == Space(lambda: taken, 64, "full", page).gaps
    for count, back in steps:
        if back and taken:
            space.give(taken.pop(count % len(taken)))
        else:
            with suppress(Problem):
                taken.append(space.take(count))
        assert space.gaps == Space(lambda: taken, 64, "full", page).gaps
