# SPDX-License-Identifier: Apache-2.0
"""Order, cursors and ids, rule by rule."""

from __future__ import annotations

import pytest
from tests.unit.datapath_plan.build import (
    KEY,
    LOCAL,
    VIP,
    World,
    add,
    add_service,
    change,
    drop,
    observed,
    real,
)
from tests.unit.datapath_plan.fake import HZ, FakePort, Sizes

from xlvs.datapath import writes as w
from xlvs.datapath.addresses import packed, slot
from xlvs.datapath.effective import Options
from xlvs.datapath.observed import Route
from xlvs.datapath.plan import remap
from xlvs.datapath.port import PortUse
from xlvs.datapath.records import (
    CURSOR_HEAD,
    AddressRole,
    DestinationFlag,
    DestinationLoad,
    ServiceFlag,
    Stats,
    SynCookies,
    SynOffer,
)
from xlvs.datapath.syn_promise import Learnt
from xlvs.io.director import REST
from xlvs.model.edit import (
    AddLocalAddress,
    ChangePool,
    DeleteLocalAddress,
    DeleteService,
    EditService,
    SetPool,
    SetSettings,
    SetTimeouts,
)
from xlvs.model.problem import Code, Problem
from xlvs.model.service import (
    Method,
    Protocol,
    Service,
    ServiceKey,
    ServiceTimeouts,
    SynProxy,
    SynProxyMode,
)


@pytest.fixture
def world():
    world = World()
    world.do(add_service("rr"), add(1), add(2), add(3))
    world.port.written.clear()
    return world


@pytest.mark.parametrize(
    ("old", "new", "deleted", "expected"),
    [
        ((3, 2, 1), (4, 3, 2, 1), (), (1, 2, 3)),
        ((3, 2, 1), (3, 1), (), (0, 0, 1)),
        ((3, 2, 1), (2, 1), (), (CURSOR_HEAD, 0, 1)),
        ((3, 2, 1), (), (), (CURSOR_HEAD,) * 3),
        ((3, 2, 1), (3,), (), (0, 0, 0)),
        ((3, 2, 1), (2, 3, 1), (2,), (1, 1, 2)),
        ((), (1,), (), ()),
    ],
)
def test_the_cursor_stays_with_its_server_or_goes_to_its_predecessor(old, new, deleted, expected):
    assert remap(old, new, frozenset(deleted)) == expected


def test_the_newest_server_is_first(world):
    assert world.servers() == [3, 2, 1]


def test_a_server_that_comes_back_is_first_and_keeps_its_id(world):
    id_ = world.port.ids(0)[1]
    world.do(drop(2))
    assert world.servers() == [3, 1]
    assert not world.port.destinations[id_].flags & DestinationFlag.AVAILABLE
    world.do(add(2))
    assert world.servers() == [2, 3, 1]
    assert world.port.ids(0)[0] == id_


def test_its_counters_go_on_unless_the_service_is_another(world):
    id_ = world.port.ids(0)[1]
    world.port.counted_destinations[id_] = Stats(connections=7)
    world.do(drop(2))
    world.do(add(2))
    assert world.port.counted_destinations[id_].connections == 7
    world.do(DeleteService(key=KEY))
    world.do(add_service("rr"), add(2))
    assert world.port.ids(0) == (id_,)
    assert id_ not in world.port.counted_destinations


def test_a_service_deleted_and_added_in_one_request_begins_anew(world):
    world.port.counted_services[0] = Stats(connections=7)
    world.port.cursor[0] = 1
    world.do(DeleteService(key=KEY), add_service("rr"), add(1), add(2), add(3))
    assert 0 not in world.port.counted_services
    assert world.port.cursor[0] == CURSOR_HEAD
    assert world.port.keys  # and no client was turned away in between
    assert not any(isinstance(write, w.DropKey) for write in world.port.written)


def test_a_removed_server_with_connections_keeps_its_id_until_they_end(world):
    id_ = world.port.ids(0)[2]
    world.port.connected[id_] = DestinationLoad(active=1)
    world.do(drop(1))
    world.director.reap(0.0)
    world.director.reap(10 * REST)
    assert id_ in world.port.destinations
    del world.port.connected[id_]
    world.director.reap(11 * REST)
    assert id_ in world.port.destinations
    world.director.reap(12 * REST)
    assert id_ not in world.port.destinations


