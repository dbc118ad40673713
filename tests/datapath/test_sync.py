# SPDX-License-Identifier: Apache-2.0
"""Connection sync at the data path: what is told, and what becomes of what is taken."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from xlvs.datapath import records as r
from xlvs.datapath.held import Held, to_take
from xlvs.datapath.libbpf import RingBuffer
from xlvs.datapath.records import Method, State, SyncedResult
from xlvs.io.sync_maps import SyncMaps

from . import world as w
from .test_forwarding import FAMILIES, PROTOCOLS, one_server
from .test_persistence import mask
from .world import World

METHODS = pytest.mark.parametrize("method", Method, ids=lambda m: m.name.lower())


class Teller:
    """What a daemon sees of one data path."""

    def __init__(self, director: World) -> None:
        self.maps = SyncMaps(director.path)
        self.ring = RingBuffer(self.maps.events_fd)
        self.ring.read()  # what an earlier test left
        director.set(sync=1)

    def told(self) -> list[Held]:
        return list(self.maps.told(self.ring.read()))

    def close(self) -> None:
        self.ring.close()
        self.maps.close()


@pytest.fixture
def teller(director: World) -> Iterator[Teller]:
    made = Teller(director)
    yield made
    made.close()


def client(v6: bool, udp: bool, flags: str = "S", sport: int = 40000) -> Packet:
    ip = IPv6(src=w.CLIENT6, dst=w.VIP6) if v6 else IP(src=w.CLIENT, dst=w.VIP)
    return ip / (UDP(sport=sport, dport=80) if udp else TCP(sport=sport, dport=80, flags=flags))


def server(director: World, v6: bool, udp: bool, flags: str = "SA") -> Packet:
    """The answer to the client's first connection, as NAT's and FULLNAT's server sends it."""
    (found,) = director.connections()
    src = w.server6(1) if v6 else w.server(1)
    full = found.method is Method.FULLNAT
    dst = (w.LIP6 if v6 else w.LIP) if full else (w.CLIENT6 if v6 else w.CLIENT)
    dport = found.local_port if full else 40000
    ip = IPv6(src=src, dst=dst) if v6 else IP(src=src, dst=dst)
    return ip / (UDP(sport=80, dport=dport) if udp else TCP(sport=80, dport=dport, flags=flags))


def establish(director: World, v6: bool = False, udp: bool = False) -> None:
    method = director.destinations[0].method
    assert director.client(client(v6, udp)).verdict == "send"
    if method in (Method.NAT, Method.FULLNAT):
        assert director.server(server(director, v6, udp)).verdict == "send"
    assert director.client(client(v6, udp, "A")).verdict == "send"


def forget(director: World) -> None:
    """Another director with the same services: everything that packets wrote is gone."""
    for name in ("connections4", "connections6", "destination_load", "local_ports", "table_counts"):
        director.path.map(name).clear()
    for name in ("regions4", "regions6"):
        director.path.map(name).clear()
    for name in ("streams", "syn_pending"):
        for key, _ in list(director.path.map(name).items()):
            director.path.map(name).delete(key)


