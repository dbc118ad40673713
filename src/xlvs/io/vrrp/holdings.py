# SPDX-License-Identifier: Apache-2.0
"""The addresses, routes and rules that masters hold."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from xlvs.io.vrrp import netlink
from xlvs.io.vrrp.worker import Worker
from xlvs.model.service import Family
from xlvs.model.vrrp import Instance, StaticNetwork, VirtualAddress, VirtualRoute, VirtualRule
from xlvs.protocols.vrrp.packet import OWNER
from xlvs.protocols.vrrp.router import vmac_name

_GONE = (errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENXIO)
_IP_PATIENCE = 10.0

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Device and address with prefix, as text."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What one instance wants while it is master."""

    addresses: dict[Key, VirtualAddress]
    routes: tuple[VirtualRoute, ...]
    rules: tuple[VirtualRule, ...]
    promote: bool
    """``promote_secondaries``: an address that leaves takes no others with it."""
    shared: bool
    """An owner's addresses may be there without us, and then they stay."""


NOTHING = Holding({}, (), (), promote=False, shared=False)


def holding(instance: Instance) -> Holding:
    """What belongs to an instance."""
    device = vmac_name(instance) or instance.interface
    addresses = {
        (one.device or device, str(one.address)): one
        for one in (*instance.addresses, *instance.excluded)
    }
    return Holding(
        addresses,
        instance.routes,
        instance.rules,
        promote=instance.promote_secondaries,
        shared=instance.priority == OWNER,
    )


