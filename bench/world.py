# SPDX-License-Identifier: Apache-2.0
"""Directors to measure, configured as the daemon would do it.

A namespace with two interfaces, and one data path for each forwarding method and
number of connections.

    clients -- eth0 [director] eth1 -- real servers

Nothing is attached to the interfaces: packets come from test runs alone.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple, TypeVar

from pyroute2 import netns

from bench.frames import ACK, PORTS, SYN, Ends, Kind, Template, reply, request
from bench.harness import Flows, Forget, Harness
from xlvs.datapath import pins
from xlvs.datapath.effective import Options, effective
from xlvs.datapath.loader import DataPath, Sizes, remove
from xlvs.datapath.observed import NUD_PERMANENT, Link, Neighbour, Observed, Route
from xlvs.datapath.plan import diff
from xlvs.datapath.port import TableUse
from xlvs.io.kernel import Kernel
from xlvs.model.desired import Desired, Timeouts
from xlvs.model.service import (
    Address,
    Destination,
    DestinationKey,
    Method,
    Protocol,
    Service,
    ServiceKey,
)
from xlvs.schedulers import maglev

MAC0, MAC1 = bytes.fromhex("020000000101"), bytes.fromhex("020000000201")
CLIENT_MAC, SERVER_MAC = bytes.fromhex("0200000001fe"), bytes.fromhex("020000000210")
VIP, VIP6 = IPv4Address("10.0.0.1"), IPv6Address("fd00:1::1")
NOT_A_VIP = IPv4Address("10.0.0.2")
PORT, SERVER_PORT = 80, 8080
DIRECTOR, DIRECTOR6 = IPv4Address("192.168.200.1"), IPv6Address("fd00:200::1")
SERVERS = 8  # a power of two: the wrapper knows which one has a flow
SERVER, SERVER6 = IPv4Address("192.168.200.16"), IPv6Address("fd00:200::16")
# Seven share no factor with eight servers, so clients spread over all pairs of both.
LOCAL: tuple[Address, ...] = (
    *(IPv4Address("192.168.201.1") + i for i in range(7)),
    *(IPv6Address("fd00:201::1") + i for i in range(7)),
)
DAY = 86400

SIZES = Sizes(
    services=64,
    destinations=256,
    service_destinations=1024,
    port_blocks=256,
)
TABLE_MIN = Sizes().connections
SPARE = 16  # places for connections that a run needs besides


class Key(NamedTuple):
    """Which data path a row runs on.

    ``connections``: established, over IPv4, or with ``v6`` over IPv6. ``stateless``: the
    services keep none. ``feature``: what its services have switched on, by name.
    """

    method: Method
    connections: int
    v6: bool = False
    stateless: bool = False
    feature: str = ""

    @property
    def kind(self) -> Kind:
        """Packets of its connections."""
        return Kind.TCP6 if self.v6 else Kind.TCP4

    @property
    def text(self) -> str:
        """For messages."""
        if self.stateless:
            return f"stateless {self.method}"
        family = "IPv6 " if self.v6 else ""
        more = f" with {self.feature}" if self.feature else ""
        return f"{self.connections} established {family}{self.method} connections{more}"


class Interfaces(NamedTuple):
    """Indices in the benchmark's namespace."""

    eth0: int
    eth1: int


@contextmanager
def network() -> Iterator[Interfaces]:
    """A namespace with the director's interfaces; this process is in it."""
    name = f"xlvs-bench-{os.getpid()}"
    try:
        netns.create(name)
        netns.pushns(name)
        try:
            _links()
            # not from /sys: it shows the namespace in which it was mounted
            yield Interfaces(*(socket.if_nametoindex(link) for link in ("eth0", "eth1")))
        finally:
            netns.popns()
    finally:
        if Path("/run/netns", name).exists():
            netns.remove(name)


