# SPDX-License-Identifier: Apache-2.0
"""The network as data: one client, two real servers, and a director for each way.

::

    client --c1--- eth0 director 1 eth1 --- r1 server 1
                                   eth2 --- r1 server 2
    client --c2--- eth0 director 2 ...
    client --x1--------------------------- x0 server 1    answers of DR
    client --x2--------------------------- x0 server 2

Every director has wires of its own, so no row meets what another one has set up, and
rows can be measured in turn without a change. Which director a packet takes is decided
by the address that the client sends to; which way its answer takes, by the address that
the client has towards this director. No policy rules, no bridges. Pure.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

SERVERS = (1, 2)
METHODS = ("nat", "dr", "tun")
HTTP_PORT, BULK_PORT, SINK_PORT = 80, 5201, 9
HAPROXY_HTTP, HAPROXY_BULK = 8001, 5301
NGINX_HTTP, NGINX_BULK = 8002, 5302
CLIENT_DEVICE, SERVER_DEVICES, FLOOD_DEVICE = "eth0", ("eth1", "eth2"), "eth3"


class Wires(StrEnum):
    """Offloads of a director's wires, both ends.

    ON: as veth has them. OFF: each packet is one of the MTU's size. XDP: what native XDP
    on veth wants of the other ends: no checksum left to the card, and GRO, which makes
    the device take frames.
    """

    ON = "on"
    OFF = "off"
    XDP = "xdp"


class Director(NamedTuple):
    """``hook``: of xlvs, "" for the others. ``number``: in addresses and device names."""

    name: str
    number: int
    wires: Wires
    hook: str = ""

    @property
    def at_client(self) -> str:
        """The client's device."""
        return f"c{self.number}"

    @property
    def routes(self) -> bool:
        """It does nothing but to route; to both servers alike for its virtual address."""
        return self.name.startswith("route")

    @property
    def flooded(self) -> bool:
        """It has one more wire from the client.

        On a wire that is shared the flood would mostly fill the device's ring, and the
        figure would be of that.
        """
        return self.name.startswith("flood")

    @property
    def syn_proxy(self) -> bool:
        """Its NAT web service answers SYNs itself."""
        return "syn-proxy" in self.name

    @property
    def flooding(self) -> str:
        """The network of the flood's clients."""
        return f"{self.flows}/16"

    @property
    def devices(self) -> tuple[str, ...]:
        """All network devices of the director."""
        more = (FLOOD_DEVICE,) if self.flooded else ()
        return (CLIENT_DEVICE, *SERVER_DEVICES, *more)

    @property
    def at_flood(self) -> str:
        """The client's end of that wire."""
        return f"f{self.number}"

    @property
    def at_server(self) -> str:
        """A real server's device."""
        return f"r{self.number}"

    @property
    def address(self) -> str:
        """Towards the client."""
        return f"10.70.{self.number}.1"

    @property
    def client(self) -> str:
        """The client towards this director."""
        return f"10.70.{self.number}.2"

    @property
    def client_of_dr(self) -> str:
        """The same for DR: servers answer it without the director."""
        return f"10.70.{self.number}.3"

    @property
    def flows(self) -> str:
        """First address of the generator's clients, a network of 16 bits."""
        return f"10.{100 + self.number}.0.0"

    def clients(self, to: str, generator: int = 0) -> str:
        """First address of a generator's clients of a service, or of what else is there.

        Each virtual address has its own: connections of one client's port share a line of
        the table, and rows would depend on which of them was first.
        """
        vips = [self.vip(method) for method in METHODS]
        which = vips.index(to) if to in vips else 0
        return f"10.{100 + self.number}.{32 * which + 128 * generator}.0"

    def towards(self, server: int) -> str:
        """The director's address towards a real server."""
        return f"10.{70 + server}.{self.number}.1"

    def server(self, server: int) -> str:
        """A real server's address towards this director."""
        return f"10.{70 + server}.{self.number}.2"

    def vip(self, method: str) -> str:
        """The virtual address of a forwarding method."""
        return f"10.69.{self.number}.{1 + METHODS.index(method)}"


_WAYS = (
    ("route", Wires.ON, ""),
    ("nft", Wires.ON, ""),
    ("proxy", Wires.ON, ""),
    ("tc", Wires.ON, "tc"),
    ("xdp", Wires.XDP, "xdp"),
    ("route-off", Wires.OFF, ""),
    ("nft-off", Wires.OFF, ""),
    ("proxy-off", Wires.OFF, ""),
    ("route-xdp", Wires.XDP, ""),
    ("floor", Wires.XDP, ""),
    # Packets without connections of TCP fill a table that requests should find empty.
    ("udp-tc", Wires.ON, "tc"),
    ("udp-xdp", Wires.XDP, "xdp"),
    # Of their own: what a flood leaves in their tables is watched until it is gone.
    ("flood-tc", Wires.ON, "tc"),
    ("flood-xdp", Wires.XDP, "xdp"),
    ("flood-nft", Wires.ON, ""),
    ("flood-syn-proxy-tc", Wires.ON, "tc"),
    ("flood-syn-proxy-xdp", Wires.XDP, "xdp"),
)
DIRECTORS = {
    name: Director(name, n, how, hook) for n, (name, how, hook) in enumerate(_WAYS, start=1)
}


