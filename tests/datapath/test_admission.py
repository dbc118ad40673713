# SPDX-License-Identifier: Apache-2.0
"""Who may open connections: lists of clients, rates, connections at once."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from xlvs.datapath import records as r
from xlvs.datapath.addresses import unpacked
from xlvs.datapath.admission import admission
from xlvs.io.arrivals import arrivals
from xlvs.io.client_maps import ClientMaps
from xlvs.model import service as model
from xlvs.model.client_list import ClientList, client_list

from .world import CLIENT, CLIENT6, VIP, VIP6, World

LIMIT, LIMITS = model.Limit, model.Limits


def key(vip: str = VIP, port: int = 80) -> model.ServiceKey:
    return model.ServiceKey(protocol=model.Protocol.TCP, address=ip_address(vip), port=port)


class Guard:
    """Lists of a world's data path, and services that name them."""

    def __init__(self, director: World, lists: dict[str, Iterable[str]] | None = None) -> None:
        self.director = director
        self.maps = ClientMaps(director.path)
        self.lists: dict[str, ClientList] = {}
        self.others: dict[int, bool] = {}
        for name, prefixes in (lists or {}).items():
            self.put(name, prefixes)

    def put(self, name: str, prefixes: Iterable[str]) -> None:
        self.lists[name] = client_list(tuple(prefixes))
        self.maps.write(self.lists[name].number, self.lists[name])

    def admit(
        self, service: int, vip: str = VIP, *, counted: Iterable[int] = (), **fields: object
    ) -> None:
        """As the daemon: the record that is not in force, then the flags."""
        path, layout = self.director.path, self.director.layout
        wanted = admission(model.Service(key=key(vip), **fields), self.lists)
        for each in counted:
            flags = self.director.destinations[each].flags
            self.director.change(each, flags=flags | r.DestinationFlag.COUNTED)
        there = layout.unpack(r.Service, path.map("services").lookup(service) or b"")
        flags = there.flags & ~(r.ServiceFlag.ADMISSION | r.ServiceFlag.ADMISSION_OTHER)
        if wanted is not None:
            other = self.others[service] = not self.others.get(service, True)
            path.map("admissions").update(2 * service + other, layout.pack(wanted))
            flags |= r.ServiceFlag.ADMISSION | (r.ServiceFlag.ADMISSION_OTHER if other else 0)
        path.map("services").update(service, layout.pack(there._replace(flags=flags)))

    def refusals(self, service: int = 0) -> r.Refusals:
        return arrivals(self.director.path, service).refused

    def clients(self) -> dict[str, int]:
        """Connections of clients that have some, by the address that they are counted by."""
        return {
            str(unpacked(self.director.layout.unpack(r.Client, raw).address)): int.from_bytes(
                value, "little"
            )
            for raw, value in self.director.path.map("clients").items()
        }

    def connections(self, service: int = 0) -> int:
        raw = self.director.path.map("admitted").lookup(service) or b""
        return self.director.layout.unpack(r.Admitted, raw).connections

    def end_all(self) -> None:
        """Every connection's time is over, and the sweep has seen it."""
        self.director.age(2000)
        self.director.path.start_sweep()
        deadline = time.monotonic() + 60
        while self.director.left_behind() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not self.director.left_behind()

    def counted(self) -> int:
        return sum(1 for _ in self.director.path.map("counted").items())


@pytest.fixture
def guard(director: World) -> Guard:
    found = Guard(director)
    for map_ in ("client_sets", "client_prefixes"):
        director.path.map(map_).clear()
    return found


def syn(client: str = CLIENT, sport: int = 5000, vip: str = VIP, flags: str = "S") -> IP:
    ip = IPv6(src=client, dst=vip) if ":" in client else IP(src=client, dst=vip)
    return ip / TCP(sport=sport, dport=80, flags=flags)


def test_a_denied_client_opens_nothing(guard: Guard) -> None:
    director = guard.director
    service = director.service()
    director.destination(service, 1, r.Method.NAT)
    guard.put("bad", ["203.0.113.0/24"])
    assert director.client(syn()).verdict == "send"
    guard.admit(service, deny=("bad",))
    out = director.client(syn(sport=5001))
    assert (out.verdict, out.reason) == ("drop", "drop_denied")
    # What has begun goes on; a stray packet is what it was.
    assert director.client(syn(flags="A")).reason == "fwd_nat"
    assert director.client(syn(sport=5002, flags="A")).reason == "pass_not_syn"
    assert director.client(syn("198.51.100.1")).reason == "fwd_nat"
    assert guard.refusals() == r.Refusals(denied=1)