def _links() -> None:
    batch = [
        "link set lo up",
        f"link add eth0 address {MAC0.hex(':')} type veth peer name w0",
        f"link add eth1 address {MAC1.hex(':')} type veth peer name w1",
        *(f"link set {link} up" for link in ("eth0", "eth1", "w0", "w1")),
        "addr add 192.168.100.1/24 dev eth0",
        f"addr add {DIRECTOR}/24 dev eth1",
        f"addr add {DIRECTOR6}/64 dev eth1 nodad",
        f"neigh add 192.168.100.254 lladdr {CLIENT_MAC.hex(':')} nud permanent dev eth0",
        "route add default via 192.168.100.254 dev eth0",
    ]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(batch), text=True, check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")


def client(kind: Kind, flags: int = ACK, *, ours: bool = True) -> Template:
    """A client's packet to the service of that kind, or to an address of nobody's."""
    vip: Address = VIP6 if kind is Kind.TCP6 else VIP if ours else NOT_A_VIP
    return request(kind, Ends(MAC0, CLIENT_MAC, vip, PORT), flags)


def server() -> Template:
    """The real server's answer over IPv4."""
    return reply((MAC1, SERVER_MAC), SERVER_PORT, SERVER, SERVERS)


def wanted(method: Method, *, stateless: bool = False) -> Desired:
    """The services of a data path: TCP and UDP over IPv4, TCP over IPv6."""
    return Desired(
        services={
            service.key: (service, destinations)
            for service, destinations in (
                _service(method, Protocol.TCP, VIP, SERVER, stateless=stateless),
                _service(method, Protocol.UDP, VIP, SERVER, stateless=stateless),
                _service(method, Protocol.TCP, VIP6, SERVER6, stateless=stateless),
            )
        },
        timeouts=Timeouts(tcp=DAY, tcp_fin=DAY, udp=DAY),
    )


def _service(
    method: Method, protocol: Protocol, vip: Address, first: Address, *, stateless: bool
) -> tuple[Service, tuple[Destination, ...]]:
    key = ServiceKey(protocol=protocol, address=vip, port=PORT)
    translated = method in {Method.NAT, Method.FULLNAT}
    destinations = tuple(
        Destination(
            key=DestinationKey(address=first + i, port=SERVER_PORT if translated else PORT),
            method=method,
        )
        for i in range(SERVERS)
    )
    if stateless:
        # The port counts, or one client's flows would have one server.
        service = Service(key=key, scheduler="mh", flags=maglev.PORT, stateless=True)
        return service, destinations
    return Service(key=key, scheduler="rr"), destinations


def surroundings(interfaces: Interfaces) -> Observed:
    """Real servers on eth1, all of them resolved."""
    links = {
        interfaces.eth0: Link(interfaces.eth0, "eth0", MAC0, 1500, up=True),
        interfaces.eth1: Link(interfaces.eth1, "eth1", MAC1, 1500, up=True),
    }
    hop = Neighbour(SERVER_MAC, NUD_PERMANENT)
    addresses = [
        (ip_address(first + i), source)
        for first, source in ((SERVER, DIRECTOR), (SERVER6, DIRECTOR6))
        for i in range(SERVERS)
    ]
    return Observed(
        links,
        {(interfaces.eth1, address): hop for address, _ in addresses},
        {a: Route(ifindex=interfaces.eth1, source=source) for a, source in addresses},
    )


