# SPDX-License-Identifier: Apache-2.0
"""Lists of clients: what is a prefix, and what edits do to a list."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlvs.model.client_list import Change, changed, client_list, texts
from xlvs.model.desired import Desired, apply
from xlvs.model.edit import AddService, ChangeList, DeleteList, PutList
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Protocol, Service, ServiceKey

_V4 = st.builds(
    lambda address, bits: str(ip_network((address >> (32 - bits) << (32 - bits), bits))),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)
_V6 = st.builds(
    lambda address, bits: str(ip_network((address >> (128 - bits) << (128 - bits), bits))),
    st.integers(2**125, 2**126 - 1),
    st.integers(0, 128),
)
KEY = ServiceKey(protocol=Protocol.FWM, fwmark=1)


PREFIXES = st.lists(_V4 | _V6, max_size=8)


@given(PREFIXES)
def test_a_list_says_what_it_was_made_of(prefixes) -> None:
    found = client_list(tuple(prefixes))
    assert {ip_network(each) for each in texts(found)} == {ip_network(each) for each in prefixes}
    assert len(found) == len({*prefixes})
    assert client_list(tuple(texts(found))) == found
    assert client_list(tuple(reversed(prefixes))) == found


@given(PREFIXES, PREFIXES)
def test_prefixes_come_and_go(first, more) -> None:
    both = changed(client_list(tuple(first)), Change(add=tuple(more)))
    assert both == client_list((*first, *more))
    less = changed(both, Change(remove=tuple(first)))
    assert less == client_list(tuple({*more} - {*first}))


def test_lists_of_the_same_prefixes_are_the_same_to_the_data_path() -> None:
    one = client_list(("192.0.2.0/24", "2001:db8::/32"))
    assert one.number == client_list(("2001:db8::/32", "192.0.2.0/24", "192.0.2.0/24")).number
    assert one.number != client_list(("192.0.2.0/24",)).number
    assert one.number % 2 == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("192.0.2.1/24", "192.0.2.1/24 has bits beyond its prefix: 192.0.2.0/24 would be right"),
        ("192.0.2.256", "'192.0.2.256' is no address or prefix"),
        ("192.0.2.01", "'192.0.2.01' is no address or prefix"),
        ("192.0.2.0/33", "'192.0.2.0/33' is no address or prefix"),
        ("", "'' is no address or prefix"),
        ("client.example", "'client.example' is no address or prefix"),
        ("::ffff:192.0.2.0/120", "write it as IPv4's"),
        ("2001:db8::1/64", "2001:db8::/64 would be right"),
    ],
)
def test_what_is_no_prefix_is_said(text, said) -> None:
    with pytest.raises(Problem, match=r"prefix|IPv4") as caught:
        client_list(("10.0.0.0/8", text))
    assert said in caught.value.message
    assert caught.value.where == "/prefixes/1"


def test_a_list_that_a_service_names_stays() -> None:
    desired = apply(Desired(), PutList(name="bad", prefixes=("192.0.2.0/24",)))
    desired = apply(desired, AddService(service=Service(key=KEY, deny=("bad",))))
    with pytest.raises(Problem, match="named by the service fwm 1") as caught:
        apply(desired, DeleteList(name="bad"))
    assert caught.value.code is Code.LIST_IN_USE
    # It may become another one, also without a prefix.
    assert not len(apply(desired, PutList(name="bad")).lists["bad"])


def test_a_service_names_lists_that_there_are() -> None:
    with pytest.raises(Problem, match="there is no list of clients 'bad'") as caught:
        apply(Desired(), AddService(service=Service(key=KEY, deny=("bad",))))
    assert (caught.value.code, caught.value.where) == (Code.NO_SUCH_LIST, "/service/deny/0")


def test_a_prefix_that_is_not_there_is_not_removed() -> None:
    desired = apply(Desired(), ChangeList(name="a", add=("192.0.2.0/24", "192.0.2.7")))
    with pytest.raises(Problem, match=r"192\.0\.2\.8 is not in the list"):
        apply(desired, ChangeList(name="a", remove=("192.0.2.7", "192.0.2.8")))
    left = apply(desired, ChangeList(name="a", remove=("192.0.2.7",))).lists["a"]
    assert list(texts(left)) == ["192.0.2.0/24"]


def test_there_is_an_end_to_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xlvs.model.client_list.PREFIXES_MAX", 3)
    desired = apply(Desired(), PutList(name="a", prefixes=("192.0.2.1", "192.0.2.2")))
    with pytest.raises(Problem, match="no room for more than 3 prefixes"):
        apply(desired, PutList(name="b", prefixes=("192.0.2.1", "192.0.2.2")))
    assert len(apply(desired, PutList(name="a", prefixes=("1.1.1.1",))).lists["a"]) == 1


@pytest.mark.parametrize("name", ["", "a b", "a,b", "x" * 65, "ä"])
def test_what_is_no_name_of_a_list(name) -> None:
    with pytest.raises(Problem, match="a list's name is"):
        apply(Desired(), PutList(name=name))


def test_there_is_no_list_to_delete() -> None:
    with pytest.raises(Problem, match="there is no list of clients 'a'"):
        apply(Desired(), DeleteList(name="a"))
