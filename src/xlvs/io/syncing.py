# SPDX-License-Identifier: Apache-2.0
"""Connection sync follows what is asked for: by a configuration file, by run-time commands.

What cannot be opened, because an interface is not there yet or an address is taken, is tried
again until it can or is no longer asked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import msgspec

from xlvs.io.connection_sync import ConnectionSync
from xlvs.io.director import Director
from xlvs.io.kernel import Kernel
from xlvs.io.sync.ipvs import Tuning
from xlvs.io.sync_maps import SyncMaps
from xlvs.io.tasks import Tasks
from xlvs.model import settings
from xlvs.model.problem import Problem
from xlvs.model.syncing import (
    ETHERNET_MTU,
    Roles,
    SyncChannel,
    SyncDaemon,
    SyncRole,
    message_length,
    roles_of,
)

RETRY = 1.0
"""Seconds between two tries of what could not be opened."""

log = logging.getLogger("xlvs")


class Syncing:
    """All of one director's sync. ``running``: None while nothing is asked for."""

    def __init__(self, director: Director, kernel: Kernel, tasks: Tasks) -> None:
        self.running: ConnectionSync | None = None
        self.error = ""
        """Why not all that is asked for runs, "" if it does."""
        self._director = director
        self._kernel = kernel
        self._tasks = tasks
        self._file: SyncDaemon | None = None
        self._is_master = False
        self._maps: SyncMaps | None = None
        self._changing = asyncio.Lock()
        self._retry: asyncio.Task[None] | None = None
        self._stopped = False

    def roles(self) -> Roles:
        """The daemons of IPVS's protocol that are asked for now, their lengths as they are."""
        found = {**roles_of(self._file, is_master=self._is_master), **self._director.desired.sync}
        return {role: self._settled(role, found[role]) for role in SyncRole if role in found}

    async def configure(self, file: SyncDaemon | None) -> None:
        """The file asks for this now."""
        if file != self._file:
            self._file = file
            async with self._changing:
                await self._end()
        await self.follow()

    async def take_role(self, *, is_master: bool) -> None:
        """The file's VRRP instance is master, or it is not."""
        self._is_master = is_master
        await self.follow()

    async def follow(self) -> None:
        """Make it as it is asked for now."""
        async with self._changing:
            if self._stopped:
                return
            try:
                await self._follow()
            except (OSError, Problem) as error:
                self._complain(f"{error}")
            else:
                self.error = ""

    async def stop(self) -> None:
        """Send what waits and close everything."""
        if self._retry is not None:
            self._retry.cancel()
        async with self._changing:
            self._stopped = True
            await self._end()
        if self._maps is not None:
            self._maps.close()
            self._maps = None

    async def _follow(self) -> None:
        roles, file = self.roles(), self._file
        active = bool(roles) or (file is not None and bool(file.peers))
        self._director.tell(on=active)
        if not active:
            await self._end()
            return
        if self.running is None:
            running = self._made(file or SyncDaemon())
            await running.start()
            self.running = running
        self.running.roles(roles)

    def _made(self, daemon: SyncDaemon) -> ConnectionSync:
        if self._maps is None:
            self._maps = self._kernel.sync_maps()
        return ConnectionSync(
            daemon,
            self._maps,
            lambda: self._director.effective.tables,
            self._kernel.hz,
            self._tasks,
            tuning=tuning(settings.numbers(self._director.desired.settings)),
        )

    async def _end(self) -> None:
        if self.running is not None:
            await self.running.stop()
            self.running = None

    def _settled(self, role: SyncRole, channel: SyncChannel) -> SyncChannel:
        mtu = self._director.observed.mtu(channel.interface) or ETHERNET_MTU
        return SyncChannel(
            interface=channel.interface,
            sync_id=channel.sync_id,
            max_length=message_length(channel, role, mtu),
            group=channel.group,
            port=channel.port,
            ttl=channel.ttl,
        )

    def _complain(self, error: str) -> None:
        if error != self.error:
            log.error("connection sync: %s; trying again", error)
        self.error = error
        if self._retry is None or self._retry.done():
            self._retry = self._tasks.start("sync: retry", self._try_again())

    async def _try_again(self) -> None:
        while self.error:
            await asyncio.sleep(RETRY)
            await self.follow()


def tuning(values: Mapping[str, int]) -> Tuning:
    """``net.ipv4.vs.sync_*``, as far as they are more than rules."""
    found = Tuning(
        ports=max(values["sync_ports"], 1),
        version=values["sync_version"],
        socket_size=values["sync_sock_size"],
    )
    queue = values["sync_qlen_max"]
    return msgspec.structs.replace(found, queue_max=queue) if queue else found
