# SPDX-License-Identifier: Apache-2.0
"""What a VRRP instance's priority, or a real server's weight, may follow.

A tracked thing has a weight: 0 means that its failure is the follower's failure (FAULT,
or down); otherwise the weight is added while it is up (positive), or while it is down
(negative), as keepalived has it.
"""

from __future__ import annotations

import msgspec

from xlvs.model.notification import Command
from xlvs.model.service import Address


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``vrrp_script``: run every ``interval`` seconds; exit status 0 is success.

    ``timeout`` in seconds, 0: the interval. ``rise``, ``fall``: results in a row that
    change what is believed. ``init_fail``: believed to have failed before the first run.
    """

    name: str
    command: Command
    interval: float = 1.0
    timeout: float = 0.0
    weight: int = 0
    reverse: bool = False
    rise: int = 1
    fall: int = 1
    init_fail: bool = False


class File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``track_file``: the number in the file times ``weight`` is added to the priority.

    Weight 0: a number other than 0 is a failure. Else a sum of -254 and less is one (VRRP).
    ``initial``: what is written to the file at the start, if there is none or ``overwrite``;
    None: it is left alone.
    """

    name: str
    path: str
    weight: int = 1
    reverse: bool = False
    initial: int | None = None
    overwrite: bool = False


class Process(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``track_process``: a program of which ``quorum`` to ``quorum_max`` processes have to run.

    Delays in seconds, before a change is believed. ``param_match``: how ``arguments`` are
    compared: "" not at all, "exact", "partial" (the first of them), "initial" (the last may
    be longer).
    """

    name: str
    program: str
    arguments: tuple[str, ...] = ()
    param_match: str = ""
    full_command: bool = False
    weight: int = 0
    reverse: bool = False
    quorum: int = 1
    quorum_max: int | None = None
    fork_delay: float = 0.0
    terminate_delay: float = 0.0


class Bfd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``bfd_instance`` (RFC 5880): times in milliseconds.

    ``ttl`` 0: 255 with one hop, 64 with several. ``multihop``: port 4784 (RFC 5883).
    """

    name: str
    neighbour: Address
    source: Address | None = None
    min_rx: float = 10.0
    min_tx: float = 10.0
    idle_tx: float = 1000.0
    multiplier: int = 5
    passive: bool = False
    ttl: int = 0
    max_hops: int = 0
    multihop: bool = False
    weight: int = 0
    reverse: bool = False


class Tracked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A reference to one of these, or to an interface, by its name.

    ``weight`` None: that of what is tracked (an interface's is 0).
    """

    name: str
    weight: int | None = None
    reverse: bool = False


class TrackGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``track_group``: the instances that fail when a static address of theirs is lost."""

    name: str
    instances: tuple[str, ...] = ()
