# SPDX-License-Identifier: Apache-2.0
"""Links, addresses, routes and neighbours of this network namespace, by netlink.

Keeps one ``Observed`` up to date, says when it changed, and asks the kernel for the
neighbours that next hops need.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Collection, Iterable
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from xlvs.datapath import keepalive
from xlvs.datapath.addresses import family, unpacked
from xlvs.datapath.keepalive import Target
from xlvs.datapath.observed import NUD_STALE, Link, Neighbour, Observed, Route
from xlvs.datapath.records import Destination, DestinationFlag
from xlvs.io.routing import Routing
from xlvs.io.tasks import Tasks
from xlvs.model.service import Address

DEBOUNCE = 0.005
"""Seconds that changes are collected before anybody is told."""

PROBE_PERIOD = 1.0
"""Seconds between two looks at neighbours that do not answer or grow stale."""

# Addresses that nobody has (RFC 5737, RFC 3849): the way to them is the default route.
_ELSEWHERE = (ip_address("198.51.100.1"), ip_address("2001:db8::1"))

_FORGET_ASKED = 300.0  # how long a neighbour that only packets asked for is kept alive
_ASKED_MAX = 4096

_ARPHRD_ETHER = 1
_IFF_UP = 1
_IFF_LOWER_UP = 1 << 16
_NTF_USE = 1

_CROWDED = (
    "the kernel's table of neighbours is full: some real servers on the director's own links are "
    "not reached until net.ipv%d.neigh.default.gc_thresh3 is greater than their number"
)

log = logging.getLogger(__name__)

Message = Any
"""A message of pyroute2's, which has no types."""

_LINKS = ("RTM_NEWLINK", "RTM_DELLINK", "RTM_NEWADDR", "RTM_DELADDR")
_ROUTES = ("RTM_NEWROUTE", "RTM_DELROUTE", "RTM_NEWRULE", "RTM_DELRULE")
_NEIGHBOURS = ("RTM_NEWNEIGH", "RTM_DELNEIGH")


