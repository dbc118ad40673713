# SPDX-License-Identifier: Apache-2.0
"""What a daemon leaves for the next one beside what is wanted: whose it is, and its health."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from xlvs.engine.health.saved import SavedHealth
from xlvs.engine.reconcile import Owned
from xlvs.model.service import DestinationKey, ServiceKey
from xlvs.wire import codec

VERSION = 1


class OwnedService(msgspec.Struct, frozen=True, kw_only=True):
    """A service that the configuration file put in, and its real servers."""

    service: ServiceKey
    destinations: list[DestinationKey]


class FileState(msgspec.Struct, frozen=True, kw_only=True):
    """``path``: of the configuration file. ``lists``: of clients, that it put in."""

    version: int = VERSION
    path: str = ""
    owned: list[OwnedService] = []
    lists: list[str] = []
    health: SavedHealth | None = None


def owned_services(owned: Owned) -> list[OwnedService]:
    """As it is saved."""
    return [
        OwnedService(service=key, destinations=sorted(keys, key=str)) for key, keys in owned.items()
    ]


def save(path: Path, state: FileState) -> None:
    """Write it in one step. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(codec.encode(state))
    fresh.rename(path)


def load(path: Path) -> FileState:
    """What the last daemon left; empty if there is none. Raises ValueError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return FileState()
    found = codec.decode(data, FileState)
    if found.version != VERSION:
        msg = f"version {found.version} is not {VERSION}"
        raise ValueError(msg)
    return found