class World:
    """A loaded data path with its established connections: flows 0 to ``connections`` - 1."""

    def __init__(self, key: Key, path: DataPath, forget: Forget) -> None:
        self.key = key
        self.path = path
        self._kernel = Kernel(path)
        self._forget = forget
        self.established = 0
        self._next_client = -(-key.connections // PORTS)

    @property
    def wanted(self) -> Desired:
        """Its services."""
        return wanted(self.key.method, stateless=self.key.stateless)

    @property
    def options(self) -> Options:
        """What its daemon would have been started with."""
        return Options(local_addresses=LOCAL)

    def configure(self, interfaces: Interfaces) -> None:
        """Write the maps as the daemon would."""
        have = self._kernel.have()
        want = effective(self.wanted, surroundings(interfaces), self.options, have, self.path.sizes)
        self._kernel.write(diff(have, want.tables, self.path.sizes))

    def establish(self, harness: Harness) -> None:
        """Open and establish the flows of the TCP service, and one over UDP."""
        number = self.key.connections
        if not number:
            return
        # any number of them: the mask of the next power of two leaves none out
        flows = Flows(1 << (number - 1).bit_length(), mixed=False)
        program = self.path.programs["xlvs_xdp"]
        for flags in (SYN, ACK):
            harness.run(program, client(self.key.kind, flags), flows, number)
        if has_udp(self.key):
            harness.run(program, client(Kind.UDP4), Flows(1), 2)  # the first is half-open
        self.established = number + has_udp(self.key)
        used = self.table().used
        if used != self.established:
            counted = {name: n for name, n in self.reasons().items() if n}
            raise SystemExit(
                f"{used} connections instead of {self.established} in {self.key}: {counted}"
            )

    def new_clients(self, flows: int) -> int:
        """The first of as many clients that no run has had, counted from flow 0's."""
        first = self._next_client
        self._next_client += -(-flows // PORTS)
        return first

    def table(self) -> TableUse:
        """How full the table is."""
        return self._kernel.table()

    def reasons(self) -> dict[str, int]:
        """Packets by what became of them."""
        return {name: stats.packets for name, stats in self._kernel.reasons().items()}

    def forget(self, clients: int = 0) -> None:
        """End the connections that a run has opened: they are half-open, or of these clients.

        ``clients``: the first one's address, as a number.
        """
        self._forget(clients)
        left = self.table().used - self.established
        if left:
            raise SystemExit(f"{left} connections are left of a run on {self.key}")


AnyWorld = TypeVar("AnyWorld", bound=World)


def has_udp(key: Key) -> bool:
    """Whether UDP is measured on a data path too."""
    return key.connections == 1 and key.method is Method.NAT and not key.v6


def places(method: Method) -> int:
    """How many a connection takes in the table: FULLNAT's answers have one of their own."""
    return 2 if method is Method.FULLNAT else 1


def room(key: Key, new: int) -> Sizes:
    """Room for ``new`` connections besides the established ones, by whatever method.

    The table is the same for all methods, or figures would compare tables: as large as
    docs/how-to/table-size.md says for FULLNAT.
    """
    places_needed = (key.connections + new + SPARE) * max(map(places, Method))
    lines = places_needed * 5 // 4
    return Sizes(
        connections=TABLE_MIN if key.v6 else max(lines, TABLE_MIN),
        services=SIZES.services,
        destinations=SIZES.destinations,
        service_destinations=SIZES.service_destinations,
        port_blocks=SIZES.port_blocks,
        # Its lines have one place, so a chain is full sooner than IPv4's; not of these.
        connections6=lines * 4 if key.v6 else 0,
    )


@contextmanager
def opened(
    key: Key,
    interfaces: Interfaces,
    objects: Path,
    harness: Harness,
    *,
    make: Callable[[Key, DataPath, Forget], AnyWorld],
    sizes: Sizes,
) -> Iterator[AnyWorld]:
    """A data path with its established connections, for as long as it is needed."""
    kind = "stateless" if key.stateless else key.feature or key.kind.name.lower()
    place = pins.folder(f"bench-{os.getpid()}-{key.method}-{kind}-{key.connections}")
    path = None
    forget = None
    try:
        path = DataPath.open(place, sizes)
        forget = Forget(path, objects)
        made = make(key, path, forget)
        made.configure(interfaces)
        made.establish(harness)
        yield made
    finally:
        if forget is not None:
            forget.close()
        if path is not None:
            path.close()
        remove(place)


@contextmanager
def world(
    key: Key,
    new: int,
    interfaces: Interfaces,
    objects: Path,
    harness: Harness,
    *,
    sizes: Sizes | None = None,
) -> Iterator[World]:
    """A data path with room for ``new`` connections besides its established ones."""
    sizes = sizes or room(key, new)
    with opened(key, interfaces, objects, harness, make=World, sizes=sizes) as made:
        yield made