def test_the_id_of_a_service_is_not_reused_while_its_servers_have_connections(world):
    id_ = world.port.ids(0)[0]
    world.port.connected[id_] = DestinationLoad(inactive=2)
    world.do(DeleteService(key=KEY))
    assert world.port.keys == {}
    assert 0 in world.port.services
    assert world.port.services[0].flags == 0


def test_servers_that_only_rest_make_room():
    world = World(FakePort(Sizes(destinations=2)))
    world.do(add_service(), add(1), add(2))
    world.do(drop(1))
    world.do(add(3))
    assert world.servers() == [3, 2]
    with pytest.raises(Problem, match="no room for more than 2 destinations") as refused:
        world.do(add(4))
    assert refused.value.code is Code.NO_SPACE
    assert world.servers() == [3, 2]


def test_one_line_too_many_does_not_spoil_the_others():
    world = World(FakePort(Sizes(destinations=2)))
    edits = [add_service(), add(1), add(2), add(3), SetTimeouts(udp=77)]
    results = world.director.edit(edits, go_on=True)
    assert [bool(each) for each in results] == [False, False, False, True, False]
    assert world.servers() == [2, 1]
    assert world.port.settings.timeout[11] == 77 * HZ


def test_wrr_follows_each_change_by_itself(world):
    # As ip_vs_wrr_dest_changed does: added one by one, the weight stays where it was.
    world.do(EditService(service=Service(key=KEY, scheduler="wrr")))
    assert world.port.weight[0] == 1
    world.do(DeleteService(key=KEY))
    world.do(add_service("wrr"), add(1, 2), add(2, 3), add(3, 5))
    assert world.port.weight[0] == 1
    world.do(change(3, 4), change(2, 4), change(1, 4))
    assert world.port.weight[0] == 1


def test_wrr_goes_back_to_the_head_also_when_nothing_was_changed(world):
    world.do(EditService(service=Service(key=KEY, scheduler="wrr")))
    world.port.cursor[0] = 2
    world.port.written.clear()
    world.do(change(2))
    assert world.port.cursor[0] == CURSOR_HEAD
    assert [type(write) for write in world.port.written] == [w.Commit]


def test_rr_keeps_its_cursor_over_an_edit(world):
    world.port.cursor[0] = 1
    world.do(change(2, 5))
    assert world.port.cursor[0] == 1


def test_another_scheduler_begins_anew_before_it_is_in_force(world):
    world.port.cursor[0] = 1
    world.do(EditService(service=Service(key=KEY, scheduler="wlc")))
    kinds = [type(write) for write in world.port.written]
    assert kinds == [w.Commit, w.PutService]
    assert world.port.written[0].reset


def test_greatest_common_divisor_and_greatest_weight(world):
    world.do(change(1, 4), change(2, 6), change(3, 0))
    servers = world.port.have().tables.servers[0]
    assert (servers.gcd, servers.max_weight) == (2, 5)
    world.do(change(1, 0), change(2, 0))
    servers = world.port.have().tables.servers[0]
    assert (servers.gcd, servers.max_weight) == (1, 0)


def test_a_neighbour_changes_one_server_and_no_list(world):
    around = observed()
    neighbours = dict(around.neighbours)
    del neighbours[3, real(2)]
    written = world.director.observe(around._replace(neighbours=neighbours))
    assert [type(write) for write in written] == [w.PutDestination]
    assert not written[0].value.flags & DestinationFlag.RESOLVED
    assert world.director.effective.ways[real(2)].words == (
        "unresolved: no answer from 192.168.200.12 on eth1"
    )


def test_the_director_itself_as_real_server(world):
    world.do(add(0))
    destination = world.port.destinations[world.port.ids(0)[0]]
    assert destination.flags & DestinationFlag.LOCAL
    assert not destination.flags & DestinationFlag.RESOLVED
    assert world.port.settings.local_destinations == 1
    assert world.director.effective.ways[LOCAL].words == "local"
    assert world.port.egress