class Holdings:
    """Makes the kernel have what masters hold. Nothing here blocks the caller."""

    def __init__(self, loop: asyncio.AbstractEventLoop, remark: Callable[[str], None]) -> None:
        self._loop = loop
        self._remark = remark
        self._addresses = Worker("addresses", loop)
        self._commands = Worker("ip", loop)
        self._requests = netlink.open_requests()
        self._held: dict[str, Holding] = {}
        self._added: set[Key] = set()
        self._found: set[Key] = set()

    def take(self, name: str, wanted: Holding, gate: Callable[[], None] | None = None) -> None:
        """Hold exactly this for an instance. ``gate``: done before addresses are added."""
        before = self._held.get(name, NOTHING)
        self._held[name] = wanted
        if wanted.promote:
            self._addresses.put(partial(_promote, {device for device, _ in wanted.addresses}))
        gone = {key: one for key, one in before.addresses.items() if key not in wanted.addresses}
        self._addresses.put(lambda: self._remove(gone, shared=before.shared))
        if gate is not None:
            self._addresses.put(gate)
        self._addresses.put(lambda: self._add(wanted.addresses))
        # From that thread: a route may need an address, and what is queued there keeps its order.
        self._addresses.put(partial(self._routes, before, wanted))

    def release(self, name: str) -> None:
        """Hold nothing for an instance."""
        before = self._held.pop(name, None)
        if before is None:
            return
        self._addresses.put(partial(self._routes, before, NOTHING))
        self._addresses.put(lambda: self._remove(before.addresses, shared=before.shared))

    def clear(self, leftover: Holding) -> None:
        """Remove what an earlier run may have left behind when it was killed."""
        if leftover.shared:
            return
        self._addresses.put(lambda: self._remove(leftover.addresses, shared=False))

    def put_back(self, keys: Iterable[Key], then: Callable[[], None] | None = None) -> None:
        """Add addresses of masters once more."""
        wanted = {
            key: one
            for held in self._held.values()
            for key, one in held.addresses.items()
            if key in set(keys)
        }
        self._addresses.put(lambda: self._add(wanted), then)

    def assert_routes(self) -> None:
        """Routes and rules once more: who removed them is not told to anybody cheaply."""
        for held in self._held.values():
            tracked = replace(
                held,
                routes=tuple(one for one in held.routes if not one.no_track),
                rules=tuple(one for one in held.rules if not one.no_track),
            )
            self._addresses.put(partial(self._routes, NOTHING, tracked))

    def static(self, before: StaticNetwork, wanted: StaticNetwork) -> None:
        """``static_ipaddress``, ``static_routes``, ``static_rules``: there in any state."""
        old, new = (
            Holding(
                {(one.device, str(one.address)): one for one in network.addresses},
                network.routes,
                network.rules,
                promote=False,
                shared=False,
            )
            for network in (before, wanted)
        )
        if old == new:
            return
        gone = {key: one for key, one in old.addresses.items() if key not in new.addresses}
        self._addresses.put(lambda: self._remove(gone, shared=False))
        self._addresses.put(lambda: self._add(new.addresses))
        self._addresses.put(partial(self._routes, old, new))

    def job(self, job: Callable[[], None]) -> None:
        """Do something that may block behind the other commands."""
        self._commands.put(job)

    def after(self, then: Callable[[], None]) -> None:
        """Do something in the loop when all addresses asked for until now are there."""
        self._addresses.put(_nothing, then)

    def finish(self, patience: float) -> None:
        """Do what is left and end."""
        self._addresses.finish(patience)
        self._commands.finish(patience)
        self._requests.close()

    # ---- in the threads

    def _add(self, wanted: dict[Key, VirtualAddress]) -> None:
        for (device, text), one in wanted.items():
            flags = netlink.CREATE | netlink.EXCLUSIVE
            error = self._ask(netlink.NEWADDR, flags, device, one)
            if not error:
                self._added.add((device, text))
            elif error != errno.EEXIST:
                self._tell(f"{text} does not get onto {device}: {netlink.words(error)}")
            elif (device, text) not in self._added:
                self._found.add((device, text))

    def _remove(self, gone: dict[Key, VirtualAddress], *, shared: bool) -> None:
        for (device, text), one in gone.items():
            if shared and (device, text) in self._found:
                continue
            self._found.discard((device, text))
            self._added.discard((device, text))
            error = self._ask(netlink.DELADDR, 0, device, one)
            if error and error not in _GONE:
                self._tell(f"{text} does not leave {device}: {netlink.words(error)}")

    def _ask(self, kind: int, flags: int, device: str, one: VirtualAddress) -> int:
        try:
            index = socket.if_nametoindex(device)
            return netlink.request(self._requests, netlink.address_request(kind, flags, index, one))
        except OSError as error:
            return error.errno or errno.EIO

    def _routes(self, before: Holding, wanted: Holding) -> None:
        for what, old, new in (
            ("rule", before.rules, wanted.rules),
            ("route", before.routes, wanted.routes),
        ):
            for family in Family:
                gone = [one.words for one in old if one.family is family and one not in new]
                there = [one.words for one in new if one.family is family]
                # ``replace`` of a route changes nothing when it is there; a rule says "exists".
                verb = "replace" if what == "route" else "add"
                lines = [f"{what} del {' '.join(one)}" for one in gone]
                lines += [f"{what} {verb} {' '.join(one)}" for one in there]
                if lines:
                    text = "\n".join(lines) + "\n"
                    argv = ["ip", _OPTION[family], "-force", "-batch", "-"]
                    self._commands.put(partial(self._ip, argv, text))

    def _ip(self, argv: list[str], text: str) -> None:
        try:
            done = subprocess.run(  # noqa: S603  # words of the configuration, no shell
                argv,
                input=text,
                text=True,
                capture_output=True,
                check=False,
                timeout=_IP_PATIENCE,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            self._tell(f"{' '.join(argv)}: {error}")
            return
        said = [line for line in done.stderr.splitlines() if line and not _expected(line)]
        if done.returncode and said:
            self._tell(f"{' '.join(argv)}: {'; '.join(said)}")

    def _tell(self, sentence: str) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._remark, sentence)


_OPTION = {Family.INET: "-4", Family.INET6: "-6"}


def _promote(devices: set[str]) -> None:
    for device in devices:
        path = Path("/proc/sys/net/ipv4/conf", device, "promote_secondaries")
        with contextlib.suppress(OSError):
            path.write_text("1\n")


def _nothing() -> None:
    pass


def _expected(line: str) -> bool:
    return any(
        words in line
        for words in ("File exists", "No such process", "No such file", "Command failed")
    )
