# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlvs.engine.histogram import Histogram


def test_a_bound_belongs_to_what_is_up_to_it():
    found = Histogram([0.1, 1])
    for seconds in (0.05, 0.1, 0.11, 1, 7):
        found.observe(seconds)
    assert list(found.cumulative()) == [(0.1, 2), (1, 4), (inf, 5)]
    assert found.sum == pytest.approx(8.26)


@given(st.lists(st.floats(0, 20)), st.lists(st.floats(0.001, 10), unique=True))
def test_each_bound_has_all_that_are_not_above_it(seconds, bounds):
    found = Histogram(sorted(bounds))
    for each in seconds:
        found.observe(each)
    for bound, count in found.cumulative():
        assert count == sum(each <= bound for each in seconds)
