# SPDX-License-Identifier: Apache-2.0
"""What ``xlvs status`` says of a configuration file, health, VRRP, and of connection sync.

Times are seconds since the epoch, or before now where the name says ``ago``.
"""

from __future__ import annotations

import msgspec


class FailureView(msgspec.Struct, frozen=True, kw_only=True):
    """The last failure of a check."""

    at: float
    cause: str


class CheckView(msgspec.Struct, frozen=True, kw_only=True):
    """One check of a real server. ``failures``: in a row."""

    check: str
    passing: bool
    failures: int
    last_failure: FailureView | None


class HealthView(msgspec.Struct, frozen=True, kw_only=True):
    """One real server. ``weight``: what connections are balanced by now; ``asked``: the file's."""

    name: str
    up: bool
    since: float
    in_rotation: bool
    weight: int
    asked: int
    last_failure: FailureView | None
    checks: list[CheckView]


class QuorumView(msgspec.Struct, frozen=True, kw_only=True):
    """One virtual service, or a group's. ``weight``: the sum of live servers'."""

    name: str
    up: bool
    since: float
    weight: int
    gained_at: int
    kept_at: int
    sorry_server: bool
    suspended: bool
    servers: list[HealthView]


class VrrpView(msgspec.Struct, frozen=True, kw_only=True):
    """One VRRP instance."""

    instance: str
    state: str
    priority: int
    since: float
    cause: str
    addresses: list[str]


class PeerView(msgspec.Struct, frozen=True, kw_only=True):
    """Sync with one director. ``there_``: what it has of us, ``here_``: what we have of it.

    ``behind`` in seconds, None: not in sync.
    """

    address: str
    there_in_sync: bool
    there_behind: float | None
    there_queued: int
    here_in_sync: bool
    here_behind: float | None
    here_received: int
    last_error: str


class SyncView(msgspec.Struct, frozen=True, kw_only=True):
    """Connection sync. ``refused``: connections of others that were not taken, by reason.

    ``error``: why not all that is asked for runs.
    """

    in_sync: bool
    master: bool
    backup: bool
    taken: int
    refused: dict[str, int]
    peers: list[PeerView]
    error: str = ""


class FileView(msgspec.Struct, frozen=True, kw_only=True):
    """A director that follows a file. ``error``: why it was refused when it was read last.

    ``applied``: when a configuration was applied that the file does not say; 0: the file is
    in force.
    """

    path: str
    loaded: float
    error: str
    reloads: int
    refusals: int
    services: list[QuorumView]
    vrrp: list[VrrpView]
    applied: float = 0.0
