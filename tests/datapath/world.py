# SPDX-License-Identifier: Apache-2.0
"""A director for table tests: a network namespace with two interfaces, the programs
loaded on no interface, maps filled by hand, and packets run through either hook.

    clients (behind 192.168.100.254) -- eth0 [director] eth1 -- real servers

Nothing here goes through the control plane: what a test sees is the data plane's.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import ip_address
from math import gcd
from pathlib import Path
from typing import NamedTuple

from pyroute2 import netns
from scapy.layers import inet
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet

from xlvs.datapath import records as r
from xlvs.datapath.addresses import slot
from xlvs.datapath.loader import DataPath, Sizes, remove
from xlvs.datapath.port import TableUse
from xlvs.datapath.testrun import tc_context, test_run, xdp_context

CLIENT = "203.0.113.1"
CLIENT6 = "2001:db8::1"
VIP = "10.0.0.1"
VIP6 = "fd00:1::1"
LIP = "192.168.200.101"
LIP6 = "fd00:200::101"
DIRECTOR1 = "192.168.200.1"
DIRECTOR16 = "fd00:200::1"
MAC0, MAC1 = "02:00:00:00:01:01", "02:00:00:00:02:01"
CLIENT_MAC = "02:00:00:00:01:fe"
TCP, UDP, SCTP, ESP, AH = 6, 17, 132, 50, 51
SWEEP_TICK = 0.05  # seconds, SWEEP_TICK_NS in bpf/sweep.h
SMALL = Sizes(
    connections=16384,
    services=64,
    destinations=256,
    service_destinations=4096,
    port_blocks=16,
    slot_pages=2,
)
TIMEOUTS = {
    r.State.NONE: 2,
    r.State.ESTABLISHED: 900,
    r.State.SYN_SENT: 120,
    r.State.SYN_RECV: 60,
    r.State.FIN_WAIT: 120,
    r.State.TIME_WAIT: 120,
    r.State.CLOSE: 10,
    r.State.CLOSE_WAIT: 60,
    r.State.LAST_ACK: 30,
    r.State.LISTEN: 120,
    r.State.SYNACK: 120,
    r.State.UDP: 300,
    r.State.SCTP_INIT1: 4,
    r.State.SCTP_ESTABLISHED: 900,
    r.State.SCTP_REJECTED: 4,
}
"""Seconds; 60 where there is none."""

_TICKS = 0xFFFFFFFF
_TAKEN = r.ConnectionFlag.LIVE | r.ConnectionFlag.CLAIMED
_KIND = r.ConnectionFlag.LIVE | r.ConnectionFlag.ANSWER


MAPS = (
    "services_by_key4",
    "services_by_key",
    "services",
    "schedules",
    "destinations",
    "destination_load",
    "service_stats",
    "destination_stats",
    "port_blocks",
    "port_rows",
    "local_ports",
    "addresses",
    "hash_slots",
    "localities",
    "locality_more",
    "locality_tables",
    "locality_rounds",
    "mark_to",
    "mark_from",
    "mark_ports",
    "mark_classes",
    "connections4",
    "connections6",
    "regions4",
    "regions6",
    "table",
    "table_counts",
    "templates",
    "controlled",
    "call_ids",
    "streams",
    "stream_counts",
    "syn_pending",
    "load",
    "real_servers",
    "interfaces",
    "answers",
    "fragments",
    "admissions",
    "admitted",
    "arrivals",
    "clients",
    "counted",
    "client_rates",
    "client_prefixes",
)
TABLES = (("connections4", False), ("connections6", True))


def server(n: int) -> str:
    return f"192.168.200.1{n}"


def server6(n: int) -> str:
    return f"fd00:200::1{n}"


def server_mac(n: int) -> str:
    return f"02:00:00:00:02:1{n}"


def packed(address: str) -> bytes:
    """The one address form of bpf/abi.h."""
    raw = ip_address(address).packed
    return raw if len(raw) == 16 else bytes(10) + b"\xff\xff" + raw


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


class Out(NamedTuple):
    """What a program did: the verdict as a word, why, and the packet after it."""

    verdict: str  # pass, drop, send
    reason: str
    packet: Packet
    raw: bytes


class Connection(NamedTuple):
    """A connection of either family; addresses as text, ``expires`` a tick.

    ``at``: the map and the byte where its entry begins. ``block`` and ``local_port``
    say something of FULLNAT only.
    """

    word: int
    state: str
    expires: int
    destination: int
    client: str
    client_port: int
    virtual_address: str
    virtual_port: int
    block: int
    local_port: int
    protocol: r.Transport
    method: r.Method
    at: tuple[str, int]

    @property
    def half_open(self) -> bool:
        """Whether its client has not proved itself."""
        return bool(self.word & r.ConnectionFlag.HALF_OPEN)

    @property
    def template(self) -> bool:
        """Whether it is a template of a persistent service."""
        return bool(self.word >> r.CONNECTION_PROTOCOL_SHIFT & r.Transport.TEMPLATE)


class World:
    """One loaded data path, used through one hook."""

    def __init__(self, path: DataPath, hook: str, ifindex: dict[str, int]) -> None:
        self.path = path
        self.hook = hook
        self.ifindex = ifindex
        self.layout = path.layout
        self.destinations: dict[int, r.Destination] = {}
        self.lists: dict[int, list[int]] = {}
        self.vips: dict[int, str] = {}
        self.local: dict[int, tuple[str, ...]] = {}
        self.first_block: dict[int, int] = {}
        self.rows: dict[int, tuple[int, range]] = {}
        """Of FULLNAT servers: the place in port_rows, and the blocks."""
        self.services = 0
        self.hz = path.geometry.hz
        self._views = {name: path.map(name).view(writable=True) for name, _ in TABLES}
        self._roles = path.map("addresses").view(writable=True)
        self._next_destination = 0
        self._sweeping = False
        self._settings = r.Settings(
            conn_reuse_mode=1, pmtu_disc=1, snat_reroute=1, timeout=self._timeouts()
        )
        self.set()

    def close(self) -> None:
        """Let go of the maps' memory."""
        for view in (*self._views.values(), self._roles):
            view.release()

    def reset(self) -> None:
        """As freshly loaded: for the next test, without another look of the verifier."""
        self._sweeping = self._sweeping or bool(self.table().sweeps)
        if self._sweeping:
            # A sweep in the middle of its walk would still count what it saw.
            for name, _ in TABLES:
                self.path.map(name).clear()
            time.sleep(2 * SWEEP_TICK)
        for name in MAPS:
            self.path.map(name).clear()
        self.destinations, self.lists = {}, {}
        self.vips, self.local = {}, {}
        self.first_block, self.rows = {}, {}
        self.services = self._next_destination = 0
        self._settings = r.Settings(
            conn_reuse_mode=1,
            pmtu_disc=1,
            snat_reroute=1,
            marks=0,
            mark_set=0,
            mark_rules=0,
            timeout=self._timeouts(),
        )
        self.set()

    def _timeouts(self) -> tuple[int, ...]:
        return tuple(TIMEOUTS.get(s, 60) * self.hz for s in r.State)

    # -- configuration ---------------------------------------------------------

    def set(self, **changes: object) -> None:
        self._settings = self._settings._replace(**changes)
        self.path.map("settings").update(0, self.layout.pack(self._settings))

    def set_timeout(self, state: r.State, seconds: float) -> None:
        """How long a connection stays in a state without a packet."""
        timeouts = list(self._settings.timeout)
        timeouts[state] = round(seconds * self.hz)
        self.set(timeout=tuple(timeouts))

    def service(
        self,
        vip: str = VIP,
        port: int = 80,
        protocol: int = TCP,
        scheduler: r.Scheduler = r.Scheduler.RR,
        local: tuple[str, ...] = (),
        **changes: object,
    ) -> int:
        """Add a service; its id. ``changes``: fields of its record."""
        number = self.services
        self.services += 1
        key = r.ServiceKey(
            address=packed(vip),
            port=port,
            protocol=protocol,
            family=2 if ":" not in vip else 10,
        )
        self.vips[number], self.local[number] = vip, local
        self.role(vip, r.AddressRole.VIRTUAL)
        record = r.Service(
            flags=r.ServiceFlag.USED,
            scheduler=scheduler,
            key=key,
        )._replace(**changes)
        self.path.map("services").update(number, self.layout.pack(record))
        raw = number.to_bytes(4, "little")
        if key.family == 2:
            short = r.ServiceKey4(int(ip_address(vip)), port, protocol)
            self.path.map("services_by_key4").update(self.layout.pack(short), raw)
        else:
            self.path.map("services_by_key").update(self.layout.pack(key), raw)
        self.lists[number] = []
        self.commit(number, scheduler, reset=1)
        self.set(services=self.services)
        return number

    def destination(
        self,
        service: int,
        n: int,
        method: r.Method,
        port: int = 80,
        weight: int = 1,
        mtu: int = 1500,
        v6: bool = False,
        port_block: int = 0,
        **changes: object,
    ) -> int:
        """Add real server n at the head of the service's list; its id.

        ``port_block``: FULLNAT's, of the service's first local address; then the others'.
        """
        number = self._next_destination
        self._next_destination += 1
        flags = r.DestinationFlag.AVAILABLE | r.DestinationFlag.RESOLVED
        record = r.Destination(
            address=packed(server6(n) if v6 else server(n)),
            gateway=packed(server6(n) if v6 else server(n)),
            tunnel_source=packed(DIRECTOR16 if v6 else DIRECTOR1),
            next_hop=r.NextHop(
                ifindex=self.ifindex["eth1"],
                mtu=mtu,
                dst_mac=mac_bytes(server_mac(n)),
                src_mac=mac_bytes(MAC1),
            ),
            flags=flags,
            weight=weight,
            service=service,
            port=port,
            method=method,
            family=10 if v6 else 2,
            route_ifindex=self.ifindex["eth1"],
        )._replace(**changes)
        self.first_block[number] = port_block
        self.write(number, record)
        self.lists[service].insert(0, number)
        scheduler = self.layout.unpack(
            r.Service, self.path.map("services").lookup(service) or b""
        ).scheduler
        self.commit(service, r.Scheduler(scheduler))
        return number

    def role(self, address: str | bytes, role: r.AddressRole) -> None:
        """Tell packets what an address is."""
        raw = address if isinstance(address, bytes) else packed(address)
        self._roles[slot(raw)] |= role

    def write(self, number: int, record: r.Destination) -> None:
        self.role(record.address, r.AddressRole.SERVER)
        untranslated = record.method in (r.Method.DR, r.Method.TUN)
        if untranslated and record.flags & r.DestinationFlag.LOCAL:
            self.role(self.vips[record.service], r.AddressRole.SERVER)
        if record.method == r.Method.FULLNAT:
            record = record._replace(port_row=self._row(number, record))
        self.destinations[number] = record
        self.path.map("destinations").update(number, self.layout.pack(record))

    def _row(self, number: int, record: r.Destination) -> int:
        """The place of its row of blocks of local ports, one for each local address."""
        locals_ = self.local[record.service]
        taken = sum(1 + len(blocks) for _, blocks in self.rows.values())
        first = self.first_block[number]
        place, blocks = self.rows.setdefault(
            number, (1 + taken, range(first, first + len(locals_)))
        )
        for at, value in enumerate((len(blocks), *blocks), place):
            self.path.map("port_rows").update(at, value.to_bytes(4, "little"))
        raw = self.path.map("services").lookup(record.service) or b""
        protocol = self.layout.unpack(r.Service, raw).key.protocol
        for block, local in zip(blocks, locals_, strict=True):
            self.role(local, r.AddressRole.LOCAL)
            whose = r.PortBlock(packed(local), record.address, record.port, protocol)
            self.path.map("port_blocks").update(block, self.layout.pack(whose))
        return place

    def blocks(self, number: int) -> range:
        """Blocks of local ports of a FULLNAT server."""
        return self.rows[number][1]

    def change(self, number: int, **changes: object) -> None:
        self.write(number, self.destinations[number]._replace(**changes))

    def commit(self, service: int, scheduler: r.Scheduler, reset: int = 0) -> None:
        """Publish the list; cursors of other servers keep their place from the tail."""
        ids = self.lists[service]
        base = service * 64
        for i, number in enumerate(ids):
            self.path.map("service_destinations").update(base + i, number.to_bytes(4, "little"))
        weights = [w for i in ids if (w := self.destinations[i].weight) > 0]
        divisor = gcd(*weights) if weights else 1
        top = max(weights) - (divisor - 1) if weights else 0
        for i in range(64):
            moved = i + 1 if i + 1 < len(ids) else r.CURSOR_HEAD
            self.path.map("remap").update(base + i, moved.to_bytes(4, "little"))
        self.path.commit(
            r.Commit(
                service=service,
                scheduler=scheduler,
                reset=reset,
                list=r.ServerList(base=base, count=len(ids), gcd=divisor, max_weight=top),
                remap_base=base,
                remap_count=max(len(ids) - 1, 0),
            )
        )

    # -- packets ---------------------------------------------------------------

    def run(self, frame: Packet | bytes, side: str = "eth0") -> Out:
        """Run one frame that arrives on an interface."""
        data = bytes(frame)
        before = self.reasons()
        name = "xlvs_xdp" if self.hook == "xdp" else "xlvs_tc_ingress"
        result = test_run(self.path.programs[name], data, ctx=self.context(data, side))
        after = self.reasons()
        counted = [k for k, v in after.items() if v != before[k]]
        assert len(counted) == 1, f"one reason per packet, got {counted}"
        verdict = {
            ("xdp", 1): "drop",
            ("xdp", 2): "pass",
            ("xdp", 3): "send",
            ("xdp", 4): "send",
            ("tc", 0xFFFFFFFF): "pass",  # TC_ACT_UNSPEC: the next filter's turn
            ("tc", 2): "drop",
            ("tc", 7): "send",
        }[self.hook, result.retval]
        return Out(verdict, counted[0], Ether(result.data_out), result.data_out)

    def context(self, frame: bytes, side: str = "eth0") -> bytes:
        """The hook's context of a frame that arrives on an interface."""
        index = self.ifindex[side]
        return xdp_context(len(frame), index) if self.hook == "xdp" else tc_context(index)

    def client(self, packet: Packet, mac: str = MAC0, vlan: int | None = None) -> Out:
        """A client's IP packet, as its router delivers it on eth0."""
        link = Ether(src=CLIENT_MAC, dst=mac)
        if vlan is not None:
            link /= Dot1Q(vlan=vlan)
        return self.run(link / packet)

    def flood(self, each: int) -> None:
        """Two threads open ``each`` connections at once, from a client of their own."""
        name = "xlvs_xdp" if self.hook == "xdp" else "xlvs_tc_ingress"

        def run(thread: int) -> None:
            for i in range(each):
                syn = IP(src=f"198.51.100.{thread}", dst=VIP) / inet.TCP(
                    sport=1024 + i, dport=80, flags="S"
                )
                frame = bytes(Ether(src=CLIENT_MAC, dst=MAC0) / syn)
                test_run(self.path.programs[name], frame, ctx=self.context(frame))

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run, (1, 2)))

    def server(self, packet: Packet, n: int = 1) -> Out:
        """A real server's IP packet, on eth1."""
        return self.run(Ether(src=server_mac(n), dst=MAC1) / packet, "eth1")

    # -- what the maps say -----------------------------------------------------

    def reasons(self) -> dict[str, int]:
        names = self.layout.enum_names("xlvs_reason", "XLVS_REASON_")
        codec = self.layout.codec(r.ReasonStats)
        table = self.path.map("reasons")
        return {
            name: sum(codec.unpack(v).packets for v in table.lookup_percpu(i))
            for i, name in names.items()
            if name != "max"
        }

    def streams(self) -> dict[str, int]:
        """Packets by what was done to their streams, where that is any."""
        table = self.path.map("stream_counts")
        counted = {
            name: sum(int.from_bytes(v, "little") for v in table.lookup_percpu(i))
            for i, name in self.layout.stream_events.items()
        }
        return {name: packets for name, packets in counted.items() if packets}

    def connections(self) -> list[Connection]:
        """All that are in the table, also what is over and waits for the sweep."""
        return [found for name, v6 in TABLES for found in self._connections(name, v6)]

    def _connections(self, name: str, v6: bool) -> Iterator[Connection]:
        line = self.layout.codec(r.Line6) if v6 else self.layout.codec(r.Line4)
        place = self.layout.codec(r.Entry6) if v6 else self.layout.codec(r.Entry4)
        raw = bytes(self._views[name])
        first, empty = line.offsets["way"], bytes(line.size)
        for start in range(0, len(raw), line.size):
            if raw[start : start + line.size] == empty:
                continue
            for at in range(start + first, start + line.size - place.size + 1, place.size):
                found = place.unpack(raw, at)
                if found.entry.word & _KIND == r.ConnectionFlag.LIVE:
                    yield _connection(found, (name, at))

    def age(self, seconds: float, connections: Iterable[Connection] | None = None) -> None:
        """Let time pass for connections, all if none are given: they end so much earlier."""
        expires = self.layout.codec(r.Entry).offsets["expires"]
        for each in self.connections() if connections is None else connections:
            name, at = each.at
            ticks = each.expires - round(seconds * self.hz) & _TICKS
            start = at + expires
            self._views[name][start : start + 4] = ticks.to_bytes(4, "little")
        # As a packet that shrinks a time-out does: the sweep looks everywhere now.
        now = (self.path.ticks() or 1).to_bytes(4, "little")
        for name in ("regions4", "regions6"):
            entries = self.path.map(name).info.max_entries
            self.path.map(name).update_many((i, now) for i in range(entries))

    def left_behind(self) -> list[r.Line4 | r.Line6]:
        """Lines that still hold something; none when all connections have ended."""
        found: list[r.Line4 | r.Line6] = []
        for name, v6 in TABLES:
            line = self.layout.codec(r.Line6) if v6 else self.layout.codec(r.Line4)
            raw = bytes(self._views[name])
            for start in range(0, len(raw), line.size):
                record = line.unpack(raw, start)
                words = [place.entry.word for place in record.way]
                if record.lock or record.passed or any(w & _TAKEN for w in words):
                    found.append(record)
        return found

    def left(self, connection: Connection) -> float:
        """Seconds until a connection is over."""
        ticks = connection.expires - self.path.ticks() & _TICKS
        return (ticks - (ticks >> 31 << 32)) / self.hz

    def state(self, index: int = 0) -> str:
        return self.connections()[index].state

    def table(self) -> TableUse:
        seen = self.layout.unpack(r.Table, self.path.map("table").lookup(0) or b"")
        codec = self.layout.codec(r.TableCounts)
        counts = map(codec.unpack, self.path.map("table_counts").lookup_percpu(0))
        total = r.TableCounts(*map(sum, zip(*counts, strict=True)))
        return TableUse.of(seen, total, self.path.geometry)

    def load(self, destination: int) -> tuple[int, int]:
        raw = self.path.map("destination_load").lookup(destination) or b""
        load = self.layout.unpack(r.DestinationLoad, raw)
        return load.active, load.inactive

    def stats(self, kind: str, number: int) -> r.Stats:
        codec = self.layout.codec(r.Stats)
        values = [codec.unpack(v) for v in self.path.map(f"{kind}_stats").lookup_percpu(number)]
        return r.Stats(*(sum(column) for column in zip(*values, strict=True)))


