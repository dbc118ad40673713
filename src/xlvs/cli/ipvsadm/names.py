# SPDX-License-Identifier: Apache-2.0
"""Names of hosts and services, in both directions, as the system's resolver has them."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address
from typing import Protocol

from xlvs.model.service import Address


class Names(Protocol):
    """A resolver. None: there is no such name, or the address has none."""

    def __hash__(self) -> int:
        """It is itself: what it was asked once is remembered."""

    def address(self, host: str) -> IPv4Address | None:
        """The first IPv4 address of a host: ipvsadm looks for no others."""

    def port(self, service: str, protocol: str) -> int | None:
        """The port of a service of ``tcp``, ``udp`` or ``sctp``."""

    def host(self, address: Address) -> str | None:
        """The name of an address."""

    def service(self, port: int, protocol: str) -> str | None:
        """The service of a port."""


class SystemNames:
    """The machine's own. Each question is asked once."""

    def __init__(self) -> None:
        self._hosts: dict[Address, str | None] = {}
        self._services: dict[tuple[int, str], str | None] = {}

    def address(self, host: str) -> IPv4Address | None:
        """See Names."""
        try:
            return IPv4Address(socket.gethostbyname(host))
        except (OSError, TypeError, ValueError):  # not there; or no name at all (idna, NUL)
            return None

    def port(self, service: str, protocol: str) -> int | None:
        """See Names."""
        try:
            return socket.getservbyname(service, protocol)
        except (OSError, TypeError, ValueError):
            return None

    def host(self, address: Address) -> str | None:
        """See Names."""
        if address not in self._hosts:
            try:
                self._hosts[address] = socket.gethostbyaddr(str(address))[0]
            except (OSError, ValueError):
                self._hosts[address] = None
        return self._hosts[address]

    def service(self, port: int, protocol: str) -> str | None:
        """See Names."""
        key = port, protocol
        if key not in self._services:
            try:
                self._services[key] = socket.getservbyport(port, protocol)
            except (OSError, OverflowError):
                self._services[key] = None
        return self._services[key]