def test_egress_is_looked_at_while_a_connection_may_name_a_server_on_the_director(world):
    assert not world.port.egress
    world.do(add(0), add(4))
    assert world.port.written.count(w.PutEgress(on=True)) == 1
    (local,) = (i for i, d in world.port.destinations.items() if d.flags & DestinationFlag.LOCAL)
    world.port.connected[local] = DestinationLoad(active=1)
    world.do(drop(0))
    world.director.reap(1000.0)
    world.director.reap(1001.0 + REST)
    assert world.port.egress
    del world.port.connected[local]
    world.director.reap(2000.0)
    assert world.port.egress
    world.director.reap(2000.0 + REST)
    assert not world.port.egress
    world.start()
    assert world.repairs == ()


def test_a_server_whose_address_comes_to_the_director_and_goes(world):
    around = observed()
    routes = {**around.routes, real(2): Route(ifindex=1, source=real(2), local=True)}
    came = world.director.observe(around._replace(routes=routes))
    assert [type(write) for write in came] == [w.PutEgress, w.PutSettings, w.PutDestination]
    assert world.port.egress
    went = world.director.observe(around)
    assert [type(write) for write in went] == [w.PutDestination, w.PutSettings, w.PutEgress]
    assert not world.port.egress


def test_without_egress_no_server_on_the_director(world):
    desired, tables, saved = world.director.desired, world.port.have().tables, world.saved[-1]
    world.port.fail_after = 0
    with pytest.raises(Problem):
        world.do(add(0))
    assert world.port.have().tables == tables
    assert world.director.desired == desired
    assert world.saved[-1] == saved
    world.port.fail_after = 1  # attached, but not counted
    with pytest.raises(Problem):
        world.do(add(0))
    assert world.port.have().tables == tables
    assert not world.port.egress


def test_fullnat_needs_local_addresses(world):
    with pytest.raises(Problem, match="fullnat needs local addresses") as refused:
        world.do(add(4, method=Method.FULLNAT))
    assert refused.value.code is Code.INVALID
    assert world.servers() == [3, 2, 1]


def rows_of(world, n):
    """The local addresses of real server n, by service."""
    return {
        d.service: [world.port.port_blocks[block].local for block in world.port.row(d)]
        for d in world.port.destinations.values()
        if d.address == packed(real(n)) and d.port_row
    }


def test_fullnat_blocks_follow_the_pool_and_are_shared():
    world = World(options=Options(local_addresses=(real(9), real(8))))
    other = KEY.__class__(protocol=KEY.protocol, address=KEY.address, port=8080)
    world.do(add_service(), add(1, method=Method.FULLNAT), add(2, method=Method.FULLNAT))
    world.do(add_service(key=other), add(1, method=Method.FULLNAT, key=other))
    assert len(world.director.effective.tables.blocks()) == 4
    assert rows_of(world, 1) == {service: [packed(real(8)), packed(real(9))] for service in (0, 1)}
    one, two = (d for d in world.port.destinations.values() if d.address == packed(real(1)))
    assert one.port_row == two.port_row


def test_pools_may_overlap_in_part_and_share_ports():
    """A local address and a real server have one block, whoever uses it."""
    world = World()
    other = KEY.__class__(protocol=KEY.protocol, address=KEY.address, port=8080)
    world.do(add_service(local_addresses=(real(7), real(9))), add(1, method=Method.FULLNAT))
    world.do(
        add_service(key=other, local_addresses=(real(7), real(8), real(9))),
        add(1, method=Method.FULLNAT, key=other),
    )
    assert len(world.director.effective.tables.blocks()) == 3
    assert rows_of(world, 1) == {
        0: [packed(real(7)), packed(real(9))],
        1: [packed(real(7)), packed(real(8)), packed(real(9))],
    }


def test_there_is_an_end_to_rows():
    world = World(FakePort(Sizes(port_rows=8)))
    keys = [KEY.__class__(protocol=KEY.protocol, address=KEY.address, port=p) for p in (1, 2, 3)]
    for key, pool in zip(keys[:2], ((real(7), real(8)), (real(7), real(9))), strict=True):
        world.do(add_service(key=key, local_addresses=pool), add(1, method=Method.FULLNAT, key=key))
    with pytest.raises(Problem, match="no room for more sets of local addresses"):
        world.do(
            add_service(key=keys[2], local_addresses=(real(7),)),
            add(1, method=Method.FULLNAT, key=keys[2]),
        )
    # A new row is written before the old one is given up, and in a place that nobody reads.
    world.do(DeleteService(key=keys[0]))
    world.do(
        add_service(key=keys[2], local_addresses=(real(7),)),
        add(1, method=Method.FULLNAT, key=keys[2]),
    )


