# SPDX-License-Identifier: Apache-2.0
"""mh, sh and stateless services, as the control plane writes them and packets obey."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet
from tests.unit.datapath_plan.build import Store

from xlvs.datapath.effective import Options
from xlvs.datapath.maps import Map
from xlvs.datapath.observed import NUD_REACHABLE, Link, Neighbour, Observed, Route
from xlvs.datapath.records import SLOT_PAGE, HashSlot, State
from xlvs.datapath.space import page_of
from xlvs.io.adoption import adopt
from xlvs.io.director import Director
from xlvs.io.kernel import Kernel
from xlvs.model import edit
from xlvs.model.service import (
    Destination,
    DestinationKey,
    Method,
    Protocol,
    Service,
    ServiceKey,
)
from xlvs.schedulers import buckets, maglev
from xlvs.schedulers.maglev import FALLBACK, PORT, SIZE

from . import world as w
from .world import Out, World

KEY = ServiceKey(protocol=Protocol.TCP, address=ip_address(w.VIP), port=80)
KEY6 = ServiceKey(protocol=Protocol.TCP, address=ip_address(w.VIP6), port=80)
DNS = ServiceKey(protocol=Protocol.UDP, address=ip_address(w.VIP), port=53)
SERVERS = (1, 2, 3, 4)


class Controlled:
    """A director of the control plane over the maps of a World."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.kernel = Kernel(world.path)
        self._store = Store()
        self.director = self._start(running=False)

    def _start(self, *, running: bool) -> Director:
        made = Director(self.kernel, Options(), self._store)
        saved = self._store.saved[-1] if self._store.saved else None
        adopted = adopt(self.kernel.have(), lambda: saved, running=running)
        self.repairs = made.start(adopted, _observed(self.world.ifindex["eth1"]))
        return made

    def close(self) -> None:
        """Let go of the maps' memory; the data path is the World's."""
        for view in self.kernel._views.values():
            view.release()

    def restart(self) -> None:
        self.director = self._start(running=True)
        assert self.repairs == ()

    def do(self, *edits: edit.AnyEdit) -> None:
        self.director.edit(edits, go_on=False)
        have = self.kernel.have()
        assert have.tables == self.director.effective.tables
        assert have.roles == have.tables.roles()

    def service(
        self,
        key: ServiceKey = KEY,
        servers: Sequence[int] = SERVERS,
        scheduler: str = "mh",
        **more,
    ) -> None:
        service = Service(key=key, scheduler=scheduler, **more)
        self.do(edit.AddService(service=service), *(add(n, key=key) for n in servers))

    def slots(self) -> dict[int, HashSlot]:
        """The table in use of the first service."""
        codec = self.world.layout.codec(HashSlot)
        with self._page() as (slots, first):
            return {i: codec.unpack(slots.lookup(first + i) or b"") for i in range(SIZE)}

    @contextmanager
    def _page(self) -> Iterator[tuple[Map, int]]:
        """Where they are, and the first one's place."""
        region, _ = self.kernel.have().slot_regions[0]
        page = self.world.path.map("hash_slots").inner(page_of(region))
        assert page is not None
        yield page, region.base % SLOT_PAGE
        page.close()

    def let_pass(self, seconds: float) -> None:
        """As if the slots had changed hands so much earlier."""
        found = self.slots()
        with self._page() as (page, first):
            for i, slot in found.items():
                at = slot.changed_at - round(seconds * self.world.hz) & 0xFFFFFFFF
                raw = self.world.layout.pack(slot._replace(changed_at=at))
                page.update(first + i, raw)
        self.restart()


def add(n: int, weight: int = 1, key: ServiceKey = KEY, method: Method = Method.DR):
    return edit.AddDestination(service=key, destination=server(n, weight, key, method))


def change(n: int, weight: int, key: ServiceKey = KEY, **more):
    return edit.EditDestination(service=key, destination=server(n, weight, key, **more))


def drop(n: int):
    return edit.DeleteDestination(service=KEY, destination=server(n).key)