def direct(server: int) -> tuple[str, str]:
    """The way past the directors: the client's address, the server's."""
    return f"10.79.{server}.1", f"10.79.{server}.2"


def idle(cpu: int) -> str:
    """A device of the client that nothing goes by."""
    return f"idle{cpu}"


def wires(names: dict[str, str], cpus: int) -> list[str]:
    """``ip -batch`` lines for all cables; ``names``: a host's namespace."""
    # As many queues as CPUs: frames that a CPU sends by XDP stay on it.
    queues = f"numtxqueues {cpus} numrxqueues {cpus}"
    lines = []
    for d in DIRECTORS.values():
        many = queues if d.wires is Wires.XDP else ""
        here = f"netns {names[d.name]} {many}"
        lines.append(
            f"link add {d.at_client} netns {names['client']} {many}"
            f" type veth peer name {CLIENT_DEVICE} {here}"
        )
        if d.flooded:
            end = f"type veth peer name {FLOOD_DEVICE} {here}"
            lines.append(f"link add {d.at_flood} netns {names['client']} {many} {end}")
        lines += [
            f"link add {d.at_server} netns {names[f'server{n}']} {many}"
            f" type veth peer name {device} {here}"
            for n, device in zip(SERVERS, SERVER_DEVICES, strict=True)
        ]
    lines += [
        f"link add x{n} netns {names['client']} type veth peer name x0 netns {names[f'server{n}']}"
        for n in SERVERS
    ]
    return lines


def _source_of_dr(d: Director) -> str:
    return d.client if d.routes else d.client_of_dr


def client(cpus: int) -> list[str]:
    """Addresses and routes of the client."""
    lines = ["link set lo up", *(f"link add {idle(cpu)} type veth" for cpu in range(cpus))]
    for d in DIRECTORS.values():
        lines += [
            f"addr add {d.client}/24 dev {d.at_client}",
            f"addr add {d.client_of_dr}/24 dev {d.at_client}",
            f"link set {d.at_client} up",
            f"route add {d.vip('nat')}/32 via {d.address}",
            f"route add {d.vip('dr')}/32 via {d.address} src {_source_of_dr(d)}",
            f"route add {d.vip('tun')}/32 via {d.address}",
            *(f"route add {d.server(n)}/32 via {d.address}" for n in SERVERS),
        ]
        if d.flooded:
            lines.append(f"link set {d.at_flood} up")
    for n in SERVERS:
        lines += [f"addr add {direct(n)[0]}/24 dev x{n}", f"link set x{n} up"]
    return lines


def director(d: Director) -> list[str]:
    """Addresses and routes of a director; the generator's clients are behind the client."""
    lines = [
        "link set lo up",
        f"addr add {d.address}/24 dev {CLIENT_DEVICE}",
        f"link set {CLIENT_DEVICE} up",
        *(f"addr add {d.vip(m)}/32 dev lo" for m in METHODS if not d.routes),
    ]
    for n, device in zip(SERVERS, SERVER_DEVICES, strict=True):
        lines += [f"addr add {d.towards(n)}/24 dev {device}", f"link set {device} up"]
    if d.routes:
        ways = " ".join(f"nexthop via {d.server(n)}" for n in SERVERS)
        lines.append(f"route add {d.vip('dr')}/32 {ways}")
    if d.flooded:
        lines.append(f"link set {FLOOD_DEVICE} up")
    return [*lines, f"route add {d.flows}/16 via {d.client}"]


def server(n: int) -> list[str]:
    """Addresses and routes of a real server."""
    lines = ["link set lo up", f"addr add {direct(n)[1]}/24 dev x0", "link set x0 up"]
    for d in DIRECTORS.values():
        lines += [
            f"addr add {d.server(n)}/24 dev {d.at_server}",
            f"link set {d.at_server} up",
            f"route add {d.client}/32 via {d.towards(n)}",
            f"route add {d.flows}/16 via {d.towards(n)}",
            f"route add {d.client_of_dr}/32 via {direct(n)[0]}",
        ]
        if d.hook or d.routes:
            lines.append(f"addr add {d.vip('dr')}/32 dev lo")
    return lines