def test_all_ports_and_one_port_of_a_server_do_not_share_a_local_address():
    world = World(options=Options(local_addresses=(real(9),)))
    every = KEY.__class__(protocol=KEY.protocol, address=KEY.address, port=0)
    world.do(add_service(), add(1, method=Method.FULLNAT))
    with pytest.raises(Problem, match="local addresses of its own"):
        world.do(
            add_service(key=every, persistence_timeout=60),
            add(1, method=Method.FULLNAT, key=every),
        )
    world.do(
        add_service(key=every, persistence_timeout=60, local_addresses=(real(8),)),
        add(1, method=Method.FULLNAT, key=every),
    )


def test_a_live_service_gets_more_local_addresses():
    """Those that it had keep their blocks, and so the ports that connections have."""
    world = World()
    world.do(add_service(local_addresses=(real(7),)))
    world.do(add(1, method=Method.FULLNAT), add(2, method=Method.FULLNAT))
    before = world.director.effective.tables.blocks()
    world.port.ports = {0: PortUse(5, 0), 1: PortUse(6, 0)}
    world.port.written.clear()
    world.do(AddLocalAddress(service=KEY, address=real(6)))
    blocks = world.director.effective.tables.blocks()
    assert blocks.items() > before.items()
    assert {whose.local for block, whose in blocks.items() if block not in before} == {
        packed(real(6))
    }
    kinds = [type(write) for write in world.port.written]
    order = [w.ClearBlock, w.PutPortBlock, w.WriteRow, w.PutDestination]
    assert [kind for kind in dict.fromkeys(kinds) if kind in order] == order
    assert {write.block for write in world.port.written if isinstance(write, w.ClearBlock)} == {
        2,
        3,
    }


def test_a_local_address_that_comes_back_finds_its_ports():
    """Connections that it has from before still have theirs."""
    world = World()
    world.do(add_service(local_addresses=(real(7), real(8))), add(1, method=Method.FULLNAT))
    world.port.ports[0] = PortUse(1, 0)
    world.do(DeleteLocalAddress(service=KEY, address=real(7)))
    world.director.reap(0.0)
    assert rows_of(world, 1) == {0: [packed(real(8))]}
    assert world.port.port_blocks.keys() == {0, 1}
    world.do(AddLocalAddress(service=KEY, address=real(7)))
    assert rows_of(world, 1) == {0: [packed(real(7)), packed(real(8))]}
    assert world.port.ports[0].used == 1


def test_a_pool_changes_for_all_its_services_at_once():
    """And while connections live: they keep their ports, others take none of theirs."""
    world = World(options=Options(local_addresses=(real(6),)))
    other = KEY.__class__(protocol=KEY.protocol, address=KEY.address, port=8080)
    world.do(SetPool(name="edge", addresses=(real(7),)))
    world.do(add_service(local_pool="edge"), add(1, method=Method.FULLNAT))
    world.do(add_service(key=other), add(1, method=Method.FULLNAT, key=other))
    assert rows_of(world, 1) == {0: [packed(real(7))], 1: [packed(real(6))]}
    world.port.ports = {0: PortUse(64512, 1), 1: PortUse(1, 0)}
    world.do(ChangePool(name="edge", add=(real(8),)), SetPool(name="default", addresses=(real(7),)))
    assert rows_of(world, 1) == {
        0: [packed(real(7)), packed(real(8))],
        1: [packed(real(7))],
    }
    assert world.port.ports[0].used == 64512
    assert world.port.port_blocks.keys() == {0, 1, 2}
    world.port.ports.pop(1)
    world.director.reap(0.0)
    assert world.port.port_blocks.keys() == {0, 2}
    world.start()
    assert world.repairs == ()
    assert world.director.desired.pools == {"edge": (real(7), real(8)), "default": (real(7),)}


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        (
            [SetPool(name="a", addresses=(VIP,))],
            f"{VIP} is a local address for fullnat (of the pool 'a') "
            f"and the virtual address of tcp {VIP}:80",
        ),
        (
            [SetPool(name="a", addresses=(real(9), real(1)))],
            f"{real(1)} is a local address for fullnat (of the pool 'a') "
            f"and a real server of tcp {VIP}:80",
        ),
        ([add(6)], "(of xlvsd --local-addresses) and a real server of"),
        (
            [EditService(service=Service(key=KEY, local_addresses=(real(2),)))],
            f"(of tcp {VIP}:80) and a real server of tcp {VIP}:80",
        ),
        ([add(7)], f"(of tcp {VIP}:8080) and a real server of tcp {VIP}:80"),
    ],
)
def test_a_local_address_is_for_nothing_else(edits, words):
    world = World(options=Options(local_addresses=(real(6),)))
    other = KEY.__class__(protocol=KEY.protocol, address=KEY.address, port=8080)
    world.do(add_service(), add(1), add(2))
    world.do(add_service(key=other, local_addresses=(real(7),)))
    world.do(add(1, method=Method.FULLNAT, key=other))
    tables = world.port.have().tables
    with pytest.raises(Problem) as refused:
        world.do(*edits)
    assert words in refused.value.message
    assert world.port.have().tables == tables


