# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.engine.health.build import desired, destination, key, real, virtual

from xlvs.engine.health.rotation import rotate
from xlvs.engine.health.standing import OUT, Standings
from xlvs.model.desired import Desired, apply
from xlvs.model.edit import AddDestination, DeleteDestination, EditDestination, SetTimeouts

A, B, C = (f"192.168.200.1{n}" for n in (1, 2, 3))
ASKED = desired(virtual(real(1), real(2, 2), real(3, 3)))  # newest first: C B A


def listed(rotation, at=None):
    _, destinations = rotation.desired.services[at or key()]
    return [(str(each.key.address)[-1], each.weight) for each in destinations]


def stand(**places) -> Standings:
    found = Standings()
    for name, place in places.items():
        found.put(key(), destination(f"192.168.200.1{name[1:]}").key, place)
    return found


def test_nothing_to_say_is_identity():
    rotation = rotate(ASKED, Standings())
    assert rotation.desired == ASKED
    assert rotate(ASKED, Standings(), rotation) is rotation
    assert rotate(ASKED, Standings(), rotation, [key()]) is rotation
    assert rotate(ASKED, Standings(), rotation, []) is rotation


def test_what_is_as_it_is_asked_for_is_the_same_object():
    one = rotate(ASKED, Standings())
    two = rotate(ASKED, stand(r2=0), one, [key()])
    assert two.desired.services[key()] is not ASKED.services[key()]
    three = rotate(ASKED, Standings(), two, [key()])
    assert three.desired is three.asked is ASKED


def test_only_what_is_named_is_looked_at():
    other = virtual(real(7), at=key("10.0.0.9"))
    both = Desired(services={**ASKED.services, **desired(other).services})
    one = rotate(ASKED, stand(r1=OUT))
    assert set(rotate(both, stand(r1=OUT), one, []).desired.services) == {key()}
    two = rotate(both, stand(r1=OUT), one, [key("10.0.0.9")])
    assert set(two.desired.services) == {key(), key("10.0.0.9")}
    three = rotate(ASKED, stand(r1=OUT), two, [key("10.0.0.9")])
    assert three.desired == one.desired


def test_a_server_that_comes_back_goes_to_the_head():
    one = rotate(ASKED, Standings())
    assert listed(one) == [("3", 3), ("2", 2), ("1", 1)]
    two = rotate(ASKED, stand(r2=OUT), one, [key()])
    assert listed(two) == [("3", 3), ("1", 1)]
    three = rotate(ASKED, Standings(), two, [key()])
    assert listed(three) == [("2", 2), ("3", 3), ("1", 1)]
    assert rotate(ASKED, Standings(), three, [key()]) is three
    assert rotate(ASKED, Standings(), three) is three


def test_an_inhibited_server_keeps_its_place_and_what_its_weight_was():
    one = rotate(ASKED, Standings())
    two = rotate(ASKED, stand(r2=0), one, [key()])
    assert listed(two) == [("3", 3), ("2", 0), ("1", 1)]
    assert two.desired.services[key()][1][1].weight_before == 2
    assert rotate(ASKED, Standings(), two, [key()]).desired == ASKED


def test_a_weight_that_an_operator_took_away_stays_away():
    zero = msgspec.structs.replace(destination(B), weight=0)
    asked = apply(ASKED, EditDestination(service=key(), destination=zero))
    assert listed(rotate(asked, stand(r2=7))) == [("3", 3), ("2", 0), ("1", 1)]


def test_run_time_additions_are_newer_than_what_came_back():
    one = rotate(ASKED, stand(r2=OUT))
    two = rotate(ASKED, Standings(), one)
    more = apply(ASKED, AddDestination(service=key(), destination=destination("192.168.200.14")))
    three = rotate(more, Standings(), two)
    assert listed(three) == [("4", 1), ("2", 2), ("3", 3), ("1", 1)]