def server(
    n: int, weight: int = 1, key: ServiceKey = KEY, method: Method = Method.DR, **more
) -> Destination:
    address = ip_address(w.server6(n) if key is KEY6 else w.server(n))
    where = DestinationKey(address=address, port=key.port)
    return Destination(key=where, method=method, weight=weight, **more)


def _observed(ifindex: int) -> Observed:
    link = Link(
        ifindex=ifindex,
        name="eth1",
        mac=w.mac_bytes(w.MAC1),
        mtu=1500,
        up=True,
        addresses=(ip_address(w.DIRECTOR1), ip_address(w.DIRECTOR16)),
    )
    neighbours, routes = {}, {}
    for n in SERVERS:
        for address, source in ((w.server(n), w.DIRECTOR1), (w.server6(n), w.DIRECTOR16)):
            to = ip_address(address)
            neighbours[ifindex, to] = Neighbour(w.mac_bytes(w.server_mac(n)), NUD_REACHABLE)
            routes[to] = Route(ifindex=ifindex, source=ip_address(source))
    return Observed({ifindex: link}, neighbours, routes)


@pytest.fixture
def controlled(director: World) -> Iterator[Controlled]:
    made = Controlled(director)
    yield made
    made.close()


def packet(client: int, flags: str, key: ServiceKey = KEY) -> Packet:
    port = 20000 + 7 * client
    if key is DNS:
        return IP(src=address(client), dst=w.VIP) / UDP(sport=port, dport=53) / b"?"
    ip = IP(src=address(client), dst=w.VIP)
    if key is KEY6:
        ip = IPv6(src=address(client, key), dst=w.VIP6)
    return ip / TCP(sport=port, dport=80, flags=flags)


def address(client: int, key: ServiceKey = KEY) -> str:
    return f"2001:db8:{client:x}::{client + 1:x}" if key is KEY6 else f"203.0.113.{client + 1}"


def number(out: Out) -> int:
    """The real server that the packet went to, 0: nobody."""
    return int(out.packet.dst[-1]) if out.reason in ("fwd_dr", "fwd_tun") else 0


def picks(world: World, clients: range, flags: str = "S", key: ServiceKey = KEY) -> list[int]:
    return [number(world.client(packet(client, flags, key))) for client in clients]


def reference(
    clients: range,
    flags: int = 0,
    key: ServiceKey = KEY,
    weights: dict[int, int] | None = None,
    unfit: frozenset[int] = frozenset(),
    scheduler: str = "mh",
) -> list[int]:
    """Who should get them; ``weights`` are those that slots are shared by."""
    weights = weights or dict.fromkeys(SERVERS, 1)
    listed = sorted(weights, reverse=True)  # newest first
    if scheduler == "sh":
        owners, pick = buckets.source([weights[n] for n in listed]), buckets.pick
    else:
        hashed = [
            maglev.Server(server(n, key=key).key.address.packed, key.port, weights[n])
            for n in listed
        ]
        owners, pick = maglev.slots(hashed), maglev.pick
    found = [
        pick(
            owners,
            lambda index: listed[index] not in unfit,
            ip_address(address(client, key)).packed,
            20000 + 7 * client,
            flags,
        )
        for client in clients
    ]
    return [0 if index is None else listed[index] for index in found]


MANY = range(60)


@pytest.mark.parametrize("key", [KEY, KEY6])
@pytest.mark.parametrize("flags", [0, FALLBACK, PORT, FALLBACK | PORT])
@pytest.mark.parametrize("scheduler", ["mh", "sh"])
def test_decisions(controlled: Controlled, key: ServiceKey, flags: int, scheduler: str) -> None:
    controlled.service(key, flags=flags, scheduler=scheduler)
    assert picks(controlled.world, MANY, key=key) == reference(
        MANY, flags, key, scheduler=scheduler
    )
    controlled.do(change(2, 0, key), change(3, 5, key))
    later = range(100, 160)
    weights = {1: 1, 2: 1, 3: 5, 4: 1}
    wanted = reference(later, flags, key, weights, frozenset({2}), scheduler)
    assert picks(controlled.world, later, key=key) == wanted
    assert (0 in wanted) is not bool(flags & FALLBACK)