def test_who_is_on_no_allowed_list_opens_nothing(guard: Guard) -> None:
    director = guard.director
    service = director.service(VIP6)
    director.destination(service, 1, r.Method.NAT, v6=True)
    guard.put("friends", ["2001:db8::/64", "0.0.0.0/0"])
    guard.admit(service, VIP6, allow=("friends",))
    assert director.client(syn(CLIENT6, vip=VIP6)).reason == "fwd_nat"
    out = director.client(syn("2001:db8:0:1::1", vip=VIP6))
    assert (out.verdict, out.reason) == ("drop", "drop_not_allowed")
    guard.put("friends", [])
    guard.admit(service, VIP6, allow=("friends",))
    assert director.client(syn(CLIENT6, 5001, vip=VIP6)).reason == "drop_not_allowed"
    assert guard.refusals() == r.Refusals(not_allowed=2)


def test_a_prefix_of_all_ipv6_is_nobody_of_ipv4(guard: Guard) -> None:
    director = guard.director
    service = director.service()
    director.destination(service, 1, r.Method.NAT)
    guard.put("six", ["::/0"])
    guard.admit(service, deny=("six",))
    assert director.client(syn()).reason == "fwd_nat"


def verdict(client: str, allow: Iterable[list[str]], deny: Iterable[list[str]]) -> str:
    """What lists say of a client, by the words of docs/how-to/limits.md."""
    address = ip_address(client)

    def longest(lists: Iterable[list[str]]) -> int:
        networks = (ip_network(each) for prefixes in lists for each in prefixes)
        return max((each.prefixlen for each in networks if address in each), default=-1)

    allowed, denied = longest(allow), longest(deny)
    if denied >= 0 and denied >= allowed:
        return "drop_denied"
    return "drop_not_allowed" if allow and allowed < 0 else "fwd_nat"


@pytest.mark.parametrize("seed", range(12))
def test_the_longest_prefix_decides(guard: Guard, seed: int) -> None:
    director = guard.director
    chance = random.Random(seed)
    service = director.service()
    director.destination(service, 1, r.Method.NAT)

    def prefix() -> str:
        bits = chance.choice((0, 1, 8, 15, 16, 23, 24, 31, 32))
        address = chance.choice((0xCB007100, 0xC6336400)) + chance.randrange(4)
        return str(ip_network((address >> (32 - bits) << (32 - bits) if bits else 0, bits)))

    names = [chance.choice(("allow", "deny")) for _ in range(chance.randint(1, 8))]
    lists = {f"{n}": [prefix() for _ in range(chance.randrange(4))] for n in range(len(names))}
    for name, prefixes in lists.items():
        guard.put(name, prefixes)
    named = {
        what: tuple(str(n) for n, each in enumerate(names) if each == what)
        for what in ("allow", "deny")
    }
    guard.admit(service, **named)
    allow, deny = ([lists[n] for n in named[what]] for what in ("allow", "deny"))
    for port, client in enumerate(
        f"{net}.{host}" for net in ("203.0.113", "198.51.100", "192.0.2") for host in range(1, 5)
    ):
        assert director.client(syn(client, 2000 + port)).reason == verdict(client, allow, deny)


def test_a_changed_list_is_another_set(guard: Guard) -> None:
    director = guard.director
    service = director.service()
    director.destination(service, 1, r.Method.NAT)
    guard.put("bad", ["203.0.113.1"])
    guard.admit(service, deny=("bad",))
    before = guard.lists["bad"]
    old = before.number
    guard.put("bad", ["203.0.113.2", "2001:db8::/32"])
    assert director.client(syn()).reason == "drop_denied"  # still the one that was named
    guard.admit(service, deny=("bad",))
    guard.maps.drop(old, before)
    assert director.client(syn()).reason == "fwd_nat"
    assert director.client(syn("203.0.113.2")).reason == "drop_denied"
    assert guard.maps.read() == {guard.lists["bad"].number}
    assert sum(1 for _ in director.path.map("client_prefixes").items()) == 2


