# SPDX-License-Identifier: Apache-2.0
"""Random directors, changed at random while random packets arrive: what must always be true.

Each story is made from a seed, so a failure can be played again: the seed is its name.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from tests.datapath import world as w
from tests.datapath.schedulers import BY_TURN_OR_LOAD
from tests.datapath.table_invariants import Table, check, check_empty
from tests.datapath.world import Connection, Out, World

from xlvs.datapath import records as r
from xlvs.datapath.addresses import text
from xlvs.datapath.records import DestinationFlag, Method, Scheduler, ServiceFlag

SEEDS = range(14)
STEPS = 130
LOOK_EVERY = 26  # steps; a look at all that is in the table takes as long as some packets
SERVERS = 4
CLIENTS = {
    False: ["203.0.113.1", "203.0.113.2", "203.0.114.1", "198.51.100.7"],
    True: ["2001:db8::1", "2001:db8::2", "2001:db8:1::1", "2001:db8:2::7"],
}
CLIENT_PORTS = range(40000, 40006)
FLAGS = ["S", "S", "S", "A", "A", "PA", "FA", "R", "SA", "", "F"]
SETTINGS = {
    "conn_reuse_mode": 2,
    "expire_nodest_conn": 1,
    "expire_quiescent_template": 1,
    "sloppy_tcp": 1,
    "nat_icmp_send": 1,
}
"""Setting -> its greatest value."""

_AVAILABLE = DestinationFlag.AVAILABLE | DestinationFlag.RESOLVED
_HOST = b"\xff" * 16
_NETWORK4 = b"\xff" * 15 + b"\0"
_NETWORK6 = b"\xff" * 6 + bytes(10)
_SIP_PORT = 5060


class Kind(NamedTuple):
    """A service as it was made."""

    number: int
    vip: str
    port: int
    protocol: int
    one_packet: bool
    sip: bool

    @property
    def v6(self) -> bool:
        return ":" in self.vip


class Story:
    """A director, and what happens to it."""

    def __init__(self, director: World, seed: int) -> None:
        self.director = director
        self.random = random.Random(seed)
        self.services: list[Kind] = []
        self.blocks = 0
        taken: set[tuple[str, int, int]] = set()
        for _ in range(self.random.randint(1, 4)):
            self._service(taken)

    def _service(self, taken: set[tuple[str, int, int]]) -> None:
        choose = self.random.choice
        vip = choose([w.VIP, w.VIP6])
        protocol = choose([w.TCP, w.UDP])
        port = choose([80, 80, 0, 21] if protocol == w.TCP else [53, 0, _SIP_PORT])
        if (vip, port, protocol) in taken:
            return
        taken.add((vip, port, protocol))
        director = self.director
        persistent = not port or bool(self.random.getrandbits(1))
        flags = ServiceFlag.USED
        if persistent:
            flags |= ServiceFlag.PERSISTENT
        if persistent and port == _SIP_PORT and self.random.getrandbits(1):
            flags |= ServiceFlag.SIP
        if protocol == w.UDP and self.random.random() < 0.3:
            flags |= ServiceFlag.ONE_PACKET
        local = (w.LIP6 if ":" in vip else w.LIP,)
        number = director.service(
            vip,
            port,
            protocol,
            choose(BY_TURN_OR_LOAD),
            local=local,
            flags=flags,
            persistence=choose([1, 30, 360]) * director.hz if persistent else 0,
            mask=choose([_HOST, _NETWORK6 if ":" in vip else _NETWORK4]),
        )
        one_packet, sip = flags & ServiceFlag.ONE_PACKET, flags & ServiceFlag.SIP
        kind = Kind(number, vip, port, protocol, bool(one_packet), bool(sip))
        self.services.append(kind)
        director.set(
            zero_ports=sum(not each.port for each in self.services),
            ftp_services=sum(each.port == 21 for each in self.services),
        )
        for n in range(1, self.random.randint(2, SERVERS) + 1):
            flags = DestinationFlag(0)
            if not port or (port == 21 and persistent):
                flags = DestinationFlag.CLIENT_PORT
            if port == 21 and persistent:
                flags |= DestinationFlag.FTP
            self._server(kind, n, _AVAILABLE | flags)

    def _server(self, kind: Kind, n: int, flags: DestinationFlag) -> None:
        method = self.random.choice(list(Method))
        translated = method in (Method.NAT, Method.FULLNAT)
        port = self.random.choice([kind.port, 8080]) if translated and kind.port else kind.port
        self.director.destination(
            kind.number,
            n,
            method,
            port=port,
            weight=self.random.randint(0, 3),
            v6=kind.v6,
            flags=flags,
            port_block=self.blocks if method == Method.FULLNAT else 0,
            upper_threshold=self.random.choice([0, 0, 0, 3]),
        )
        self.blocks += method == Method.FULLNAT

    # -- packets

    def client(self) -> None:
        """A client's packet, and what must be true of what became of it."""
        kind = self.random.choice(self.services)
        source = self.random.choice(CLIENTS[kind.v6])
        sport = self.random.choice(CLIENT_PORTS)
        dport = kind.port or self.random.choice([80, 53, 443, 21, 50000])
        if kind.port == 21 and self.random.getrandbits(1):
            dport = 50000
        packet = (IPv6 if kind.v6 else IP)(src=source, dst=kind.vip)
        if kind.protocol == w.TCP:
            packet /= TCP(sport=sport, dport=dport, flags=self.random.choice(FLAGS))
        else:
            packet /= UDP(sport=sport, dport=dport)
            packet /= self.random.choice([b"", b"x", b"INVITE\r\nCall-ID: a@b\r\n", b"\ni: c@d\n"])
        out = self.director.client(packet)
        self._sound(packet, out)
        if out.reason not in ("fwd_nat", "fwd_dr", "fwd_tun", "fwd_fullnat"):
            return
        found = self._connection(source, sport, kind.vip, dport, kind.protocol)
        if found is None:
            owners = [k for k in self.services if k.vip == kind.vip and k.one_packet]
            assert owners, f"{packet!r} was sent on, but has no connection"
            return
        server = self.director.destinations[found.destination]
        assert out.packet[Ether].dst == _mac(server), f"{packet!r} went to another's server"
        assert out.reason == f"fwd_{found.method.name.lower()}"
        if found.method in (Method.NAT, Method.FULLNAT):
            self._translated(found, server, dport, out)

    def _translated(self, found: Connection, server: r.Destination, dport: int, out: Out) -> None:
        ip = out.packet.getlayer(IP) or out.packet.getlayer(IPv6)
        assert ip is not None
        ports = ip.payload
        wanted = (text(server.address), _port(server, dport))
        got = (ip.dst, ports.dport)
        assert got == wanted, f"{found} was sent to {got}"
        if found.method == Method.FULLNAT:
            (local,) = self.director.local[server.service]
            assert (ip.src, ports.sport) == (local, found.local_port)
        else:
            assert (ip.src, ports.sport) == (found.client, found.client_port)

    def server(self) -> None:
        """An answer of a connection that there is, or somebody's."""
        known = [each for each in self.director.connections() if not each.template]
        if not known:
            return
        found = self.random.choice(known)
        server = self.director.destinations[found.destination]
        sport = _port(server, found.virtual_port)
        client, dport = found.client, found.client_port
        if found.method == Method.FULLNAT:
            (client,), dport = self.director.local[server.service], found.local_port
        if self.random.random() < 0.1:
            dport ^= 1
        v6 = ":" in found.client
        packet = (IPv6 if v6 else IP)(src=text(server.address), dst=client)
        if found.protocol == r.Transport.TCP:
            packet /= TCP(sport=sport, dport=dport, flags=self.random.choice(FLAGS))
        else:
            packet /= UDP(sport=sport, dport=dport) / b"answer"
        out = self.director.server(packet, int(_mac(server)[-1]))
        self._sound(packet, out)
        if out.reason == "fwd_reply":
            self._answer(packet, out, server, known)

    def _answer(
        self, packet: Packet, out: Out, server: r.Destination, before: list[Connection]
    ) -> None:
        ip = out.packet.getlayer(IP) or out.packet.getlayer(IPv6)
        assert ip is not None
        protocol = w.TCP if TCP in out.packet else w.UDP
        ends = (ip.dst, ip.payload.dport, ip.src, ip.payload.sport, protocol)
        # One whose time was nearly over may have ended since.
        found = self._connection(*ends) or self._connection(*ends, among=before)
        assert found is not None, f"{packet!r} went to {ip.dst} for nobody"
        owner = self.director.destinations[found.destination]
        assert owner.address == server.address, f"{packet!r} is an answer of another's server"

    def _connection(
        self,
        client: str,
        client_port: int,
        virtual: str,
        virtual_port: int,
        protocol: int,
        among: list[Connection] | None = None,
    ) -> Connection | None:
        wanted = (client, client_port, virtual, virtual_port)
        transport = r.Transport.TCP if protocol == w.TCP else r.Transport.UDP
        found = [
            each
            for each in (self.director.connections() if among is None else among)
            if not each.template
            and each.protocol == transport
            and wanted == (each.client, each.client_port, each.virtual_address, each.virtual_port)
        ]
        assert len(found) <= 1, f"several connections of {wanted}"
        return found[0] if found else None

    def _sound(self, packet: Packet, out: Out) -> None:
        """Lengths and checksums; what is passed on is unchanged."""
        if out.verdict != "send":
            assert bytes(out.packet.payload) == bytes(packet)
            return
        assert w.right(out.packet), f"{out.reason}: {out.packet!r}"
        layer = out.packet.payload
        assert len(bytes(layer)) == len(out.raw) - 14
        while layer:
            assert _length(layer) in (None, len(bytes(layer))), f"{out.reason}: {layer!r}"
            layer = layer.payload

    # -- what operators and time do

    def remove(self) -> None:
        """A server is removed, or comes back."""
        number = self.random.choice(list(self.director.destinations))
        record = self.director.destinations[number]
        mine = self.director.lists[record.service]
        there = number in mine
        if there:
            mine.remove(number)
        else:
            self.director.change(number, flags=record.flags | DestinationFlag.AVAILABLE)
            mine.insert(0, number)
        self._commit(record.service)
        if there:
            self.director.change(number, flags=record.flags & ~DestinationFlag.AVAILABLE)

    def edit(self) -> None:
        """A server gets another weight and threshold."""
        number = self.random.choice(list(self.director.destinations))
        record = self.director.destinations[number]
        upper = self.random.choice([0, 2, 5])
        self.director.change(
            number,
            weight=self.random.randint(0, 3),
            upper_threshold=upper,
            overload_epoch=record.overload_epoch + (upper > record.upper_threshold),
        )
        self._commit(record.service)

    def _commit(self, service: int) -> None:
        raw = self.director.path.map("services").lookup(service) or b""
        record = self.director.layout.unpack(r.Service, raw)
        self.director.commit(service, Scheduler(record.scheduler))

    def persist(self) -> None:
        """A service gets another time-out or netmask, or is persistent no more."""
        number = self.random.choice(self.services).number
        table = self.director.path.map("services")
        record = self.director.layout.unpack(r.Service, table.lookup(number) or b"")
        seconds = self.random.choice([0, 5, 360]) if record.key.port else 60
        flags = record.flags & ~(ServiceFlag.PERSISTENT | ServiceFlag.SIP)
        if seconds:
            flags |= ServiceFlag.PERSISTENT
        network = _NETWORK4 if record.key.family == 2 else _NETWORK6
        changed = record._replace(
            flags=flags,
            persistence=seconds * self.director.hz,
            mask=self.random.choice([_HOST, network]),
        )
        table.update(number, self.director.layout.pack(changed))

    def setting(self) -> None:
        """A setting gets another value."""
        name = self.random.choice(list(SETTINGS))
        self.director.set(**{name: self.random.randint(0, SETTINGS[name])})

    def age(self) -> None:
        """Time passes for some."""
        everybody = self.director.connections()
        some = [each for each in everybody if self.random.getrandbits(1)]
        self.director.age(self.random.choice([1, 20, 70, 400]), some)

    def step(self) -> None:
        """Whatever comes next."""
        happenings: list[tuple[Callable[[], None], int]] = [
            (self.client, 60),
            (self.server, 20),
            (self.age, 6),
            (self.remove, 4),
            (self.edit, 4),
            (self.persist, 3),
            (self.setting, 3),
        ]
        deeds, weights = zip(*happenings, strict=True)
        self.random.choices(deeds, weights)[0]()


