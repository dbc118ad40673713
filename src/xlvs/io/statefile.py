# SPDX-License-Identifier: Apache-2.0
"""The small file beside the pinned maps: what is wanted, as far as maps cannot hold it.

Written before the maps, in one step (a temporary file, then a rename), so that a
daemon that was killed between finds what it was about to do and does it.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from xlvs.model.desired import Timeouts
from xlvs.model.drain import Drain
from xlvs.model.mark import MarkRule
from xlvs.model.service import Destination, DestinationKey, Service, ServiceKey
from xlvs.wire import codec
from xlvs.wire.messages import Counters

VERSION = 1


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
    counters are.
    """

    version: int = VERSION
    services: list[SavedService]
    timeouts: Timeouts
    marks: list[MarkRule] = []
    settings: dict[str, tuple[int, ...]] = {}
    drains: list[SavedDrain] = []
    service_baselines: dict[int, Counters] = {}
    destination_baselines: dict[int, Counters] = {}


def save(path: Path, saved: Saved) -> None:
    """Write the file in one step. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(codec.encode(saved))
    fresh.rename(path)


def load(path: Path) -> Saved | None:
    """The file's content; None if there is none. Raises ValueError if it cannot be read."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    saved = codec.decode(data, Saved)
    if saved.version != VERSION:
        msg = f"version {saved.version} is not {VERSION}"
        raise ValueError(msg)
    return saved