def _connection(place: r.Entry4 | r.Entry6, at: tuple[str, int]) -> Connection:
    entry = place.entry
    return Connection(
        word=entry.word,
        state=r.State(entry.word & r.CONNECTION_STATE).name,
        expires=entry.expires,
        destination=entry.destination,
        client=str(ip_address(place.src)),
        client_port=place.sport,
        virtual_address=str(ip_address(place.dst)),
        virtual_port=place.dport,
        block=entry.block,
        local_port=entry.local_port,
        protocol=r.Transport(entry.word >> r.CONNECTION_PROTOCOL_SHIFT & 3),
        method=r.Method(entry.word >> r.CONNECTION_METHOD_SHIFT & 3),
        at=at,
    )


def right(packet: Packet) -> bool:
    """Are all checksums of an IP packet (and of the packet within it) right?"""
    ip = packet.getlayer(IP) or packet.getlayer(IPv6)
    assert ip is not None
    again = ip.__class__(bytes(ip))
    layer: Packet = again
    while layer:
        for field in ("chksum", "cksum"):
            if field in layer.fields:
                layer.delfieldval(field)
        layer = layer.payload
    return bytes(again) == bytes(ip)


@contextmanager
def network() -> Iterator[dict[str, int]]:
    """A namespace with the director's interfaces; this thread is in it."""
    name = f"xlvs-dp-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    netns.create(name)
    netns.pushns(name)
    try:
        batch = [
            "link set lo up",
            f"link add eth0 address {MAC0} type veth peer name w0 address {CLIENT_MAC}",
            f"link add eth1 address {MAC1} type veth peer name w1",
            *(f"link set {i} up" for i in ("eth0", "eth1", "w0", "w1")),
            "addr add 192.168.100.1/24 dev eth0",
            f"addr add {DIRECTOR1}/24 dev eth1",
            "addr add fd00:100::1/64 dev eth0 nodad",
            f"addr add {DIRECTOR16}/64 dev eth1 nodad",
            f"neigh add 192.168.100.254 lladdr {CLIENT_MAC} nud permanent dev eth0",
            f"neigh add fd00:100::fe lladdr {CLIENT_MAC} nud permanent dev eth0",
            "route add default via 192.168.100.254 dev eth0",
            "route add default via fd00:100::fe dev eth0",
        ]
        subprocess.run(["ip", "-batch", "-"], input="\n".join(batch), text=True, check=True)
        for knob in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            Path("/proc/sys/net", knob).write_text("1", encoding="ascii")
        # not from /sys: it shows the namespace in which it was mounted
        yield {link: socket.if_nametoindex(link) for link in ("eth0", "eth1")}
    finally:
        netns.popns()
        netns.remove(name)


@contextmanager
def world(hook: str, sizes: Sizes = SMALL) -> Iterator[World]:
    """A fresh data path for one test."""
    pins = Path("/sys/fs/bpf/xlvs") / f"dp-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    with network() as ifindex:
        path = DataPath.open(pins, sizes)
        try:
            made = World(path, hook, ifindex)
            yield made
            made.close()
        finally:
            path.close()
            remove(pins)
            if pins.exists():
                shutil.rmtree(pins, ignore_errors=True)