def test_a_block_with_connections_is_not_given_away():
    world = World()
    world.do(add_service(local_addresses=(real(7),)), add(1, method=Method.FULLNAT))
    world.port.ports[0] = PortUse(1, 0)
    world.do(EditService(service=Service(key=KEY, scheduler="rr", local_addresses=(real(8),))))
    assert set(world.director.effective.tables.blocks()) == {1}


def test_a_higher_threshold_ends_an_overload(world):
    world.do(change(1, upper_threshold=4))
    id_ = world.port.ids(0)[2]
    first = world.port.destinations[id_].overload_epoch
    world.do(change(1, upper_threshold=4, weight=2))
    assert world.port.destinations[id_].overload_epoch == first
    world.do(change(1, upper_threshold=8))
    assert world.port.destinations[id_].overload_epoch == first + 1


def test_timeouts_go_to_the_settings(world):
    world.do(SetTimeouts(tcp=10, tcp_fin=20))
    assert world.port.settings.timeout[1] == 10 * HZ
    assert world.port.settings.timeout[4] == 20 * HZ
    assert world.port.settings.timeout[11] == 300 * HZ


def roles_of(world, address):
    return world.port.roles[slot(packed(address))]


def test_addresses_have_the_roles_that_packets_look_for():
    world = World(options=Options(local_addresses=(real(9),)))
    world.do(add_service(), add(1), add(2, method=Method.FULLNAT))
    assert roles_of(world, VIP) == AddressRole.VIRTUAL
    assert roles_of(world, real(1)) == roles_of(world, real(2)) == AddressRole.SERVER
    assert roles_of(world, real(9)) == AddressRole.LOCAL
    assert roles_of(world, real(3)) == 0


@pytest.mark.parametrize(
    ("method", "role"),
    [
        (Method.DR, AddressRole.VIRTUAL | AddressRole.SERVER),
        (Method.TUN, AddressRole.VIRTUAL | AddressRole.SERVER),
        (Method.NAT, AddressRole.VIRTUAL),
    ],
)
def test_on_the_director_itself_the_virtual_address_answers(world, method, role):
    world.do(add(0, method=method))
    assert roles_of(world, VIP) == role
    assert roles_of(world, LOCAL) == AddressRole.SERVER


def test_roles_come_first_and_go_last(world):
    world.do(add(4))
    assert type(world.port.written[0]) is w.PutRoles
    world.do(drop(4))
    world.director.reap(0.0)
    world.port.written.clear()
    world.director.reap(REST)
    assert type(world.port.written[-1]) is w.PutRoles
    assert roles_of(world, real(4)) == 0


def test_roles_stay_as_long_as_connections_may(world):
    id_ = world.port.ids(0)[0]
    world.port.connected[id_] = DestinationLoad(inactive=2)
    world.do(DeleteService(key=KEY))
    world.director.reap(0.0)
    world.director.reap(REST)
    assert roles_of(world, VIP) == AddressRole.VIRTUAL
    assert roles_of(world, real(3)) == AddressRole.SERVER
    assert roles_of(world, real(2)) == 0


