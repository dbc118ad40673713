# SPDX-License-Identifier: Apache-2.0
"""Whom to tell: commands that are run, FIFOs that are written to, and mail."""

from __future__ import annotations

import msgspec


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program with its arguments, run without a shell.

    ``user``, ``group``: who runs it, "": the configuration's ``script_user``. ``timeout``:
    seconds until it is ended, 0: never.
    """

    argv: tuple[str, ...]
    user: str = ""
    group: str = ""
    timeout: float = 0.0


class Fifo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named pipe that every event is written to as a line, and who reads it (``script``).

    ``user``, ``group``: whose it is, "": the daemon's. The script gets the path as its last
    argument.
    """

    path: str
    script: Command | None = None
    user: str = ""
    group: str = ""


class Mail(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How alerts are sent by mail. ``timeout`` in seconds. Without ``to`` nothing is sent."""

    sender: str = ""
    to: tuple[str, ...] = ()
    server: str = ""
    port: int = 25
    helo_name: str = ""
    timeout: float = 30.0
