# SPDX-License-Identifier: Apache-2.0
"""A configuration file against what there is."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from xlvs.engine.in_words import in_words
from xlvs.engine.reconcile import owned, reconcile
from xlvs.model.checker import RealServer, VirtualService
from xlvs.model.desired import Desired, Timeouts, apply, apply_all
from xlvs.model.edit import (
    AddDestination,
    AddService,
    DeleteDestination,
    DeleteService,
    DrainDestination,
    EditDestination,
    EditService,
)
from xlvs.model.service import (
    Destination,
    DestinationKey,
    Method,
    Protocol,
    Service,
    ServiceKey,
)


def key(n: int = 1) -> ServiceKey:
    return ServiceKey(protocol=Protocol.TCP, address=ip_address(f"10.0.0.{n}"), port=80)


def server(n: int, weight: int = 1) -> Destination:
    there = DestinationKey(address=ip_address(f"172.16.0.{n}"), port=80)
    return Destination(key=there, method=Method.DR, weight=weight)


def virtual(n: int, *servers: Destination, scheduler: str = "rr") -> VirtualService:
    return VirtualService(
        name=f"10.0.0.{n} 80",
        service=Service(key=key(n), scheduler=scheduler),
        real_servers=tuple(RealServer(destination=each) for each in servers),
    )


def after(desired: Desired, edits: list) -> Desired:
    return apply_all(desired, edits, "abort")[0]


FILE = [virtual(1, server(1), server(2, 3)), virtual(2)]


def test_an_empty_director_gets_all_of_it_in_its_order() -> None:
    edits = reconcile(Desired(), {}, FILE)
    assert [type(each) for each in edits] == [
        AddService,
        AddDestination,
        AddDestination,
        AddService,
    ]
    assert list(in_words(Desired(), edits)) == [
        "add tcp 10.0.0.1:80: scheduler rr",
        "add 172.16.0.1:80 of tcp 10.0.0.1:80: method dr, weight 1",
        "add 172.16.0.2:80 of tcp 10.0.0.1:80: method dr, weight 3",
        "add tcp 10.0.0.2:80: scheduler rr",
    ]
    there = after(Desired(), edits)
    assert reconcile(there, owned(FILE), FILE) == []


def test_only_what_differs_is_touched() -> None:
    there = after(Desired(), reconcile(Desired(), {}, FILE))
    wanted = [virtual(1, server(1, 5), server(3), scheduler="wrr")]
    edits = reconcile(there, owned(FILE), wanted)
    assert list(in_words(there, edits)) == [
        "remove tcp 10.0.0.2:80 and its 0 real servers",
        "change tcp 10.0.0.1:80: scheduler rr becomes wrr",
        "remove 172.16.0.2:80 of tcp 10.0.0.1:80",
        "change 172.16.0.1:80 of tcp 10.0.0.1:80: weight 1 becomes 5",
        "add 172.16.0.3:80 of tcp 10.0.0.1:80: method dr, weight 1",
    ]


def test_what_was_removed_by_hand_comes_back() -> None:
    there = after(Desired(), reconcile(Desired(), {}, FILE))
    gone = apply(there, DeleteDestination(service=key(), destination=server(1).key))
    assert reconcile(gone, owned(FILE), FILE) == [
        AddDestination(service=key(), destination=server(1))
    ]
    gone = apply(there, DeleteService(key=key()))
    assert after(gone, reconcile(gone, owned(FILE), FILE)).services.keys() == there.services.keys()


def test_what_commands_added_stays() -> None:
    there = after(Desired(), reconcile(Desired(), {}, FILE))
    there = apply(there, AddService(service=Service(key=key(9))))
    there = apply(there, AddDestination(service=key(1), destination=server(9)))
    assert reconcile(there, owned(FILE), FILE) == []
    assert [type(each) for each in reconcile(there, owned(FILE), [])] == [DeleteService] * 2
    less = [virtual(1, server(1)), virtual(2)]
    assert reconcile(there, owned(FILE), less) == [
        DeleteDestination(service=key(), destination=server(2).key)
    ]


def test_what_commands_changed_is_the_file_s_again() -> None:
    there = after(Desired(), reconcile(Desired(), {}, FILE))
    there = apply(there, EditDestination(service=key(), destination=server(2, 0)))
    there = apply(there, EditService(service=Service(key=key(), scheduler="lc")))
    assert reconcile(there, owned(FILE), FILE) == [
        EditService(service=Service(key=key(), scheduler="rr")),
        EditDestination(service=key(), destination=server(2, 3)),
    ]


def test_a_drain_goes_on() -> None:
    there = after(Desired(), reconcile(Desired(), {}, FILE))
    drain = DrainDestination(service=key(), destination=server(2).key, seconds=60)
    there = apply(there, drain)
    assert reconcile(there, owned(FILE), FILE) == []


def test_timeouts_are_the_file_s_if_it_says_some() -> None:
    said = Timeouts(tcp=1, tcp_fin=2, udp=3)
    (edit,) = reconcile(Desired(), {}, [], said)
    assert list(in_words(Desired(), [edit])) == [
        "set time-outs: tcp 900 becomes 1, tcp_fin 120 becomes 2, udp 300 becomes 3"
    ]
    assert reconcile(apply(Desired(), edit), {}, [], said) == []
    assert reconcile(Desired(timeouts=said), {}, []) == []


SERVERS = st.lists(
    st.builds(server, st.integers(1, 4), st.integers(0, 2)), unique_by=lambda d: d.key, max_size=4
)
FILES = st.lists(
    st.builds(
        lambda n, servers, scheduler: virtual(n, *servers, scheduler=scheduler),
        st.integers(1, 3),
        SERVERS,
        st.sampled_from(["rr", "wlc"]),
    ),
    unique_by=lambda each: each.service.key,
    max_size=3,
)


@given(FILES, FILES)
def test_from_any_file_to_any_other(one: list, other: list) -> None:
    there = after(Desired(), reconcile(Desired(), {}, one))
    edits = reconcile(there, owned(one), other)
    assert len(list(in_words(there, edits))) == len(edits)
    then = after(there, edits)
    assert reconcile(then, owned(other), other) == []
    assert {
        key: {replace(each, weight_before=0) for each in listed}
        for key, (_, listed) in then.services.items()
    } == {each.service.key: {real.destination for real in each.real_servers} for each in other}
