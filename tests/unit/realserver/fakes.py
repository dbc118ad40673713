# SPDX-License-Identifier: Apache-2.0
"""A host and its tunnels in memory, which can be made to fail at any step."""

from __future__ import annotations

import copy

import msgspec

from xlvs.model.problem import Code, Problem
from xlvs.realserver.decap import Addresses
from xlvs.realserver.state import Decapsulation

CONF = "net/ipv4/conf"


class FakeHost:
    """Two interfaces, defaults of a fresh Linux; ``fail_at`` counts changes."""

    def __init__(self) -> None:
        self.settings = {
            f"{CONF}/{name}/{setting}": "0"
            for name in ("all", "lo", "eth0", "eth1")
            for setting in ("arp_ignore", "arp_announce", "rp_filter")
        }
        self.present = [
            ("lo", "127.0.0.1"),
            ("lo", "::1"),
            ("eth0", "10.2.0.11"),
            ("eth0", "fd00:2::11"),
            ("eth1", "10.7.0.11"),
        ]
        self.routes: dict[str, str] = {"192.0.2.1": "eth0", "2001:db8::1": "eth0"}
        self.changes = 0
        self.fail_at = -1

    def change(self) -> None:
        self.changes += 1
        if self.changes == self.fail_at:
            raise Problem(Code.INTERNAL, "made to fail")

    def snapshot(self) -> object:
        return copy.deepcopy((self.settings, sorted(self.present)))

    def interfaces(self) -> list[str]:
        return ["lo", "eth0", "eth1"]

    def read(self, sysctl: str) -> str | None:
        return self.settings.get(sysctl)

    def write(self, sysctl: str, value: str) -> None:
        self.change()
        self.settings[sysctl] = value

    def addresses(self) -> list[tuple[str, str]]:
        return list(self.present)

    def add_to_lo(self, address: str) -> None:
        self.change()
        if ("lo", address) not in self.present:
            self.present.append(("lo", address))

    def remove_from_lo(self, address: str) -> None:
        self.change()
        if ("lo", address) in self.present:
            self.present.remove(("lo", address))

    def route(self, source: str, target: str) -> str | None:
        assert ("lo", source) in self.present
        return self.routes.get(target)


class FakeTunnels:
    """Programs by interface: (id, inner addresses)."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host
        self.attached: dict[str, tuple[int, Addresses]] = {}
        self._next = 100

    def intend(
        self, interface: str, addresses: Addresses, before: Decapsulation | None
    ) -> Decapsulation:
        del interface
        known = before or Decapsulation("tc", 0, clsact=True)
        return msgspec.structs.replace(known, lowers=addresses.lowers)

    def attach(
        self, interface: str, addresses: Addresses, intended: Decapsulation
    ) -> Decapsulation:
        self._host.change()
        self._next += 1
        self.attached[interface] = (self._next, addresses)
        mss = self._next + 1000 if intended.lowers else 0
        return msgspec.structs.replace(intended, program=self._next, mss=mss)

    def detach(self, interface: str, what: Decapsulation) -> None:
        del what
        self._host.change()
        self.attached.pop(interface, None)

    def program(self, interface: str, hook: str) -> int:
        number = self.attached.get(interface, (0, None))[0]
        return number + 1000 if number and hook == "egress" else number