@FAMILIES
@PROTOCOLS
@METHODS
def test_what_is_told_can_be_taken(
    director: World, teller: Teller, method: Method, v6: bool, udp: bool
) -> None:
    one_server(director, method, v6, udp)
    establish(director, v6, udp)
    told = teller.told()
    (held,) = told
    assert held == next(each for part in teller.maps.everything() for each in part)._replace(
        left=held.left
    )
    assert (held.client, held.client_port) == (ip_address(w.CLIENT6 if v6 else w.CLIENT), 40000)
    assert (held.virtual, held.virtual_port) == (ip_address(w.VIP6 if v6 else w.VIP), 80)
    assert held.state is (State.UDP if udp else State.ESTABLISHED)
    assert held.method is method
    before = director.connections(), director.load(0)

    forget(director)
    assert teller.maps.take([to_take(held)]) == [SyncedResult.OPENED]
    (after,) = director.connections()
    assert (after.state, after.method) == (before[0][0].state, method)
    if method is Method.FULLNAT:  # another method's fields have another meaning
        assert (after.block, after.local_port) == (held.block, held.local_port)
    assert director.load(0) == before[1]
    assert abs(director.left(after) - held.left / director.hz) < 1
    # Its packets go on, both ways, and no scheduler is asked.
    out = director.client(client(v6, udp, "A"))
    assert (out.verdict, out.reason) == ("send", f"fwd_{method.name.lower()}")
    assert director.stats("service", 0).connections == 1, "only the first director opened one"
    if method in (Method.NAT, Method.FULLNAT):
        out = director.server(server(director, v6, udp, "A"))
        assert (out.verdict, out.reason) == ("send", "fwd_reply")
        assert (out.packet[IPv6] if v6 else out.packet[IP]).src == (w.VIP6 if v6 else w.VIP)
    assert teller.maps.take([to_take(held)]) == [SyncedResult.UPDATED]
    assert director.load(0) == before[1]


def test_who_has_not_proved_himself_is_not_told(director: World, teller: Teller) -> None:
    one_server(director, Method.DR, v6=False, udp=False)
    director.client(client(v6=False, udp=False))
    assert teller.told() == []
    director.client(client(v6=False, udp=False, flags="A"))
    assert [held.state for held in teller.told()] == [State.ESTABLISHED]
    director.client(client(v6=False, udp=False, flags="A"))
    assert teller.told() == [], "nothing is new"
    director.client(client(v6=False, udp=False, flags="FA"))
    assert [held.state for held in teller.told()] == [State.FIN_WAIT]


def test_nothing_is_told_while_it_is_off(director: World, teller: Teller) -> None:
    director.set(sync=0)
    one_server(director, Method.DR, v6=False, udp=False)
    establish(director)
    assert teller.ring.read() == []
    assert director.stats("service", 0).connections == 1


def test_many_changes_are_told_as_the_last(director: World, teller: Teller) -> None:
    one_server(director, Method.DR, v6=False, udp=False)
    establish(director)
    director.client(client(v6=False, udp=False, flags="FA"))
    assert [held.state for held in teller.told()] == [State.FIN_WAIT]


def test_a_state_is_brought_up_to_date(director: World, teller: Teller) -> None:
    one_server(director, Method.DR, v6=False, udp=False)
    establish(director)
    (held,) = teller.told()
    assert director.load(0) == (1, 0)
    closed = held._replace(state=State.FIN_WAIT, left=120 * director.hz)
    assert teller.maps.take([to_take(closed)]) == [SyncedResult.UPDATED]
    assert director.state() == "FIN_WAIT"
    assert director.load(0) == (0, 1)
    assert abs(director.left(director.connections()[0]) - 120) < 1


def test_an_older_record_changes_nothing(director: World, teller: Teller) -> None:
    """Another director tells of what it held before this one got the address."""
    service, first = one_server(director, Method.DR, v6=False, udp=False)
    second = director.destination(service, 2, Method.DR)
    establish(director)
    (held,) = teller.told()
    stale = held._replace(state=State.CLOSE, left=9 * director.hz)
    idle = director.hz
    assert teller.maps.take([to_take(stale, idle=idle)]) == [SyncedResult.OLDER]
    other = held._replace(destination=first if held.destination == second else second)
    assert teller.maps.take([to_take(other, idle=idle)]) == [SyncedResult.OLDER]
    assert director.state() == "ESTABLISHED"
    assert director.connections()[0].destination == held.destination
    director.age(5)
    assert teller.maps.take([to_take(stale, idle=idle)]) == [SyncedResult.UPDATED]
    assert director.state() == "CLOSE"


