# SPDX-License-Identifier: Apache-2.0
"""Pools of local addresses: how they are spelled, changed and named."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from xlvs.model.desired import Bounds, Desired, Draft, apply_all
from xlvs.model.edit import (
    AddLocalAddress,
    AddService,
    ChangePool,
    Clear,
    DeletePool,
    EditService,
    SetPool,
)
from xlvs.model.local_pool import ADDRESSES_MAX, addresses_of, spelled
from xlvs.model.problem import Problem
from xlvs.model.service import Protocol, Service, ServiceKey

KEY = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.1"), port=80)


def ips(*texts: str) -> tuple[object, ...]:
    return tuple(map(ip_address, texts))


def done(*edits: object, desired: Desired | None = None) -> Desired:
    return apply_all(desired or Desired(), edits, "abort")[0]


def service(**more: object) -> Service:
    return Service(key=KEY, **more)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["10.2.0.1"], ips("10.2.0.1")),
        (["10.2.0.254-10.2.1.1"], ips("10.2.0.254", "10.2.0.255", "10.2.1.0", "10.2.1.1")),
        (["10.2.0.4/30", "10.2.0.5"], ips("10.2.0.4", "10.2.0.5", "10.2.0.6", "10.2.0.7")),
        (["fd00::fe/127", "fd00::1"], ips("fd00::fe", "fd00::ff", "fd00::1")),
    ],
)
def test_addresses_ranges_and_prefixes(words, expected):
    assert spelled(words) == expected


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("10.2.0", "address, FIRST-LAST or PREFIX"),
        ("10.2.0.9-10.2.0.1", "ends where it begins or later"),
        ("10.2.0.1-fd00::1", "ends where it begins or later"),
        ("10.2.0.1/24", "has host bits set"),
        ("10.0.0.0/8", f"more than {ADDRESSES_MAX} addresses"),
        ("fd00::/64", f"more than {ADDRESSES_MAX} addresses"),
    ],
)
def test_what_is_no_address_is_told_with_its_word(word, complaint):
    with pytest.raises(Problem, match=complaint) as refused:
        spelled(["10.9.9.9", word])
    assert refused.value.where == word


def test_a_pool_is_made_changed_and_removed():
    desired = done(SetPool(name="a", addresses=ips("10.2.0.1", "10.2.0.2")))
    desired = done(
        ChangePool(name="a", add=ips("10.2.0.3"), remove=ips("10.2.0.1")), desired=desired
    )
    assert desired.pools == {"a": ips("10.2.0.2", "10.2.0.3")}
    assert done(Clear(), desired=desired).pools == desired.pools
    assert done(DeletePool(name="a"), desired=desired).pools == {}


@pytest.mark.parametrize(
    ("edit", "complaint", "where"),
    [
        (SetPool(name="-a", addresses=()), "cannot name a pool", "/name"),
        (SetPool(name="a b", addresses=()), "cannot name a pool", "/name"),
        (SetPool(name="b", addresses=ips("10.2.0.1", "224.0.0.1")), "unicast", "/addresses/1"),
        (SetPool(name="b", addresses=ips("10.2.0.255")), "unicast", "/addresses/0"),
        (SetPool(name="b", addresses=ips("10.2.0.1") * 2), "10.2.0.1 is there twice", "/addresses"),
        (
            SetPool(name="b", addresses=spelled(["10.3.0.0/22", "10.4.0.1"])),
            "up to 1024 addresses, not 1025",
            "/addresses",
        ),
        (ChangePool(name="a", add=ips("10.2.0.1")), "it has 10.2.0.1 already", "/add/0"),
        (ChangePool(name="a", remove=ips("10.2.0.9")), "it does not have 10.2.0.9", "/remove/0"),
        (ChangePool(name="b"), "there is no pool 'b'", "/name"),
        (DeletePool(name="b"), "there is no pool 'b'", "/name"),
        (DeletePool(name="a"), "a service has the pool 'a'", "/name"),
        (
            EditService(service=service(local_pool="b")),
            "no pool 'b' of local addresses (there are a)",
            "/service/local_pool",
        ),
        (
            EditService(service=service(local_pool="a", local_addresses=ips("10.2.0.9"))),
            "of its own or a pool, not both",
            "/service/local_pool",
        ),
        (
            AddLocalAddress(service=KEY, address=ip_address("10.2.0.9")),
            "those of the pool 'a'",
            "/address",
        ),
    ],
)
def test_what_cannot_be_changes_nothing(edit, complaint, where):
    before = done(
        SetPool(name="a", addresses=ips("10.2.0.1")), AddService(service=service(local_pool="a"))
    )
    draft = Draft(before, Bounds(is_broadcast=ips("10.2.0.255").__contains__))
    with pytest.raises(Problem) as refused:
        draft.apply(edit)
    assert complaint in refused.value.message
    assert refused.value.where == where
    assert draft.desired() == before


def test_whose_addresses_a_service_has():
    daemon, pool, default = ips("10.2.0.1"), ips("10.2.0.2"), ips("10.2.0.3")
    own = service(local_addresses=ips("10.2.0.4"))
    named = service(local_pool="a")
    assert addresses_of(own, {"a": pool, "default": default}, daemon) == own.local_addresses
    assert addresses_of(named, {"a": pool, "default": default}, daemon) == pool
    assert addresses_of(service(), {"a": pool, "default": default}, daemon) == default
    assert addresses_of(service(), {"a": pool}, daemon) == daemon


def test_an_edit_that_says_nothing_of_local_addresses_keeps_the_pool():
    desired = done(
        SetPool(name="a", addresses=ips("10.2.0.1")),
        AddService(service=service(local_pool="a")),
        EditService(service=service(scheduler="rr"), keep_local_addresses=True),
    )
    assert desired.services[KEY][0] == service(scheduler="rr", local_pool="a")