def _mac(server: r.Destination) -> str:
    return server.next_hop.dst_mac.hex(":")


def _port(server: r.Destination, virtual: int) -> int:
    """The real server's, of a connection to a virtual port."""
    if not server.flags & DestinationFlag.CLIENT_PORT:
        return server.port
    return server.port if server.flags & DestinationFlag.FTP and virtual == 21 else virtual


def _length(layer: Packet) -> int | None:
    """The length that a header tells of itself and what follows."""
    if isinstance(layer, IPv6):
        return int(layer.plen) + 40
    if isinstance(layer, IP | UDP):
        return int(layer.len)
    return None


@pytest.mark.parametrize("seed", SEEDS)
def test_stories(director: World, seed: int) -> None:
    director.path.start_sweep()
    story = Story(director, seed)
    for number in range(STEPS):
        story.step()
        if number % LOOK_EVERY == LOOK_EVERY - 1:
            _look(director)
    _end(director)
    use = director.table()
    assert use.used == use.half_open == 0
    assert use.created == use.ended


def _look(director: World) -> None:
    """The sweep runs meanwhile: what it is about to end may be counted already, or still."""
    for _ in range(5):
        if not Table(director).check():
            return
        time.sleep(0.3 * w.SWEEP_TICK)
    check(director)


def _end(director: World) -> None:
    """Everything ends, as the sweep ends it; templates after what lives under them."""
    for _ in range(60):
        director.age(1_000_000)
        time.sleep(2 * w.SWEEP_TICK)
        if not Table(director).places:
            break
    check_empty(director)
