# SPDX-License-Identifier: Apache-2.0
"""The lab's world as data: hosts, wires, addresses, routes.

::

    clients 10.1.0.0/24        servers 10.2.0.0/24           far 10.3.0.0/24
    client .2 ---+--- .1 director .1 ---+--- .11 .12 .13     .14 .15 .16
                 |                      |    rs1 rs2 rs3     rs4 rs5 rs6
                 +--- .254 router .254 -+                        |
                             +------------------ .254 -----------+

Virtual addresses are 10.0.0.1 .. 10.0.0.4, one per forwarding method; FULLNAT's
local addresses are 10.2.0.101 and 10.2.0.102. Every IPv4 address 10.A.0.B has an
IPv6 twin fd00:A::B.

What each method needs, all at once:

- NAT: the near servers' default route is the director.
- DR: the director and the near servers share a network. Replies, which carry the
  virtual address, go to the client through the router (a policy rule on the source).
- TUN: the far servers are behind the router; replies likewise avoid the director.
- FULLNAT: the far servers have no other route than to the director's network.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DIRECTOR, STANDBY = "director", "standby"
VIP_NETWORK = ("10.0.0.0/24", "fd00::/64")
REPLY_TABLE = 100


@dataclass(frozen=True)
class Network:
    """One Ethernet segment, a bridge in the switch's namespace."""

    name: str
    number: int

    def addresses(self, host: int) -> tuple[str, str]:
        """The host's IPv4 and IPv6 address, without prefix length."""
        return f"10.{self.number}.0.{host}", f"fd00:{self.number}::{host}"

    @property
    def prefixes(self) -> tuple[str, str]:
        """IPv4 and IPv6."""
        return f"10.{self.number}.0.0/24", f"fd00:{self.number}::/64"


CLIENTS = Network("clients", 1)
SERVERS = Network("servers", 2)
FAR = Network("far", 3)


@dataclass(frozen=True)
class Wire:
    """A network card: its device, the segment that it is plugged in, its host number."""

    device: str
    network: Network
    number: int


@dataclass(frozen=True)
class Route:
    """A static route; ``table`` 0 is the main one. ``to`` may be ``default``."""

    to: str
    via: str
    table: int = 0


@dataclass(frozen=True)
class Host:
    """One namespace. ``loopback`` and ``extra`` (device, address) are host addresses."""

    name: str
    wires: tuple[Wire, ...]
    routes: tuple[Route, ...] = ()
    loopback: tuple[str, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()
    replies_by_router: bool = False
    forwards: bool = False
    methods: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, str]:
        """IPv4 and IPv6 address of the first card."""
        return self.wires[0].network.addresses(self.wires[0].number)


@dataclass(frozen=True)
class Plan:
    """A whole topology."""

    name: str
    hosts: tuple[Host, ...]
    vips: dict[str, tuple[str, str]] = field(default_factory=dict)
    local_addresses: tuple[str, ...] = ()

    @property
    def networks(self) -> tuple[Network, ...]:
        """Every segment that somebody is plugged in."""
        seen: dict[str, Network] = {}
        for host in self.hosts:
            for wire in host.wires:
                seen.setdefault(wire.network.name, wire.network)
        return tuple(seen.values())

    @property
    def real_servers(self) -> tuple[Host, ...]:
        """Hosts that serve by some method."""
        return tuple(host for host in self.hosts if host.methods)


METHODS = ("nat", "dr", "tun", "fullnat")
VIPS = {method: (f"10.0.0.{n}", f"fd00::{n}") for n, method in enumerate(METHODS, start=1)}
LOCAL_ADDRESSES = ("10.2.0.101", "10.2.0.102", "fd00:2::101", "fd00:2::102")


def _routes(via: tuple[str, str], *to: tuple[str, str], table: int = 0) -> tuple[Route, ...]:
    return tuple(Route(target[family], via[family], table) for target in to for family in (0, 1))


def _client() -> Host:
    return Host(
        "client",
        (Wire("eth0", CLIENTS, 2),),
        _routes(CLIENTS.addresses(1), VIP_NETWORK)
        + _routes(CLIENTS.addresses(254), SERVERS.prefixes, FAR.prefixes),
    )


def _director() -> Host:
    return Host(
        DIRECTOR,
        (Wire("eth0", CLIENTS, 1), Wire("eth1", SERVERS, 1)),
        _routes(SERVERS.addresses(254), FAR.prefixes),
        loopback=tuple(address for pair in VIPS.values() for address in pair),
        extra=tuple(("eth1", address) for address in LOCAL_ADDRESSES),
        forwards=True,
    )


def _one_of_two(name: str, number: int) -> Host:
    """A director of a pair: what clients and servers know (.1, the VIPs) comes by VRRP."""
    return Host(
        name,
        (Wire("eth0", CLIENTS, number), Wire("eth1", SERVERS, number)),
        _routes(SERVERS.addresses(254), FAR.prefixes),
        forwards=True,
    )


def _router() -> Host:
    return Host(
        "router",
        (Wire("eth0", CLIENTS, 254), Wire("eth1", SERVERS, 254), Wire("eth2", FAR, 254)),
        _routes(CLIENTS.addresses(1), VIP_NETWORK),
        forwards=True,
    )


_DEFAULT = ("default", "default")


def _near(number: int) -> Host:
    return Host(
        f"rs{number}",
        (Wire("eth0", SERVERS, 10 + number),),
        _routes(SERVERS.addresses(1), _DEFAULT)
        + _routes(SERVERS.addresses(254), FAR.prefixes)
        + _routes(SERVERS.addresses(254), _DEFAULT, table=REPLY_TABLE),
        replies_by_router=True,
        methods=("nat", "dr"),
    )


def _far(number: int) -> Host:
    return Host(
        f"rs{number}",
        (Wire("eth0", FAR, 10 + number),),
        _routes(FAR.addresses(254), SERVERS.prefixes)
        + _routes(FAR.addresses(254), _DEFAULT, table=REPLY_TABLE),
        replies_by_router=True,
        methods=("tun", "fullnat"),
    )


def _plan(name: str, near: int, far: int) -> Plan:
    servers = tuple(_near(n) for n in range(1, near + 1))
    servers += tuple(_far(n) for n in range(4, far + 4))
    return Plan(name, (_client(), _director(), _router(), *servers), VIPS, LOCAL_ADDRESSES)


def _pair() -> Plan:
    full = _plan("pair", near=3, far=3)
    others = tuple(host for host in full.hosts if host.name != DIRECTOR)
    pair = (_one_of_two(DIRECTOR, 3), _one_of_two(STANDBY, 4))
    return Plan("pair", (*pair, *others), VIPS, ())


TOPOLOGIES = {
    "full": _plan("full", near=3, far=3),
    "near": _plan("near", near=3, far=0),
    "far": _plan("far", near=0, far=3),
    "pair": _pair(),
}
"""``near`` has what NAT and DR need, ``far`` what TUN and FULLNAT need, ``full`` both.

``pair``: two directors, .3 and .4, agree by VRRP who is .1.
"""