def locals_of(world):
    return {block: whose.local for block, whose in world.port.port_blocks.items()}


def test_a_local_address_goes_when_no_connection_has_a_port_of_it():
    world = World()
    world.do(add_service(local_addresses=(real(7),)), add(1, method=Method.FULLNAT))
    world.port.ports[0] = PortUse(1, 0)
    world.do(EditService(service=Service(key=KEY, scheduler="rr", local_addresses=(real(8),))))
    assert locals_of(world) == {0: packed(real(7)), 1: packed(real(8))}
    world.director.reap(0.0)
    assert roles_of(world, real(7)) == AddressRole.LOCAL
    world.port.ports.clear()
    world.director.reap(1.0)
    assert locals_of(world) == {1: packed(real(8))}
    assert roles_of(world, real(7)) == 0
    assert roles_of(world, real(8)) == AddressRole.LOCAL


def test_a_killed_directors_roles_are_repaired(world):
    world.port.roles[slot(packed(VIP))] = 0
    world.port.roles[7] |= AddressRole.SERVER
    world.port.keys.clear()  # so far it came
    world.start()
    assert roles_of(world, VIP) == AddressRole.VIRTUAL
    assert world.port.roles[7] == 0


def test_services_with_as_many_other_local_addresses_go_on():
    world = World()
    world.do(add_service(local_addresses=(real(7),)), add(1, method=Method.FULLNAT))
    world.do(EditService(service=Service(key=KEY, scheduler="rr", local_addresses=(real(8),))))
    assert rows_of(world, 1) == {0: [packed(real(8))]}


def test_counts_that_spare_look_ups_rise_before_and_fall_after():
    world = World()
    keys = [
        ServiceKey(protocol=Protocol.TCP, address=VIP, port=0),
        ServiceKey(protocol=Protocol.TCP, address=VIP, port=21),
        ServiceKey(protocol=Protocol.UDP, address=VIP, port=21),
        ServiceKey(protocol=Protocol.FWM, fwmark=7),
    ]
    for key in keys:
        world.do(add_service(key=key, persistence_timeout=9))
    settings = world.port.settings
    assert (settings.zero_ports, settings.ftp_services, settings.marks) == (1, 1, 1)
    world.port.written.clear()
    for key in keys:
        world.do(DeleteService(key=key))
    settings = world.port.settings
    assert (settings.zero_ports, settings.ftp_services, settings.marks) == (0, 0, 0)
    kinds = [type(write) for write in world.port.written]
    assert kinds.index(w.DropKey) < kinds.index(w.PutSettings)


def test_a_removed_server_with_templates_keeps_its_id(world):
    id_ = world.port.ids(0)[2]
    world.port.connected[id_] = DestinationLoad(persistent=1)
    world.do(drop(1))
    world.director.reap(0.0)
    world.director.reap(10 * REST)
    assert id_ in world.port.destinations


def test_what_packets_are_told_of_a_persistent_service():
    world = World()
    key = ServiceKey(protocol=Protocol.UDP, address=VIP, port=0)
    more = {"persistence_timeout": 50, "netmask": "255.255.255.0", "persistence_engine": "sip"}
    world.do(add_service(key=key, **more), add(1, key=key))
    service = world.port.services[0]
    assert service.persistence == 50 * HZ
    assert service.mask == b"\xff" * 15 + b"\0"
    assert service.flags == ServiceFlag.USED | ServiceFlag.PERSISTENT | ServiceFlag.SIP
    (id_,) = world.port.ids(0)
    assert world.port.destinations[id_].flags & DestinationFlag.CLIENT_PORT


def test_time_outs_of_a_service_are_in_its_record_and_come_back_from_it():
    world = World()
    own = ServiceTimeouts(tcp=60, tcp_fin=5)
    world.do(add_service("rr", timeouts=own))
    record = world.port.services[0]
    assert record.flags & ServiceFlag.OWN_TIMEOUTS
    assert (record.timeout_tcp, record.timeout_tcp_fin, record.timeout_udp) == (60 * HZ, 5 * HZ, 0)
    world.start(with_file=False)
    assert world.repairs == ()
    assert world.director.desired.services[KEY][0].timeouts == own
    world.do(EditService(service=Service(key=KEY, scheduler="rr")))
    record = world.port.services[0]
    assert not record.flags & ServiceFlag.OWN_TIMEOUTS
    assert record.timeout_tcp == 0


