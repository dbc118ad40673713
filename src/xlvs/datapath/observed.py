# SPDX-License-Identifier: Apache-2.0
"""What the director's kernel says about its surroundings, and next hops read from it.

Pure. The values are filled by ``xlvs.io.surroundings`` from netlink.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType
from typing import NamedTuple

from xlvs.datapath.addresses import packed
from xlvs.datapath.records import NO_ADDRESS, NO_MAC, Interface, NextHop
from xlvs.model.service import Address

MTU_MAX = 0xFFFF

# linux/neighbour.h: states in which a neighbour's MAC address may be used.
NUD_INCOMPLETE = 0x01
NUD_REACHABLE = 0x02
NUD_STALE = 0x04
NUD_DELAY = 0x08
NUD_PROBE = 0x10
NUD_FAILED = 0x20
NUD_NOARP = 0x40
NUD_PERMANENT = 0x80
NUD_VALID = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_NOARP | NUD_PERMANENT
NUD_FIXED = NUD_NOARP | NUD_PERMANENT
"""States that the kernel never leaves by itself: nothing to probe."""


class Link(NamedTuple):
    """A network interface. ``parent`` and ``vlan``: of an 802.1Q device, else 0."""

    ifindex: int
    name: str
    mac: bytes
    mtu: int
    up: bool
    ethernet: bool = True
    kind: str = ""
    parent: int = 0
    vlan: int = 0
    addresses: tuple[Address, ...] = ()


class Neighbour(NamedTuple):
    """An entry of the neighbour table; ``state`` in NUD_* bits, ``mac`` empty if unknown."""

    mac: bytes
    state: int

    @property
    def usable(self) -> bool:
        """Whether frames may be sent to this MAC address."""
        return bool(self.state & NUD_VALID) and len(self.mac) == len(NO_MAC)


class Route(NamedTuple):
    """The kernel's answer to "how would you reach this address?".

    ``local``: it is the director's own. ``broadcast``: it is everybody's on a link.
    ``error``: why there is no way, "" if there is.
    """

    ifindex: int = 0
    gateway: Address | None = None
    source: Address | None = None
    local: bool = False
    mtu: int = 0
    error: str = ""
    broadcast: bool = False


class Observed(NamedTuple):
    """Links by index, neighbours by (link, address), routes by destination address."""

    links: Mapping[int, Link] = MappingProxyType({})
    neighbours: Mapping[tuple[int, Address], Neighbour] = MappingProxyType({})
    routes: Mapping[Address, Route] = MappingProxyType({})

    def is_broadcast(self, address: Address) -> bool:
        """Whether this is known to be a link's broadcast address."""
        route = self.routes.get(address)
        return route is not None and route.broadcast

    def mtu(self, name: str) -> int | None:
        """Bytes; None if there is no interface of that name."""
        return next((link.mtu for link in self.links.values() if link.name == name), None)


class Way(NamedTuple):
    """How packets reach an address. ``words`` are the operator's.

    ``gateway`` is the on-link address whose MAC address is wanted, None if there is
    no route; ``ifindex`` the device of the route (a VLAN's own).
    """

    words: str
    local: bool = False
    hop: NextHop | None = None
    gateway: Address | None = None
    source: Address | None = None
    ifindex: int = 0


def way_to(observed: Observed, address: Address) -> Way:
    """The next hop towards an address, as far as it is known."""
    route = observed.routes.get(address, _UNKNOWN)
    if route.local:
        return Way("local", local=True, source=route.source)
    link = observed.links.get(route.ifindex)
    if route.error or link is None:
        return Way(f"unresolved: {route.error or 'the interface of its route is gone'}")
    return _way_by(observed, route, link, address)


_UNKNOWN = Route(error="its route is not known yet")


def _way_by(observed: Observed, route: Route, link: Link, address: Address) -> Way:
    gateway = route.gateway if route.gateway is not None else address
    way = Way("", gateway=gateway, source=route.source, ifindex=link.ifindex)
    if not link.up:
        return way._replace(words=f"unresolved: {link.name} is down")
    carrier = observed.links.get(link.parent) if link.vlan else link
    if not link.ethernet or carrier is None or carrier.vlan:
        return way._replace(words=f"unresolved: {link.name} carries no plain or 802.1Q Ethernet")
    neighbour = observed.neighbours.get((link.ifindex, gateway))
    if neighbour is None or not neighbour.usable:
        return way._replace(words=f"unresolved: no answer from {gateway} on {link.name}")
    hop = NextHop(
        ifindex=carrier.ifindex,
        vlan=link.vlan,
        mtu=min(route.mtu or link.mtu, link.mtu, MTU_MAX),
        dst_mac=neighbour.mac,
        src_mac=link.mac,
    )
    return way._replace(words=f"resolved via {link.name} {neighbour.mac.hex(':')}", hop=hop)


def interfaces(observed: Observed) -> dict[int, Interface]:
    """The map of interfaces: every Ethernet device, with what a packet's way out needs."""
    found = {}
    for link in observed.links.values():
        if not link.ethernet or len(link.mac) != len(NO_MAC):
            continue
        carrier = observed.links.get(link.parent) if link.vlan else link
        if carrier is None or carrier.vlan:
            continue
        found[link.ifindex] = Interface(
            address4=_first(a for a in link.addresses if isinstance(a, IPv4Address)),
            address6=_first(
                sorted(
                    (a for a in link.addresses if isinstance(a, IPv6Address)),
                    key=lambda a: a.is_link_local,
                )
            ),
            carrier=carrier.ifindex,
            vlan=link.vlan,
            mtu=min(link.mtu, MTU_MAX),
            mac=link.mac,
        )
    return found


def _first(addresses: Iterable[Address]) -> bytes:
    for address in addresses:
        return packed(address)
    return NO_ADDRESS
