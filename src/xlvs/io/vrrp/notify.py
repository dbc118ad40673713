# SPDX-License-Identifier: Apache-2.0
"""``notify_*`` and FIFOs: whom to tell of which transition, with keepalived's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xlvs.io.vrrp.helper import Order, Run, Write
from xlvs.model.notification import Command, Fifo
from xlvs.model.vrrp import Notifications
from xlvs.protocols.vrrp.effects import State

STOP, DELETED, RIVAL = "STOP", "DELETED", "MASTER_RX_LOWER_PRI"


def word(state: State, *, deleted: bool) -> str:
    """The state as scripts are told it."""
    if state is State.INIT:
        return DELETED if deleted else STOP
    return state


def orders(
    who: tuple[str, str],
    what: str,
    priority: int,
    notify: Notifications,
    fifos: Sequence[Fifo],
) -> Iterable[Order]:
    """What the helper has to do; the specific script first, then the general one.

    ``who``: INSTANCE or GROUP, and its name.
    """
    kind, name = who
    specific = {
        "MASTER": notify.master,
        "BACKUP": notify.backup,
        "FAULT": notify.fault,
        STOP: notify.stop,
        DELETED: notify.deleted,
        RIVAL: notify.master_rx_lower_priority,
    }[what]
    if what == DELETED and notify.deleted is None:
        what = "FAULT"
        specific = notify.fault
    commands: list[tuple[Command, tuple[str, ...]]] = []
    if specific is not None:
        commands.append((specific, ()))
    if notify.any is not None and what != RIVAL:
        commands.append((notify.any, (kind, name, what, str(priority))))
    if commands:
        yield Run(tuple(commands))
    for fifo in fifos:
        yield line(fifo, who, what, priority)


def line(fifo: Fifo, who: tuple[str, str], what: str, priority: int) -> Write:
    """A FIFO's line."""
    kind, name = who
    return Write(fifo.path, f'{kind} "{name}" {what} {priority}\n')