def test_from_mh_to_sh_and_on_to_rr(controlled: Controlled) -> None:
    """While a service changes its scheduler, packets of the old one meet the new slots."""
    controlled.service()
    controlled.do(edit.EditService(service=Service(key=KEY, scheduler="sh")))
    assert picks(controlled.world, MANY) == reference(MANY, scheduler="sh")
    controlled.do(edit.EditService(service=Service(key=KEY, scheduler="rr")))
    later = range(100, 104)
    assert picks(controlled.world, later) == [4, 3, 2, 1]


@pytest.mark.parametrize("flags", [0, FALLBACK])
def test_an_overloaded_server_keeps_its_slots(controlled: Controlled, flags: int) -> None:
    controlled.service(flags=flags)
    controlled.do(change(4, 1, upper_threshold=1))
    first = next(c for c in MANY if reference(range(c, c + 1)) == [4])
    assert picks(controlled.world, range(first, first + 1)) == [4]
    later = range(first + 1, first + 60)
    assert picks(controlled.world, later) == reference(later, flags, unfit=frozenset({4}))


def test_without_a_weight_nobody_gets_anything(controlled: Controlled) -> None:
    controlled.service(servers=())
    controlled.do(add(1, 0))
    assert picks(controlled.world, range(5)) == [0] * 5
    controlled.do(change(1, 1))
    assert picks(controlled.world, range(5)) == [1] * 5


@pytest.mark.parametrize("key", [KEY, KEY6, DNS])
def test_a_stateless_service_keeps_nothing(controlled: Controlled, key: ServiceKey) -> None:
    controlled.service(key, flags=PORT, stateless=True)
    wanted = reference(MANY, PORT, key)
    for flags in ("S", "A", "PA", "FA", "R"):
        assert picks(controlled.world, MANY, flags, key) == wanted
    assert controlled.world.connections() == []
    ids = controlled.director.effective.destination_ids[key]
    packets = [controlled.world.stats("destination", id_).in_packets for id_ in ids]
    assert packets == [5 * wanted.count(n) for n in reversed(SERVERS)]
    assert not any(controlled.world.load(id_) != (0, 0) for id_ in ids)


def test_stateless_by_tunnel(controlled: Controlled) -> None:
    controlled.service(servers=(), stateless=True)
    controlled.do(*(add(n, method=Method.TUN) for n in SERVERS))
    assert picks(controlled.world, MANY, "A") == reference(MANY)
    out = controlled.world.client(packet(0, "A"))
    assert out.packet[IP].proto == 4


def test_established_connections_survive_a_change_and_new_ones_go_to_the_new_owner(
    controlled: Controlled,
) -> None:
    controlled.service(stateless=True)
    before = picks(controlled.world, MANY, "A")
    controlled.do(change(2, 0))
    after = reference(MANY, weights={1: 1, 3: 1, 4: 1})
    moved = [client for client in MANY if before[client] != after[client]]
    assert {client for client in MANY if before[client] == 2} <= set(moved)
    # Opened anew: other ports, so other connections.
    for client in moved:
        syn = packet(client, "S")
        syn[TCP].sport += 1
        assert number(controlled.world.client(syn)) == after[client]
        ack = packet(client, "A")
        ack[TCP].sport += 1
        assert number(controlled.world.client(ack)) == after[client]
    assert picks(controlled.world, MANY, "A") == before
    # Both are in the table now, and nobody else.
    remembered = controlled.world.connections()
    assert len(remembered) == 2 * len(moved)
    assert {each.state for each in remembered} == {"ESTABLISHED"}
    # The slots forget those that were not seen in time, and remember the others.
    controlled.let_pass(900)
    assert picks(controlled.world, MANY, "A") == before
    silent = range(100, 160)
    assert picks(controlled.world, silent, "A") == reference(silent, weights={1: 1, 3: 1, 4: 1})


