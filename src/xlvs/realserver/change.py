# SPDX-License-Identifier: Apache-2.0
"""``up`` and ``down``: from one set of virtual addresses to another.

Every step is written down before it is done, so that ``down`` restores what was
there also after a step that failed or a process that was killed.
"""

from __future__ import annotations

from collections.abc import Sequence

from xlvs.model.problem import Code, Problem
from xlvs.realserver import wanted
from xlvs.realserver.decap import Addresses, Tunnels, Virtual
from xlvs.realserver.host import Host
from xlvs.realserver.state import Decapsulation, Record, Store, Sysctl, Vip
from xlvs.realserver.tunnel import IPIP, Tunnel


class Changer:
    """Applies changes to one host and keeps its record."""

    def __init__(self, host: Host, tunnels: Tunnels, store: Store) -> None:
        self._host = host
        self._tunnels = tunnels
        self._store = store
        self._record = store.load()

    def up(
        self,
        vips: Sequence[str],
        method: str,
        interfaces: Sequence[str],
        tunnel: Tunnel = IPIP,
    ) -> Record:
        """Take these virtual addresses, too; by TUN through such a tunnel. Raises Problem.

        A first ``up`` that fails leaves nothing behind.
        """
        known = self._host.interfaces()
        for interface in interfaces:
            if interface not in known:
                raise Problem(
                    Code.INVALID,
                    f"there is no interface {interface} here: there are {', '.join(known)}",
                    "--interface",
                )
        record = self._record
        was_empty = not record.vips
        try:
            record.interfaces = tuple(dict.fromkeys((*record.interfaces, *interfaces)))
            self._intend(vips, method, tunnel)
            # Before the addresses are on lo: no ARP request may be answered in between.
            self._write_sysctls()
            self._put_on_lo()
            self._decapsulate()
        except BaseException:
            if was_empty:
                self.down([])
            raise
        return record

    def down(self, vips: Sequence[str]) -> Record:
        """Give up these virtual addresses, all of them if none is named.

        Without any left everything is as it was before the first ``up``. Raises
        Problem if one of them is not there.
        """
        record = self._record
        for vip in vips:
            if vip not in record.vips:
                raise Problem(
                    Code.INVALID, f"{vip} was not set up by `xlvs realserver up` here", "--vip"
                )
        gone = list(vips) or list(record.vips)
        for vip in gone:
            if record.vips[vip].added:
                self._host.remove_from_lo(vip)
            del record.vips[vip]
            self._save()
        self._decapsulate()
        if not record.vips:
            self._restore_sysctls()
            record.interfaces = ()
            self._save()
        return record

    def _save(self) -> None:
        self._store.save(self._record)

    def _intend(self, vips: Sequence[str], method: str, tunnel: Tunnel) -> None:
        present = {address for interface, address in self._host.addresses() if interface == "lo"}
        for vip in vips:
            before = self._record.vips.get(vip)
            added = vip not in present or (before is not None and before.added)
            self._record.vips[vip] = (
                Vip(method, added, tunnel.kinds, tunnel.port, tunnel.overhead(vip))
                if method == "tun"
                else Vip(method, added)
            )
            self._save()

    def _put_on_lo(self) -> None:
        for vip, what in self._record.vips.items():
            if what.added:
                self._host.add_to_lo(vip)

    def _write_sysctls(self) -> None:
        record = self._record
        for path, value in wanted.sysctls(record.interfaces, self._host.read).items():
            now = self._host.read(path)
            before = record.sysctls.get(path)
            record.sysctls[path] = Sysctl(before.before if before else str(now), value)
            self._save()
            self._host.write(path, value)

    def _restore_sysctls(self) -> None:
        record = self._record
        for path, value in list(record.sysctls.items()):
            # Somebody else's later decision stays.
            if self._host.read(path) == value.wrote:
                self._host.write(path, value.before)
            del record.sysctls[path]
            self._save()

    def _decapsulate(self) -> None:
        """On every interface exactly if a TUN address is left."""
        record = self._record
        inner = tuple(
            Virtual(vip, what.tunnels, what.port, what.overhead)
            for vip, what in record.vips.items()
            if what.method == "tun"
        )
        record.outer = self.outer() if inner else ()
        for interface in record.interfaces:
            before = record.decapsulation.get(interface)
            if inner:
                self._attach(interface, Addresses(inner, record.outer), before)
            elif before:
                self._tunnels.detach(interface, before)
                del record.decapsulation[interface]
            self._save()

    def _attach(self, interface: str, addresses: Addresses, before: Decapsulation | None) -> None:
        record = self._record
        intended = self._tunnels.intend(interface, addresses, before)
        if before and before.hook != intended.hook:
            self._tunnels.detach(interface, before)
        record.decapsulation[interface] = intended
        self._save()
        record.decapsulation[interface] = self._tunnels.attach(interface, addresses, intended)

    def outer(self) -> tuple[str, ...]:
        """Addresses of this host that a director may send tunnel packets to."""
        return outer_addresses(self._host, self._record)


def outer_addresses(host: Host, record: Record) -> tuple[str, ...]:
    """Every address of the host but those of lo and the virtual ones."""
    return tuple(
        address
        for interface, address in host.addresses()
        if interface != "lo" and address not in record.vips
    )