def test_the_end_of_one_that_was_replaced_ends_nothing(director: World, teller: Teller) -> None:
    service, first = one_server(director, Method.DR, v6=False, udp=False)
    second = director.destination(service, 2, Method.DR)
    establish(director)
    (held,) = teller.told()
    other = first if held.destination == second else second
    gone = held._replace(destination=other, state=State.CLOSE_WAIT)
    assert teller.maps.take([to_take(gone)]) == [SyncedResult.OLDER]
    assert director.state() == "ESTABLISHED"


def test_time_outs_of_the_service_itself_hold_after_sync(director: World, teller: Teller) -> None:
    flags = r.ServiceFlag.USED | r.ServiceFlag.OWN_TIMEOUTS
    service = director.service(flags=flags, timeout_tcp=50 * director.hz)
    director.destination(service, 1, Method.DR)
    establish(director)
    (held,) = teller.told()
    forget(director)
    assert teller.maps.take([to_take(held)]) == [SyncedResult.OPENED]
    director.client(client(v6=False, udp=False, flags="A"))
    assert abs(director.left(director.connections()[0]) - 50) < 1


def test_another_server_takes_the_connection_s_place(director: World, teller: Teller) -> None:
    service, first = one_server(director, Method.DR, v6=False, udp=False)
    second = director.destination(service, 2, Method.DR)
    establish(director)
    (held,) = teller.told()
    other = first if held.destination == second else second
    moved = held._replace(destination=other)
    assert teller.maps.take([to_take(moved)]) == [SyncedResult.OPENED]
    (found,) = director.connections()
    assert found.destination == other
    assert director.load(held.destination) == (0, 0)
    assert director.load(other) == (1, 0)


def test_what_cannot_be_taken_changes_nothing(director: World, teller: Teller) -> None:
    one_server(director, Method.FULLNAT, v6=False, udp=False)
    establish(director)
    (held,) = teller.told()
    before = director.connections(), director.load(0)
    same_port = held._replace(client_port=held.client_port + 1)
    unknown = held._replace(client_port=7, destination=10**6)
    wrong = to_take(held._replace(client_port=8))._replace(state=31)
    results = teller.maps.take([to_take(same_port), to_take(unknown), wrong])
    assert results == [SyncedResult.PORT, SyncedResult.UNKNOWN, SyncedResult.UNKNOWN]
    assert (director.connections(), director.load(0)) == before


def test_more_than_a_batch(director: World, teller: Teller) -> None:
    one_server(director, Method.DR, v6=False, udp=False)
    establish(director)
    (held,) = teller.told()
    many = [to_take(held._replace(client_port=1 + i)) for i in range(600)]
    results = teller.maps.take(many)
    assert results == [SyncedResult.OPENED] * 600
    assert director.load(0) == (601, 0)
    ports = {each.client_port for part in teller.maps.everything() for each in part}
    assert ports == {held.client_port, *range(1, 601)}


def test_a_template_leads_the_next_connection(director: World, teller: Teller) -> None:
    service = director.service(
        w.VIP,
        80,
        flags=r.ServiceFlag.USED | r.ServiceFlag.PERSISTENT,
        persistence=100 * director.hz,
        mask=mask(24),
    )
    numbers = [director.destination(service, n, Method.DR) for n in (1, 2, 3)]
    establish(director)
    (held,) = teller.told()
    assert held.controlled
    template = teller.maps.above(held)
    assert template is not None
    assert template.template
    assert template.client_port == 0
    kept = teller.maps.template(template)
    assert kept is not None
    forget(director)
    for name in ("templates", "controlled"):
        director.path.map(name).clear()
    other = next(n for n in numbers if n != held.destination)
    moved = template._replace(destination=other)
    taken = to_take(moved, assured=True, template_timeout=kept.timeout)
    assert teller.maps.take([taken]) == [SyncedResult.OPENED]
    neighbour = IP(src="203.0.113.77", dst=w.VIP) / TCP(sport=9, dport=80, flags="S")
    assert director.client(neighbour).verdict == "send"
    assert director.load(other) == (1, 0), "the template chose, not the scheduler"
    assert teller.maps.take([taken]) == [SyncedResult.UPDATED]