class Surroundings:
    """What the kernel says. ``on_change`` is called in the loop after things changed."""

    def __init__(self, tasks: Tasks, on_change: Callable[[], None]) -> None:
        self._tasks = tasks
        self._on_change = on_change
        self._ask = AsyncIPRoute()
        self._events = AsyncIPRoute()
        self._routing = Routing()
        self._links: dict[int, Link] = {}
        self._neighbours: dict[Target, Neighbour] = {}
        self._routes: dict[Address, Route] = {}
        self._targets: set[Target] = set()
        self._gateways: frozenset[Target] = frozenset()
        self._asked: dict[Target, float] = {}
        self._stale: set[str] = set()
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self.revision = 0
        """Raised when anything changes that next hops of ``want`` or links depend on."""
        self._snapshot: Observed | None = None
        self._answered = asyncio.Event()
        self._crowded = False  # the kernel had no room for a neighbour

    @property
    def observed(self) -> Observed:
        """All of it, as a value; the same one until something is otherwise."""
        if self._snapshot is None:
            self._snapshot = Observed(
                MappingProxyType(dict(self._links)),
                MappingProxyType(dict(self._neighbours)),
                MappingProxyType(dict(self._routes)),
            )
        return self._snapshot

    def link(self, name: str) -> Link | None:
        """An interface by its name."""
        return next((link for link in self._links.values() if link.name == name), None)

    async def start(self) -> None:
        """Listen, then look: nothing that changes between is lost."""
        await self._events.bind()
        self._tasks.start("netlink events", self._listen())
        await self._read_links()
        await self._read_neighbours()
        await self._read_gateways()
        self._tasks.start("surroundings", self._follow())
        self._tasks.start("neighbours", self._keep_alive())

    async def stop(self) -> None:
        """Close the sockets. Tasks end by ``Tasks.stop``."""
        self._events.close()
        self._ask.close()
        self._routing.close()

    async def learn(self, addresses: Iterable[Address]) -> None:
        """Know the routes to these addresses before they are needed."""
        new = [each for each in addresses if each not in self._routes]
        if new:
            self._routes.update(await self._routing.routes(new))
            self._snapshot = None

    def remember(self, destinations: Iterable[Destination]) -> None:
        """Believe next hops that the running data path uses, until the kernel knows better."""
        for each in destinations:
            if each.flags & DestinationFlag.RESOLVED:
                target = (each.route_ifindex, unpacked(each.gateway))
                self._neighbours.setdefault(target, Neighbour(each.next_hop.dst_mac, NUD_STALE))
        self._otherwise()

    def forget_others(self, addresses: Collection[Address]) -> None:
        """Routes to other addresses are of no interest any more."""
        others = [each for each in self._routes if each not in addresses]
        for address in others:
            del self._routes[address]
        if others:
            self._snapshot = None

    def want(self, targets: Iterable[Target]) -> None:
        """Keep exactly these neighbours alive (and those that packets asked for)."""
        wanted = set(targets)
        if wanted != self._targets:
            self._targets = wanted
            self._wake.set()

    def want_too(self, targets: Iterable[Target]) -> None:
        """Keep these neighbours alive as well."""
        fresh = set(targets) - self._targets
        if fresh:
            self._targets |= fresh
            self._wake.set()

    def asked_for(self, ifindex: int, address: Address) -> None:
        """A packet needed this neighbour: find it, and keep it for a while."""
        if len(self._asked) < _ASKED_MAX:
            self._asked[ifindex, address] = asyncio.get_running_loop().time()
            self._wake.set()

    async def resolved(self, targets: Iterable[Target], patience: float) -> None:
        """Wait until these neighbours are known, at most ``patience`` seconds."""
        deadline = asyncio.get_running_loop().time() + patience
        unknown = set(targets)
        while True:
            self._answered.clear()
            unknown = {target for target in unknown if not self._usable(target)}
            if not unknown:
                return
            try:
                async with asyncio.timeout_at(deadline):
                    await self._answered.wait()
            except TimeoutError:
                return

    def _usable(self, target: Target) -> bool:
        neighbour = self._neighbours.get(target)
        return neighbour is not None and neighbour.usable

    # ---- following

    async def _listen(self) -> None:
        while True:
            try:
                async for message in self._events.get():  # ends after each batch
                    self._note(message)
            except (NetlinkError, OSError) as error:
                log.warning("netlink lost messages (%s); looking again", error)
                self._stale.update(("links", "routes", "neighbours"))
                self._changed.set()
                await asyncio.sleep(DEBOUNCE)  # not in a tight circle, if it goes on

    def _note(self, message: Message) -> None:
        event = message.get("event")  # absent where pyroute2 does not know the kind of message
        if event in _NEIGHBOURS:
            if not self._note_neighbour(message, gone=event == "RTM_DELNEIGH"):
                return  # none of ours: clients come and go
            self._answered.set()
        elif event in _LINKS:
            self._stale.update(("links", "routes"))
        elif event in _ROUTES:
            self._stale.add("routes")
        else:
            return
        self._changed.set()

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(DEBOUNCE)
            self._changed.clear()
            stale, self._stale = self._stale, set()
            if "links" in stale:
                await self._read_links()
            if "neighbours" in stale:
                await self._read_neighbours()
            if "routes" in stale:
                # Those that are of no interest any more meanwhile are not brought back.
                found = await self._routing.routes(list(self._routes))
                self._routes.update((each, found[each]) for each in found.keys() & self._routes)
                self._otherwise()
                await self._read_gateways()
            self._on_change()

    async def _keep_alive(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            oldest = loop.time() - _FORGET_ASKED
            self._asked = {t: since for t, since in self._asked.items() if since > oldest}
            wanted = self._targets | self._gateways | self._asked.keys()
            await self._probe_all(keepalive.due(self.observed, wanted))
            try:
                async with asyncio.timeout(PROBE_PERIOD):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _probe_all(self, targets: Iterable[Target]) -> None:
        """As many as there is room for in the kernel's table: first those that have a place."""
        observed = self.observed
        for target in sorted(targets, key=lambda each: each not in observed.neighbours):
            try:
                await self._probe(target)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                if not self._crowded:
                    log.warning(_CROWDED, target[1].version)
                self._crowded = True
                return
        self._crowded = False

    async def _probe(self, target: Target) -> None:
        """Let the kernel ask for a neighbour, as a packet to it would. Raises OSError."""
        ifindex, address = target
        try:
            await self._ask.neigh(
                "replace",
                dst=str(address),
                ifindex=ifindex,
                family=family(address),
                flags=_NTF_USE,
                state=0,
            )
        except NetlinkError:
            return  # the link went away; its event says so

    # ---- reading

    async def _read_links(self) -> None:
        addresses: dict[int, list[Address]] = {}
        async for message in await self._ask.addr("dump"):
            text = message.get("IFA_LOCAL") or message.get("IFA_ADDRESS")
            if text:
                addresses.setdefault(message["index"], []).append(ip_address(text))
        links = {}
        async for message in await self._ask.link("dump"):
            link = _link(message, tuple(addresses.get(message["index"], ())))
            links[link.ifindex] = link
        self._links = links
        self._neighbours = {t: n for t, n in self._neighbours.items() if t[0] in links}
        self._otherwise()

    async def _read_neighbours(self) -> None:
        async for message in await self._ask.neigh("dump"):
            self._note_neighbour(message, gone=False)

    async def _read_gateways(self) -> None:
        """Most replies leave by the default route: its routers are known beforehand."""
        ways = await self._routing.routes(_ELSEWHERE)
        self._gateways = frozenset(
            (way.ifindex, way.gateway) for way in ways.values() if way.gateway
        )

    def _note_neighbour(self, message: Message, *, gone: bool) -> bool:
        """Note an entry; whether it changed and a destination needs it."""
        text = message.get("NDA_DST")
        if not text:
            return False
        target = (message["ifindex"], ip_address(text))
        new = None
        if not gone:
            mac = message.get("NDA_LLADDR") or ""
            new = Neighbour(_mac(mac), message["state"])
        old = self._neighbours.get(target)
        if target in self._targets or target in self._asked:
            new = keepalive.remembered(old, new)
        if new is None:
            self._neighbours.pop(target, None)
        else:
            self._neighbours[target] = new
        if new == old:
            return False
        self._snapshot = None
        if target not in self._targets:
            return False
        self._otherwise()
        return True

    def _otherwise(self) -> None:
        self._snapshot = None
        self.revision += 1

    async def route(self, address: Address) -> Route:
        """The route to an address that is asked for once."""
        return self._routes.get(address) or (await self._routing.routes([address]))[address]


def _mac(text: str) -> bytes:
    try:
        return bytes.fromhex(text.replace(":", ""))
    except ValueError:
        return b""


def _link(message: Message, addresses: tuple[Address, ...]) -> Link:
    kind = message.get(("linkinfo", "kind")) or ""
    vlan = 0
    if kind == "vlan":
        vlan = message.get(("linkinfo", "data", "vlan_id")) or 0
    flags = message["flags"]
    return Link(
        ifindex=message["index"],
        name=message.get("ifname"),
        mac=_mac(message.get("address") or ""),
        mtu=message.get("mtu") or 0,
        up=bool(flags & _IFF_UP and flags & _IFF_LOWER_UP),
        ethernet=message["ifi_type"] == _ARPHRD_ETHER,
        kind=kind,
        parent=(message.get("link") or 0) if vlan else 0,
        vlan=vlan,
        addresses=addresses,
    )