def test_half_of_a_set_is_cleared_away(guard: Guard) -> None:
    guard.put("good", ["203.0.113.1"])
    guard.put("half", ["203.0.113.1", "2001:db8::/32"])
    number = guard.lists["half"].number.to_bytes(8, "little")
    guard.director.path.map("client_sets").update(number, bytes(4))
    assert guard.maps.read() == {guard.lists["good"].number}
    assert sum(1 for _ in guard.director.path.map("client_prefixes").items()) == 1


def test_a_client_opens_as_many_as_its_burst(guard: Guard) -> None:
    director = guard.director
    service = director.service()
    director.destination(service, 1, r.Method.NAT)
    # So slow that no tick of the test's time makes another one.
    guard.admit(service, limits=LIMITS(client=LIMIT(rate=1, burst=3)))
    path, hz = director.path, director.hz
    got = [director.client(syn(sport=5000 + i)).reason for i in range(3)]
    assert got == ["fwd_nat"] * 3
    bucket = next(iter(path.map("client_rates").items()))[0]

    def credit(ticks_ago: int, parts: int) -> None:
        word = (path.ticks() - ticks_ago) % 2**32 << 32 | parts
        path.map("client_rates").update(bucket, word.to_bytes(8, "little"))

    credit(-hz // 2, hz - 1)  # another CPU's clock was read later: nothing has flowed in since
    out = director.client(syn(sport=5003))
    assert (out.verdict, out.reason) == ("drop", "drop_client_rate")
    assert director.client(syn("203.0.113.2")).reason == "fwd_nat"
    credit(-hz // 2, hz)
    assert director.client(syn(sport=5004)).reason == "fwd_nat"
    assert director.client(syn(sport=5005)).reason == "drop_client_rate"
    credit(2 * hz, 0)  # two seconds: two connections
    assert [director.client(syn(sport=5010 + i)).verdict for i in range(3)] == [
        "send",
        "send",
        "drop",
    ]
    credit(2**31 + 5, 0)  # so long ago that it looks like the future
    got = [director.client(syn(sport=5020 + i)).verdict for i in range(4)]
    assert got == ["send", "send", "send", "drop"]
    assert guard.refusals().client_rate == 4


def test_a_rate_of_a_million_fits(guard: Guard) -> None:
    director = guard.director
    service = director.service()
    director.destination(service, 1, r.Method.NAT)
    guard.admit(service, limits=LIMITS(service=LIMIT(rate=1_000_000, burst=1_000_000)))
    assert director.client(syn()).reason == "fwd_nat"
    raw = director.path.map("admitted").lookup(service) or b""
    word = director.layout.unpack(r.Admitted, raw).bucket
    assert word & 0xFFFFFFFF == 999_999 * director.hz


def test_a_service_opens_as_many_as_its_burst(guard: Guard) -> None:
    director = guard.director
    service = director.service()
    director.destination(service, 1, r.Method.NAT)
    guard.admit(service, limits=LIMITS(service=LIMIT(rate=1, burst=2)))
    got = [director.client(syn(f"203.0.113.{i}")).reason for i in (1, 2, 3)]
    assert got == ["fwd_nat", "fwd_nat", "drop_service_rate"]
    assert guard.refusals() == r.Refusals(service_rate=1)


def test_clients_are_told_apart_by_their_prefix(guard: Guard) -> None:
    director = guard.director
    service = director.service(VIP6)
    director.destination(service, 1, r.Method.NAT, v6=True)
    guard.admit(service, VIP6, limits=LIMITS(client=LIMIT(rate=1)))
    assert director.client(syn("2001:db8::1", vip=VIP6)).reason == "fwd_nat"
    assert director.client(syn("2001:db8::ffff:1", vip=VIP6)).reason == "drop_client_rate"
    assert director.client(syn("2001:db8:0:1::1", vip=VIP6)).reason == "fwd_nat"
    guard.admit(service, VIP6, limits=LIMITS(client=LIMIT(rate=1), client_prefix=128))
    assert director.client(syn("2001:db8::2", vip=VIP6)).reason == "fwd_nat"
    assert director.client(syn("2001:db8::3", vip=VIP6)).reason == "fwd_nat"


@pytest.mark.parametrize("method", list(r.Method))
def test_a_client_has_so_many_connections(guard: Guard, method: r.Method) -> None:
    director = guard.director
    local = ("192.168.200.101",) if method is r.Method.FULLNAT else ()
    service = director.service(local=local)
    server = director.destination(service, 1, method)
    guard.admit(
        service,
        counted=[server],
        limits=LIMITS(client=LIMIT(connections=2), service=LIMIT(connections=3)),
    )
    assert [director.client(syn(sport=p)).verdict for p in (1, 2, 3)] == ["send", "send", "drop"]
    assert director.client(syn(sport=1)).verdict == "send"  # the same SYN once more
    assert guard.refusals() == r.Refusals(client_connections=1)
    assert director.client(syn("203.0.113.2")).verdict == "send"
    out = director.client(syn("203.0.113.3"))
    assert (out.verdict, out.reason) == ("drop", "drop_service_connections")
    assert guard.clients() == {
        "203.0.113.1": 2,
        "203.0.113.2": 1,
    }
    assert (guard.connections(), guard.counted()) == (3, 3)
    guard.end_all()
    assert (guard.clients(), guard.connections(), guard.counted()) == ({}, 0, 0)
    assert director.client(syn(sport=9)).verdict == "send"


def test_what_is_refused_later_is_given_back(guard: Guard) -> None:
    director = guard.director
    service = director.service()
    limits = LIMITS(client=LIMIT(connections=5), service=LIMIT(connections=5, rate=1, burst=1))
    guard.admit(service, limits=limits)
    # No server: the service has one token, so the second one fails for another reason.
    assert director.client(syn(sport=1)).reason == "reply_no_destination"
    assert (guard.clients(), guard.connections()) == ({}, 0)
    server = director.destination(service, 1, r.Method.NAT)
    guard.admit(service, counted=[server], limits=limits)
    assert director.client(syn(sport=2)).reason == "drop_service_rate"
    assert (guard.clients(), guard.connections(), guard.counted()) == ({}, 0, 0)


def test_limits_find_connections_that_began_before_them(guard: Guard) -> None:
    director = guard.director
    service = director.service()
    server = director.destination(service, 1, r.Method.NAT)
    assert director.client(syn(sport=1)).reason == "fwd_nat"
    guard.admit(service, counted=[server], limits=LIMITS(client=LIMIT(connections=1)))
    assert director.client(syn(sport=2)).reason == "fwd_nat"
    assert director.client(syn(sport=3)).reason == "drop_client_connections"
    guard.admit(service)
    assert director.client(syn(sport=4)).reason == "fwd_nat"
    assert (guard.clients(), guard.counted()) == ({"203.0.113.1": 1}, 1)
    guard.end_all()
    assert (guard.clients(), guard.counted()) == ({}, 0)


def test_a_datagram_of_one_packet_scheduling_is_a_connection(guard: Guard) -> None:
    director = guard.director
    service = director.service(protocol=17)
    flags = r.ServiceFlag.USED | r.ServiceFlag.ONE_PACKET
    raw = director.path.map("services").lookup(service) or b""
    record = director.layout.unpack(r.Service, raw)._replace(flags=flags)
    director.path.map("services").update(service, director.layout.pack(record))
    server = director.destination(service, 1, r.Method.NAT)
    limits = LIMITS(client=LIMIT(rate=1, burst=2, connections=1))
    guard.admit(service, counted=[server], limits=limits)
    datagram = IP(src=CLIENT, dst=VIP) / UDP(sport=7, dport=80)
    got = [director.client(datagram).reason for _ in range(3)]
    assert got == ["fwd_nat", "fwd_nat", "drop_client_rate"]
    assert (guard.clients(), guard.counted()) == ({}, 0)


def test_counts_are_exact_on_two_cpus(guard: Guard) -> None:
    director = guard.director
    service = director.service()
    server = director.destination(service, 1, r.Method.NAT)
    guard.admit(
        service,
        counted=[server],
        limits=LIMITS(
            client=LIMIT(connections=10**6), service=LIMIT(connections=10**6), client_prefix=8
        ),
    )
    director.flood(400)
    assert guard.connections() == guard.counted() == 800
    assert guard.clients() == {"198.0.0.0": 800}
    guard.end_all()
    assert (guard.clients(), guard.connections(), guard.counted()) == ({}, 0, 0)


def test_off_nothing_is_asked(guard: Guard) -> None:
    director = guard.director
    service = director.service()
    director.destination(service, 1, r.Method.NAT)
    guard.admit(service, limits=LIMITS(service=LIMIT(rate=1, burst=1)))
    assert director.client(syn(sport=1)).reason == "fwd_nat"
    assert director.client(syn(sport=2)).reason == "drop_service_rate"
    guard.admit(service)
    assert director.client(syn(sport=2)).reason == "fwd_nat"
