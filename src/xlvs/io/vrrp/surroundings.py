# SPDX-License-Identifier: Apache-2.0
"""Links and addresses of this network namespace, as far as VRRP looks at them."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface

from xlvs.io.vrrp import netlink
from xlvs.io.vrrp.netlink import AddressSeen, Interface, LinkSeen, Seen
from xlvs.model.service import Address

_RECEIVE = 1 << 16
_AT_ONCE = 64


@dataclass(slots=True)
class Link:
    """An interface. ``addresses``: to (secondary, usable)."""

    index: int
    name: str
    mac: bytes
    up: bool
    addresses: dict[Interface, tuple[bool, bool]] = field(default_factory=dict)

    def usable(self) -> tuple[Address, ...]:
        """Addresses that packets can come from, primary ones first."""
        fit = [(secondary, one.ip) for one, (secondary, ok) in self.addresses.items() if ok]
        return tuple(ip for _, ip in sorted(fit, key=lambda pair: pair[0]))


class Surroundings:
    """``on_link(name, up)``, ``on_addresses(name, all)`` and ``on_gone(name, address)``."""

    def __init__(
        self,
        on_link: Callable[[Link], None],
        on_addresses: Callable[[Link], None],
        on_gone: Callable[[Link, IPv4Interface | IPv6Interface], None],
    ) -> None:
        self._on_link = on_link
        self._on_addresses = on_addresses
        self._on_gone = on_gone
        self._monitor = netlink.open_monitor()
        self._changed: dict[int, Link] = {}
        self.links: dict[int, Link] = {}

    def fileno(self) -> int:
        """Readable when something changed."""
        return self._monitor.fileno()

    def close(self) -> None:
        """No more changes."""
        self._monitor.close()

    def by_name(self, name: str) -> Link | None:
        """An interface by its name."""
        return next((link for link in self.links.values() if link.name == name), None)

    def load(self) -> None:
        """Look at everything; what is no more is told as gone."""
        seen = netlink.dump()
        present = {one.index for one in seen if isinstance(one, LinkSeen)}
        for index in [index for index in self.links if index not in present]:
            link = self.links[index]
            self._apply(LinkSeen(index, link.name, link.mac, up=False, gone=True))
        addresses: dict[int, set[Interface]] = {}
        for one in seen:
            if isinstance(one, AddressSeen):
                addresses.setdefault(one.index, set()).add(one.address)
        for link in list(self.links.values()):
            for address in [a for a in link.addresses if a not in addresses.get(link.index, ())]:
                self._apply(AddressSeen(link.index, address, False, False, gone=True))
        for one in seen:
            self._apply(one)
        self._tell_addresses()

    def read(self) -> None:
        """Take what the kernel has sent; a bounded part of it."""
        self._read()
        self._tell_addresses()

    def _tell_addresses(self) -> None:
        # Once per link, however many addresses: a master with a thousand of them adds them all.
        changed, self._changed = self._changed, {}
        for link in changed.values():
            self._on_addresses(link)

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                data = self._monitor.recv(_RECEIVE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.load()  # messages were lost
                return
            for seen in netlink.parse(data):
                self._apply(seen)

    def _apply(self, seen: Seen) -> None:
        if isinstance(seen, LinkSeen):
            self._apply_link(seen)
        else:
            self._apply_address(seen)

    def _apply_link(self, seen: LinkSeen) -> None:
        link = self.links.get(seen.index)
        if seen.gone:
            if link is not None:
                del self.links[seen.index]
                link.up = False
                self._on_link(link)
            return
        if link is None:
            link = self.links[seen.index] = Link(seen.index, seen.name, seen.mac, seen.up)
            self._on_link(link)
            return
        renamed = seen.name != link.name
        if renamed:
            link.up = False
            self._on_link(link)
        changed = renamed or (link.up, link.mac) != (seen.up, seen.mac)
        link.name, link.mac, link.up = seen.name, seen.mac, seen.up
        if changed:
            self._on_link(link)

    def _apply_address(self, seen: AddressSeen) -> None:
        link = self.links.get(seen.index)
        if link is None:
            return
        if seen.gone:
            if link.addresses.pop(seen.address, None) is not None:
                self._changed[link.index] = link
                self._on_gone(link, seen.address)
            return
        state = seen.secondary, seen.usable
        if link.addresses.get(seen.address) != state:
            link.addresses[seen.address] = state
            self._changed[link.index] = link
