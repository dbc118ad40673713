# SPDX-License-Identifier: Apache-2.0
"""The small file beside the pinned maps: what is wanted, as far as maps cannot hold it.

Written before the maps, so that a daemon that was killed between finds what it was about
to do and does it. The first line is everything, written in one step (a temporary file,
then a rename); each line after it is a change of some services, until they are as long
as everything is: then it is written anew.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from xlvs.model.desired import Timeouts
from xlvs.model.drain import Drain
from xlvs.model.mark import MarkRule
from xlvs.model.service import Address, Destination, DestinationKey, Service, ServiceKey
from xlvs.model.syncing import SyncChannel, SyncRole
from xlvs.wire import codec
from xlvs.wire.messages import Counters

VERSION = 1

ROOM = 1 << 16
"""Bytes of changes that a file may have, however short it is without."""


class SavedService(msgspec.Struct, frozen=True, kw_only=True):
    """A service with its destinations, newest first."""

    service: Service
    destinations: list[Destination]


class SavedDrain(msgspec.Struct, frozen=True, kw_only=True):
    """A drain and whose it is."""

    service: ServiceKey
    destination: DestinationKey
    drain: Drain


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """The file.

    ``settings``: those that were asked for. Baselines (``ipvsadm -Z``) are by id, as the
    counters are. ``retired``: what services counted that are gone. ``lists``: of clients, as
    ``xlvs.model.client_list`` has their records.
    """

    version: int = VERSION
    services: list[SavedService]
    timeouts: Timeouts
    marks: list[MarkRule] = []
    settings: dict[str, tuple[int, ...]] = {}
    drains: list[SavedDrain] = []
    sync: dict[SyncRole, SyncChannel] = {}
    pools: dict[str, tuple[Address, ...]] = {}
    lists: dict[str, bytes] = {}
    service_baselines: dict[int, Counters] = {}
    destination_baselines: dict[int, Counters] = {}
    retired: Counters = Counters()


class SavedChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of some services: ``gone`` first, then those that are new or otherwise.

    ``drains``, ``retired``, ``timeouts`` and ``settings`` are all that there are then; of a file
    of an earlier version that does not say the last two, they are as before.
    """

    gone: list[ServiceKey]
    services: list[SavedService]
    drains: list[SavedDrain]
    retired: Counters = Counters()
    timeouts: Timeouts | None = None
    settings: dict[str, tuple[int, ...]] | None = None


class StateFile:
    """The file of one daemon, which is its only writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._whole = 0
        self._end = 0

    def save(self, saved: Saved) -> None:
        """Write the file in one step. Raises OSError."""
        fresh = self._path.with_name(self._path.name + ".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        line = codec.encode(saved) + b"\n"
        with os.fdopen(fd, "wb") as file:
            file.write(line)
        fresh.rename(self._path)
        self._whole = self._end = len(line)

    def append(self, change: SavedChange) -> bool:
        """Add a change to what was saved last; False if it is better to save all again.

        So the cost of a change does not depend on how much there is. Raises OSError.
        """
        if not self._end:
            return False
        line = codec.encode(change) + b"\n"
        if self._end + len(line) > 2 * self._whole + ROOM:
            return False
        fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            written = os.pwrite(fd, line, self._end)
            if written < len(line):
                # What is left of the line is not a change: it has no end.
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        finally:
            os.close(fd)
        self._end += len(line)
        return True


def load(path: Path) -> Saved | None:
    """The file's content; None if there is none. Raises ValueError if it cannot be read."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    whole, _, rest = data.partition(b"\n")
    saved = codec.decode(whole, Saved)
    if saved.version != VERSION:
        msg = f"version {saved.version} is not {VERSION}"
        raise ValueError(msg)
    # A daemon that was killed while it wrote the last line had not begun that change.
    lines, _, _ = rest.rpartition(b"\n")
    return followed(saved, codec.decode_lines(lines, SavedChange))


def followed(saved: Saved, changes: Iterable[SavedChange]) -> Saved:
    """What is saved when these changes are added, in their order."""
    services = {each.service.key: each for each in saved.services}
    drains, retired = saved.drains, saved.retired
    timeouts, settings = saved.timeouts, saved.settings
    for change in changes:
        for key in change.gone:
            services.pop(key, None)
        services.update((each.service.key, each) for each in change.services)
        drains, retired = change.drains, change.retired
        timeouts = change.timeouts or timeouts
        settings = settings if change.settings is None else change.settings
    return msgspec.structs.replace(
        saved,
        services=list(services.values()),
        drains=drains,
        retired=retired,
        timeouts=timeouts,
        settings=settings,
    )
