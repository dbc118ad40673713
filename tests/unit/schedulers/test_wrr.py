# SPDX-License-Identifier: Apache-2.0
"""Changes that tell nothing are left out, and nobody sees it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xlvs.schedulers.wrr import after_change, numbers, telling, with_another

changes = st.lists(
    st.lists(st.sampled_from([0, 1, 2, 3, 4, 6, 9, 100, 65535]), max_size=4).map(numbers),
    min_size=1,
    max_size=12,
)


def walked(weight, each):
    for one in each:
        weight = after_change(weight, one)
    return weight


@given(changes)
def test_a_service_that_begins(each):
    first, *rest = each
    told, *others = found = telling(each, begins=True)
    assert walked(told[1], others) == walked(first[1], rest)
    assert found[-1] == each[-1]
    assert len(found) <= len(each)


@given(st.integers(0, 65535), changes)
def test_a_service_that_goes_on(weight, each):
    found = telling(each, begins=False)
    assert walked(weight, found) == walked(weight, each)
    assert found[-1] == each[-1]


def test_of_servers_that_are_restored_two_changes_tell_it():
    restored = [numbers([1 + each % 3 for each in range(count)]) for count in range(11)]
    assert telling(restored, begins=True) == [(1, 1), (1, 3)]


def test_numbers_of_weights():
    assert numbers([]) == numbers([0]) == (1, 0)
    assert numbers([4, 0, 6]) == (2, 5)
    assert numbers([3]) == (3, 1)


@given(st.lists(st.sampled_from([0, 1, 2, 3, 4, 6, 9, 100, 65535]) | st.integers(0, 2**31 - 1)))
def test_numbers_of_one_more(weights):
    found = numbers([])
    for at, weight in enumerate(weights, 1):
        found = with_another(found, weight)
        assert found == numbers(weights[:at])