def test_servers_without_a_packet_leave_nothing_to_remember(controlled: Controlled) -> None:
    """A service is built command by command; a connection that another director began
    finds its server all the same."""
    controlled.service(servers=(), stateless=True)
    for n in SERVERS:
        controlled.do(add(n))
    assert picks(controlled.world, MANY, "A") == reference(MANY)
    assert controlled.world.connections() == []


def test_slots_forget_when_the_last_old_connection_has_ended(controlled: Controlled) -> None:
    controlled.service(stateless=True)
    before = picks(controlled.world, MANY, "A")
    controlled.do(change(2, 0))
    assert picks(controlled.world, MANY, "A") == before
    controlled.let_pass(900)
    controlled.director.reap(0.0)
    remembered = [slot for slot in controlled.slots().values() if slot.previous != 0xFFFFFFFF]
    assert remembered
    for id_ in range(4):
        empty = bytes(controlled.world.path.map("destination_load").info.value_size)
        controlled.world.path.map("destination_load").update(id_, empty)
    controlled.director.reap(1.0)
    assert all(slot.previous == 0xFFFFFFFF for slot in controlled.slots().values())
    assert picks(controlled.world, MANY, "A") == reference(MANY, weights={1: 1, 3: 1, 4: 1})


def test_datagrams_of_a_slot_that_changed_go_on_and_are_remembered(
    controlled: Controlled,
) -> None:
    """None says that it is the first, so for a while all may be of before."""
    controlled.service(DNS, stateless=True)
    before = picks(controlled.world, MANY, key=DNS)
    controlled.do(change(2, 0, DNS))
    assert picks(controlled.world, MANY, key=DNS) == before
    controlled.let_pass(300)
    assert picks(controlled.world, MANY, key=DNS) == before
    later = range(100, 160)
    weights = {1: 1, 3: 1, 4: 1}
    assert picks(controlled.world, later, key=DNS) == reference(later, 0, DNS, weights)


def test_a_removed_server_gets_nothing_more(controlled: Controlled) -> None:
    controlled.service(stateless=True)
    controlled.do(drop(2))
    assert picks(controlled.world, MANY, "A") == reference(MANY, weights={1: 1, 3: 1, 4: 1})


def test_one_more_change_in_time_keeps_the_connections_of_before_both(
    controlled: Controlled,
) -> None:
    controlled.service(stateless=True)
    before = reference(MANY)
    assert picks(controlled.world, range(100, 160)) == reference(range(100, 160))
    controlled.do(change(2, 0))
    controlled.let_pass(60)
    controlled.do(change(3, 0))
    controlled.let_pass(60)
    controlled.do(change(2, 1))
    assert picks(controlled.world, MANY, "A") == before


def test_a_service_becomes_stateless_with_its_connections(controlled: Controlled) -> None:
    controlled.do(
        edit.AddService(service=Service(key=KEY, scheduler="rr")), *(add(n) for n in SERVERS)
    )
    opened = picks(controlled.world, MANY)
    assert opened != reference(MANY)
    stateless = Service(key=KEY, scheduler="mh", stateless=True)
    controlled.do(edit.EditService(service=stateless))
    assert picks(controlled.world, MANY, "A") == opened
    later = range(100, 160)
    assert picks(controlled.world, later) == reference(later)


def test_without_a_weight_a_stateless_service_refuses(controlled: Controlled) -> None:
    controlled.service(stateless=True)
    controlled.do(*(change(n, 0) for n in SERVERS))
    assert controlled.world.client(packet(1, "S")).reason == "reply_no_destination"
    assert controlled.world.client(packet(1, "A")).reason == "pass_not_syn"


def test_the_established_time_out_counts(controlled: Controlled) -> None:
    controlled.service(stateless=True)
    controlled.do(edit.SetTimeouts(tcp=10), change(2, 0))
    assert controlled.kernel.have().tables.settings.timeout[State.ESTABLISHED] == (
        10 * controlled.world.hz
    )
    controlled.let_pass(10)
    assert picks(controlled.world, MANY, "A") == reference(MANY, weights={1: 1, 3: 1, 4: 1})
