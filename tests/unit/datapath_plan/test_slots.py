# SPDX-License-Identifier: Apache-2.0
"""What hash slots remember, and how a director writes and forgets it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.datapath_plan.build import (
    KEY,
    World,
    add,
    add_service,
    change,
    destination,
    drop,
)
from tests.unit.datapath_plan.fake import HZ, FakePort, Sizes

from xlvs.datapath.records import SLOT_PAGE, DestinationLoad, Scheduler, Stats
from xlvs.datapath.slots import TICKS, Moment, Past, after_change, is_over
from xlvs.datapath.support import remarks
from xlvs.datapath.writes import Commit, PutService, PutSlotPages, WriteSlots
from xlvs.io.director import REST
from xlvs.model.edit import Clear, DeleteService, EditService
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Method, Protocol, Service, ServiceKey
from xlvs.schedulers.maglev import FALLBACK, PORT, SIZE

TIMEOUT = 1000
A, B, C = 1, 2, 3
THERE = frozenset((A, B, C))


def at(now, there=THERE, busy=frozenset(), unseen=frozenset()):
    return Moment(now % TICKS, TIMEOUT, there, busy, unseen)


def changed(before, pasts, wanted, now, **more):
    return after_change((before,), dict(enumerate(pasts)), (wanted,), at(now, **more)).get(0)


def over(past, now, owner=B, **more):
    return is_over(past, owner, at(now, **more))


def test_a_slot_that_changes_hands_remembers_whose_it_was() -> None:
    assert changed(A, [], A, 5) is None
    assert changed(A, [], B, 5) == Past(A, 5)
    assert changed(B, [Past(A, 5)], B, 9) == Past(A, 5)
    assert changed(A, [], B, 5, there={B}) is None


def test_a_server_that_never_had_a_packet_has_no_connections() -> None:
    unseen = frozenset({A, B})
    assert changed(A, [], B, 5, unseen=unseen) is None
    assert changed(B, [Past(A, 5)], C, 9, unseen=unseen) == Past(A, 9, {B})


def test_a_slot_that_changes_again_remembers_the_same_for_longer() -> None:
    assert changed(B, [Past(A, 5)], C, 9) == Past(A, 9, {B})
    assert changed(B, [Past(A, 5)], A, 9) == Past(A, 9, {B})
    assert changed(B, [Past(A, 5)], C, 5 + TIMEOUT) == Past(B, 5 + TIMEOUT, {A})
    assert changed(B, [Past(A, 5)], C, 9, there={B, C}) == Past(B, 9)


def test_other_sizes_have_nothing_in_common() -> None:
    assert after_change((), {}, (A,), at(5)) == {}
    assert after_change((A,), {0: Past(B, 1)}, (), at(5)) == {}


@pytest.mark.parametrize("begin", [0, 7, TICKS - 1, TICKS - TIMEOUT])
def test_a_slot_forgets_when_the_time_is_over(begin) -> None:
    past = Past(A, begin)
    assert not over(past, begin)
    assert not over(past, begin + TIMEOUT - 1)
    assert over(past, begin + TIMEOUT)
    assert not over(past, begin + TIMEOUT, busy=frozenset({A}))
    assert over(past, begin + TIMEOUT, owner=A, busy=frozenset({A}))
    assert not over(past._replace(others=frozenset({C})), begin + TIMEOUT, busy=frozenset({C}))
    assert over(past, begin + TICKS // 2, busy=frozenset({A}))
    assert over(past, begin, there={B, C})


class Packets:
    """A stateless service of one slot as packets see it (bpf/stages/stateless.h)."""

    def __init__(self) -> None:
        self.owner, self.past, self.now = A, None, TICKS - 2 * TIMEOUT
        self.table: dict[int, int] = {}

    def open(self, connection: int) -> int:
        if self.past is not None:
            self.table[connection] = self.owner
        return self.owner

    def packet(self, connection: int) -> int:
        if self.past is None:
            return self.owner
        older = (self.now - self.past.changed_at) % TICKS < TIMEOUT
        if connection not in self.table and older:
            self.table[connection] = self.past.destination
        return self.table.get(connection, self.owner)

    def change(self, owner: int) -> None:
        pasts = {} if self.past is None else {0: self.past}
        busy = frozenset(self.table.values())
        self.past = after_change((self.owner,), pasts, (owner,), at(self.now, busy=busy)).get(0)
        self.owner = owner


steps = st.lists(
    st.tuples(
        st.integers(1, TIMEOUT - 1),
        st.sampled_from(["open", "clean", A, B, C]),
        st.booleans(),
    ),
    max_size=30,
)


@given(steps)
def test_no_change_misroutes_a_connection_that_speaks_within_the_time_out(sequence) -> None:
    service = Packets()
    servers: list[int] = []
    heard: list[int] = []

    def speak(connection: int) -> None:
        assert service.packet(connection) == servers[connection]
        heard[connection] = service.now

    for passed, step, talk in sequence:
        for connection, last in enumerate(heard):
            if service.now + passed - last >= TIMEOUT:
                speak(connection)
        service.now += passed
        if step == "open":
            servers.append(service.open(len(servers)))
            heard.append(service.now)
        else:
            service.change(service.owner if step == "clean" else step)
        for connection in range(len(servers) if talk else 0):
            speak(connection)


# ---- by a director

TCP443 = ServiceKey(protocol=Protocol.TCP, address=KEY.address, port=443)


def hashing(port=None, **more):
    world = World(port)
    for edit in (add_service("mh", **more), *(add(n, method=Method.DR) for n in (1, 2, 3))):
        world.do(edit)
        assert slots_of(world)[1] == {}
    world.do(EditService(service=Service(key=KEY, scheduler="mh", **more)))
    for id_ in world.port.destinations:
        world.port.counted_destinations[id_] = Stats(in_packets=1)
    return world


def slots_of(world, key=KEY):
    """Whose the slots are, and what they remember."""
    owners, pasts = world.port.hashed(world.director.effective.service_ids[key])
    return tuple(owners), pasts


def timeout_passes(world):
    world.port.now = (world.port.now + 900 * HZ) % TICKS


def moved(world, before):
    now, _ = slots_of(world)
    return {slot for slot in range(SIZE) if before[slot] != now[slot]}


def test_stateless_services_remember_and_others_do_not() -> None:
    for stateless in (False, True):
        world = hashing(stateless=stateless)
        before, pasts = slots_of(world)
        assert len(before) == SIZE
        assert not pasts
        world.do(add(4, method=Method.DR))
        _, pasts = slots_of(world)
        if stateless:
            assert pasts == {
                slot: Past(before[slot], world.port.now) for slot in moved(world, before)
            }
        assert bool(pasts) is stateless


def test_what_does_not_move_slots_writes_none() -> None:
    world = hashing(stateless=True)
    world.port.written.clear()
    world.do(change(2, method=Method.DR, upper_threshold=9))
    world.do(EditService(service=Service(key=KEY, scheduler="mh", stateless=True, flags=3)))
    timeout_passes(world)
    world.director.reap(0.0)
    assert not [each for each in world.port.written if isinstance(each, WriteSlots)]


def test_a_server_set_to_zero_keeps_its_slots_and_one_that_begins_so_has_none() -> None:
    world = hashing()
    before, _ = slots_of(world)
    world.do(change(2, 0, method=Method.DR))
    assert slots_of(world)[0] == before
    world.start()
    assert world.repairs == ()
    assert slots_of(world)[0] == before
    world.do(drop(2), add(2, 0, method=Method.DR))
    assert len(set(slots_of(world)[0])) == 2
    world.do(*(drop(n) for n in (1, 2, 3)), add(1, 0, method=Method.DR))
    assert slots_of(world)[0] == ()


def test_slots_forget_in_time_and_their_ids_are_kept_until_then() -> None:
    world = hashing(stateless=True)
    world.do(drop(2))
    gone = world.port.destinations.keys() - world.director.effective.destination_ids[KEY]
    for now in (0.0, REST, 2 * REST):
        world.director.reap(now)
    assert gone <= world.port.destinations.keys()
    timeout_passes(world)
    assert world.director.observe(world.director.observed) == ()
    world.director.reap(3 * REST)
    assert slots_of(world)[1] == {}
    world.director.reap(4 * REST)
    world.director.reap(5 * REST)
    assert not gone & world.port.destinations.keys()


def test_slots_remember_whoever_has_connections_longer() -> None:
    world = hashing(stateless=True)
    world.do(drop(2))
    (gone,) = world.port.destinations.keys() - world.director.effective.destination_ids[KEY]
    world.port.connected[gone] = DestinationLoad(active=1)
    timeout_passes(world)
    world.director.reap(0.0)
    assert {past.destination for past in slots_of(world)[1].values()} == {gone}
    world.port.connected.clear()
    world.director.reap(1.0)
    assert slots_of(world)[1] == {}


def test_a_restarted_director_remembers() -> None:
    world = hashing(stateless=True)
    world.do(drop(2))
    remembered = slots_of(world)[1]
    world.start()
    assert world.repairs == ()
    before, _ = slots_of(world)
    world.port.now += 7
    world.do(drop(3))
    for slot, past in remembered.items():
        now = slots_of(world)[1][slot]
        assert now.destination == past.destination
        assert now.changed_at == past.changed_at + (7 if slot in moved(world, before) else 0)


def test_restoring_all_rules_remembers() -> None:
    world = hashing(stateless=True)
    before, _ = slots_of(world)
    servers = [add(n, method=Method.DR) for n in (1, 2)]
    world.do(Clear(), add_service("mh", stateless=True), *servers)
    assert set(slots_of(world)[1]) == moved(world, before)


def test_without_a_table_a_server_set_to_zero_gives_its_slots_away() -> None:
    world = hashing(stateless=True)
    before, _ = slots_of(world)
    world.do(change(2, 0, method=Method.DR))
    now, pasts = slots_of(world)
    quiet = world.director.effective.destination_ids[KEY][1]
    assert quiet in before
    assert quiet not in now
    assert {past.destination for past in pasts.values()} >= {quiet}
    world.do(*(change(n, 0, method=Method.DR) for n in (1, 3)))
    assert slots_of(world) == ((), {})


@pytest.mark.parametrize("scheduler", ["mh", "rr"])
def test_a_service_that_becomes_stateless_looks_into_its_table_for_a_while(scheduler) -> None:
    world = World()
    world.do(add_service(scheduler), *(add(n, method=Method.DR) for n in (1, 2, 3)))
    ids = frozenset(world.director.effective.destination_ids[KEY])
    world.do(EditService(service=Service(key=KEY, scheduler="mh", stateless=True)))
    now, pasts = slots_of(world)
    assert len(pasts) == SIZE
    for slot, past in pasts.items():
        others = frozenset() if scheduler == "mh" else ids - {now[slot]}
        assert past == Past(now[slot], world.port.now, others)
    timeout_passes(world)
    world.port.connected[now[0]] = DestinationLoad(active=1)
    world.director.reap(0.0)
    left = set() if scheduler == "mh" else {s for s in range(SIZE) if now[s] != now[0]}
    assert slots_of(world)[1].keys() == left


def test_a_service_that_keeps_connections_again_remembers_nothing_else() -> None:
    world = hashing(stateless=True)
    world.do(drop(3))
    assert slots_of(world)[1]
    world.do(EditService(service=Service(key=KEY, scheduler="mh")))
    world.director.reap(0.0)
    assert slots_of(world)[1] == {}


def test_datagrams_have_their_own_time_out() -> None:
    key = ServiceKey(protocol=Protocol.UDP, address=KEY.address, port=53)
    world = World()
    servers = [add(n, key=key, method=Method.DR) for n in (1, 2, 3)]
    world.do(add_service("mh", key=key, stateless=True), *servers)
    for id_ in world.port.destinations:
        world.port.counted_destinations[id_] = Stats(in_packets=1)
    world.do(change(3, 0, key=key, method=Method.DR))
    for passed, remembers in ((299, True), (1, False)):
        world.port.now += passed * HZ
        world.director.reap(0.0)
        assert bool(slots_of(world, key)[1]) is remembers


def test_slots_stay_until_packets_know_of_the_other_scheduler() -> None:
    world = hashing()
    *_, region = (w.slots for w in world.port.written if isinstance(w, Commit))
    world.port.written.clear()
    world.do(EditService(service=Service(key=KEY, scheduler="rr")))
    commit, put = world.port.written
    assert isinstance(commit, Commit)
    assert commit.slots == region
    assert isinstance(put, PutService)
    assert put.value.scheduler == Scheduler.RR
    world.do(add(4, method=Method.DR))
    assert world.port.written[-1].slots.size == 0


def test_a_service_read_off_the_maps_is_as_stateless_as_before() -> None:
    world = hashing(stateless=True, flags=FALLBACK | PORT)
    before = world.director.desired
    world.start(with_file=False)
    assert world.repairs == ()
    assert world.director.desired == before


def test_thresholds_without_connections_are_remarked() -> None:
    service = Service(key=KEY, scheduler="mh", stateless=True)
    assert remarks(service, (destination(1, method=Method.DR),)) == []
    (found,) = remarks(service, (destination(1, method=Method.DR, upper_threshold=3),))
    assert "thresholds have no effect" in found


def test_slots_of_services_take_turns_in_few_regions() -> None:
    world = hashing(FakePort(Sizes(hash_slots=3 * SIZE)), stateless=True)
    for _ in range(4):
        world.do(drop(3))
        world.do(add(3, method=Method.DR))
    before, _ = slots_of(world)
    world.do(add_service("mh", key=TCP443))
    with pytest.raises(Problem, match="no room for the slots of more services") as caught:
        world.do(add(1, key=TCP443), drop(1), drop(2))
    assert caught.value.code is Code.NO_SPACE
    assert slots_of(world)[0] == before


def test_slots_of_services_that_are_gone_are_soon_free() -> None:
    world = World(FakePort(Sizes(hash_slots=2 * SIZE)))
    for _ in range(5):
        world.do(add_service("mh"), add(1), add(2))
        world.do(DeleteService(key=KEY))
        world.port.now += HZ
    world.do(add_service("mh"), add(1), add(2))
    world.do(add_service("mh", key=TCP443), add(1, key=TCP443))
    with pytest.raises(Problem, match="no room"):
        world.do(add(3))
    world.do(DeleteService(key=TCP443))
    with pytest.raises(Problem, match="no room"):
        world.do(add(3))
    world.port.now += HZ
    world.do(add(3))


# ---- pages

PAGE_TABLES = SLOT_PAGE // SIZE


def numbered(port):
    return ServiceKey(protocol=Protocol.TCP, address=KEY.address, port=port)


def fill(world, count, first=1000):
    """So many services of mh, each with a server."""
    for port in range(first, first + count):
        world.do(add_service("mh", key=numbered(port)), add(1, key=numbered(port)))


def large(pages):
    return World(
        FakePort(
            Sizes(
                services=2 * PAGE_TABLES,
                destinations=8 * PAGE_TABLES,
                service_destinations=1024,
                hash_slots=pages * SLOT_PAGE,
            )
        )
    )


def reap_for(world, seconds):
    for now in range(seconds):
        world.port.now += HZ
        world.director.reap(float(now))


def test_who_does_not_hash_has_no_pages() -> None:
    world = large(2)
    world.do(add_service("rr"), add(1))
    assert world.port.slot_pages == set()


def test_pages_are_made_as_services_need_them_and_go_with_them() -> None:
    world = large(3)
    fill(world, PAGE_TABLES)
    assert world.port.slot_pages == {0}
    fill(world, 1, first=2000)
    assert world.port.slot_pages == {0, 1}
    world.start()
    assert world.repairs == ()
    world.do(DeleteService(key=numbered(2000)))
    world.director.reap(0.0)
    assert world.port.slot_pages == {0, 1}, "packets may be reading there"
    reap_for(world, 2)
    assert world.port.slot_pages == {0}
    world.do(Clear())
    reap_for(world, 2)
    assert world.port.slot_pages == set()
    fill(world, 1)
    assert world.port.slot_pages == {0}


def test_no_room_in_any_page_changes_nothing() -> None:
    world = large(1)
    fill(world, PAGE_TABLES - 1)
    slots, services = dict(world.port.slots), dict(world.port.services)
    world.port.written.clear()
    edits = [add_service("mh", key=numbered(port)) for port in (1, 2)]
    servers = [add(1, key=numbered(port)) for port in (1, 2)]
    with pytest.raises(Problem, match="no room for the slots of more services") as caught:
        world.do(*edits, *servers)
    assert caught.value.code is Code.NO_SPACE
    assert world.port.written == []
    assert (world.port.slots, world.port.services) == (slots, services)
    world.do(edits[0], servers[0])


def test_without_memory_for_a_page_nothing_changes() -> None:
    world = large(2)
    world.port.fail_after = 0
    with pytest.raises(Problem, match="no memory"):
        world.do(add_service("mh"), add(1))
    assert not world.port.services
    assert not world.port.slot_pages
    world.do(add_service("mh"), add(1))
    assert len(slots_of(world)[0]) == SIZE


def test_pages_of_a_change_that_failed_go_too() -> None:
    world = large(2)
    world.port.fail_after = 3
    with pytest.raises(Problem, match="no memory"):
        world.do(add_service("mh"), add(1))
    assert world.port.slot_pages == {0}
    reap_for(world, 2)
    assert not world.port.slot_pages


def test_all_that_is_needed_is_made_at_once() -> None:
    world = large(3)
    keys = [numbered(port) for port in range(1000, 1000 + PAGE_TABLES + 1)]
    world.port.written.clear()
    world.do(*(add_service("mh", key=key) for key in keys), *(add(1, key=key) for key in keys))
    made = [write for write in world.port.written if isinstance(write, PutSlotPages)]
    assert made == [PutSlotPages((0, 1))]
    assert world.port.written[0] in made