def test_syn_proxy_is_in_the_record_and_comes_back_from_it():
    world = World()
    own = SynProxy(mode=SynProxyMode.AUTO, mss=1300, window_scale=4, sack=False, timestamps=True)
    world.do(add_service("rr", syn_proxy=own))
    record = world.port.services[0]
    used = ServiceFlag.USED | ServiceFlag.SYN_PROXY
    assert record.flags == used
    assert (record.syn_mss, record.syn_scale) == (1300, 4)
    assert record.syn_offers == SynOffer.STAMPS | SynOffer.SCALE
    assert world.port.settings.syn_proxies == 1
    world.director.attack(frozenset((KEY,)))
    assert world.port.services[0].flags == used | ServiceFlag.SYN_COOKIES
    world.director.attack(frozenset())
    assert world.port.services[0].flags == used
    world.start()
    assert world.repairs == ()
    assert world.director.desired.services[KEY][0].syn_proxy == own
    world.start(with_file=False)
    # Whether a promise was asked for or learnt is not to be seen.
    adopted = world.director.desired.services[KEY][0].syn_proxy
    assert adopted == SynProxy(mode=SynProxyMode.AUTO)
    world.do(EditService(service=Service(key=KEY, scheduler="rr")))
    assert world.port.services[0].flags == ServiceFlag.USED
    assert world.port.settings.syn_proxies == 0


def test_syn_proxy_promises_what_servers_do():
    world = World()
    world.do(add_service("rr", syn_proxy=SynProxy(mode=SynProxyMode.ON)))
    offers = SynOffer.STAMPS | SynOffer.SACK | SynOffer.SCALE
    record = world.port.services[0]
    assert (record.syn_mss, record.syn_offers, record.syn_scale) == (1460, offers, 7)
    world.director.learn({KEY: Learnt(mss=1400, window_scale=9, sack=False)})
    record = world.port.services[0]
    assert (record.syn_mss, record.syn_scale) == (1400, 9)
    assert record.syn_offers == SynOffer.STAMPS | SynOffer.SCALE
    assert world.director.learn({KEY: Learnt(mss=1400, window_scale=9, sack=False)}) == ()
    fixed = SynProxy(mode=SynProxyMode.ON, mss=1300, window_scale=2, sack=True)
    world.do(EditService(service=Service(key=KEY, scheduler="rr", syn_proxy=fixed)))
    record = world.port.services[0]
    assert (record.syn_mss, record.syn_offers, record.syn_scale) == (1300, offers, 2)


def test_secrets_of_syn_cookies_are_written_alone_and_stay():
    world = World()
    world.do(add_service("rr"))
    before = world.port.settings
    cookies = SynCookies(offset=5, key=(1, 2, 3, 4, 0, 0, 0, 0), slot_ticks=16000)
    assert len(world.director.renew_secrets(cookies)) == 1
    assert world.port.settings == before._replace(syn_cookies=cookies)
    assert world.director.renew_secrets(cookies) == ()
    world.do(EditService(service=Service(key=KEY, scheduler="wrr")))
    world.do(DeleteService(key=KEY))
    assert world.port.settings.syn_cookies == cookies


@pytest.mark.parametrize(("scheduler", "falls_back"), [("mh", 1), ("sh", 1), ("dh", 0), ("rr", 0)])
def test_hashing_schedulers_fall_back_in_the_modern_profile(scheduler, falls_back):
    world = World()
    world.do(add_service(scheduler), add(1))
    assert not world.port.services[0].flags & ServiceFlag.HASH_FALLBACK
    world.do(SetSettings(values={"net.xlvs.profile": "modern"}))
    assert bool(world.port.services[0].flags & ServiceFlag.HASH_FALLBACK) is bool(falls_back)
    world.do(SetSettings(values={"net.xlvs.hash_fallback": "0"}))
    assert not world.port.services[0].flags & ServiceFlag.HASH_FALLBACK
