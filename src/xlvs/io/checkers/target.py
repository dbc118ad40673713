# SPDX-License-Identifier: Apache-2.0
"""Whom a probe asks, and from where."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from xlvs.datapath.observed import Way
from xlvs.model.service import Address, Destination, Service


class Target(NamedTuple):
    """A real server, as a probe needs to know it.

    ``virtualhost``: the real server's, else the virtual server's. The others only matter to
    ``through_datapath``: ``way`` is the next hop to it, ``source`` the director's own address to
    ask from, if not the way's (one among clients' addresses finds more: rp_filter, the route
    back), ``far`` one that a NAT server can reach by its default route only.
    """

    address: Address
    port: int
    virtualhost: str = ""
    service: Service | None = None
    destination: Destination | None = None
    way: Way | None = None
    source: Address | None = None
    far: Address | None = None


class Origin(NamedTuple):
    """Where a probe comes from: keepalived's bindto, bind_port, bind_if, fwmark."""

    address: Address | None = None
    port: int = 0
    interface: str = ""
    mark: int = 0


class Connecting(Protocol):
    """What a check and a ``host`` of SMTP_CHECK have in common."""

    @property
    def connect_ip(self) -> Address | None: ...  # noqa: D102
    @property
    def connect_port(self) -> int | None: ...  # noqa: D102
    @property
    def bind_ip(self) -> Address | None: ...  # noqa: D102
    @property
    def bind_port(self) -> int: ...  # noqa: D102
    @property
    def bind_interface(self) -> str: ...  # noqa: D102
    @property
    def fwmark(self) -> int: ...  # noqa: D102


def peer(options: Connecting, target: Target) -> tuple[Address, int]:
    """Where to."""
    address = target.address if options.connect_ip is None else options.connect_ip
    port = target.port if options.connect_port is None else options.connect_port
    return address, port


def origin(options: Connecting) -> Origin:
    """Where from."""
    return Origin(options.bind_ip, options.bind_port, options.bind_interface, options.fwmark)