def test_deleted_and_added_again_is_new_also_when_both_are_one_edit():
    one = rotate(ASKED, stand(r3=OUT))
    old = next(each for each in ASKED.services[key()][1] if str(each.key.address) == A)
    asked = apply(ASKED, DeleteDestination(service=key(), destination=old.key))
    asked = apply(asked, AddDestination(service=key(), destination=old))
    assert listed(rotate(asked, stand(r3=OUT), one)) == [("1", 1), ("2", 2)]


def test_sorry_server():
    sorry = destination("192.168.200.19")
    standings = stand(r1=OUT, r2=OUT, r3=OUT)
    standings.put_sorry(key(), sorry)
    one = rotate(ASKED, Standings())
    two = rotate(ASKED, standings, one, [key()])
    assert listed(two) == [("9", 1)]
    inhibited = Standings()
    inhibited.put_sorry(key(), msgspec.structs.replace(sorry, weight=0))
    three = rotate(ASKED, inhibited, two, [key()])
    # All three were added after it; of them the one that is the newest by wish is the first.
    assert listed(three) == [("3", 3), ("2", 2), ("1", 1), ("9", 0)]


def test_a_sorry_server_that_is_a_server_too_is_not_listed_twice():
    standings = stand(r1=OUT, r2=OUT)
    standings.put_sorry(key(), destination(C))
    assert listed(rotate(ASKED, standings)) == [("3", 3)]


def test_services_that_are_in_no_file_are_left_alone():
    other = virtual(real(7), at=key("10.0.0.9"))
    both = Desired(services={**ASKED.services, **desired(other).services})
    one = rotate(both, stand(r1=OUT))
    assert one.desired.services[key("10.0.0.9")] is both.services[key("10.0.0.9")]
    two = rotate(both, Standings(), one, [key()])
    assert two.desired.services[key("10.0.0.9")] is both.services[key("10.0.0.9")]


def test_what_else_is_asked_for_comes_through():
    one = rotate(ASKED, stand(r1=OUT))
    asked = apply(ASKED, SetTimeouts(tcp=33))
    two = rotate(asked, stand(r1=OUT), one, [])
    assert two.desired.timeouts.tcp == 33
    assert two.desired.services == one.desired.services


def test_a_service_that_is_deleted_leaves():
    one = rotate(ASKED, stand(r1=OUT))
    assert rotate(Desired(), stand(r1=OUT), one).desired == Desired()
    assert rotate(Desired(), stand(r1=OUT), one, [key()]).desired == Desired()


steps = st.lists(
    st.tuples(st.sampled_from(["out", "in", "delete", "add"]), st.integers(1, 6)), max_size=40
)


@given(steps)
def test_the_order_is_that_of_an_ipvs_whose_servers_are_deleted_and_added(steps):
    asked, standings = Desired(services={key(): (ASKED.services[key()][0], ())}), Standings()
    rotation = rotate(asked, standings)
    ipvs: list[int] = []
    wanted: set[int] = set()
    out: set[int] = set()
    for verb, n in steps:
        each = destination(f"192.168.200.1{n}")
        changed = None
        if verb == "add" and n not in wanted:
            wanted.add(n)
            asked = apply(asked, AddDestination(service=key(), destination=each))
            if n not in out:
                ipvs.insert(0, n)
        elif verb == "delete" and n in wanted:
            wanted.discard(n)
            asked = apply(asked, DeleteDestination(service=key(), destination=each.key))
            if n in ipvs:
                ipvs.remove(n)
        elif verb == "out":
            out.add(n)
            changed = [key()] if standings.put(key(), each.key, OUT) else []
            if n in ipvs:
                ipvs.remove(n)
        elif verb == "in":
            changed = [key()] if standings.put(key(), each.key, -1) else []
            if n in out and n in wanted:
                ipvs.insert(0, n)
            out.discard(n)
        rotation = rotate(asked, standings, rotation, changed)
        assert [int(each) for each, _ in listed(rotation)] == ipvs
        assert rotate(asked, standings, rotation) is rotation


def test_what_is_asked_for_is_always_the_latest():
    one = rotate(ASKED, stand(r1=OUT))
    again = desired(virtual(real(1), real(2, 2), real(3, 3)))
    two = rotate(again, stand(r1=OUT), one)
    assert two.asked is again
    assert two.desired == one.desired
