# SPDX-License-Identifier: Apache-2.0
"""IPVS's defence against floods: drop_entry, drop_packet and secure_tcp.

Each has a mode: 0 never, 3 always, 1 and 2 when memory is short, and then the kernel
itself changes the setting: 2 while the defence is on, 1 while it is off. Memory is
short while fewer than ``amemthresh`` pages are free. The kernel looks once a second.
"""

from __future__ import annotations

from typing import NamedTuple

from xlvs.model import settings
from xlvs.model.settings import Values

MODES = ("drop_entry", "drop_packet", "secure_tcp")

_WAITING = 1
_ACTING = 2
_ALWAYS = 3
_AUTOMATIC = (_WAITING, _ACTING)


class Defence(NamedTuple):
    """What is done, and what the three settings show.

    ``drop_rate``: of so many new connections one is dropped, 0: none. ``drop_entry``:
    1 if half-open connections are ended at random. ``secure_tcp``: 1 if the other table
    of TCP's states is in force. ``shown``: by setting, for those that show something else
    than what was asked for.
    """

    drop_rate: int = 0
    drop_entry: int = 0
    secure_tcp: int = 0
    shown: tuple[tuple[str, int], ...] = ()


def automatic(values: Values) -> bool:
    """Whether anything depends on how much memory is free."""
    now = settings.numbers(values)
    return any(now[name] in _AUTOMATIC for name in MODES)


def defence(values: Values, available: int) -> Defence:
    """What is to be done. ``available``: free pages of memory, those of buffers with them."""
    now = settings.numbers(values)
    threshold = now["amemthresh"]
    short = available < threshold
    modes = {name: _mode(now[name], short=short) for name in MODES}
    rate = 0
    if modes["drop_packet"] == _ACTING:
        rate = threshold // (threshold - available)
    elif modes["drop_packet"] == _ALWAYS:
        # The kernel counts down from a negative rate too, and drops everything.
        rate = now["am_droprate"] if now["am_droprate"] >= 0 else 1
    return Defence(
        drop_rate=rate,
        drop_entry=int(modes["drop_entry"] >= _ACTING),
        secure_tcp=int(modes["secure_tcp"] >= _ACTING),
        shown=tuple((name, mode) for name, mode in modes.items() if mode != now[name]),
    )


def _mode(mode: int, *, short: bool) -> int:
    if mode in _AUTOMATIC:
        return _ACTING if short else _WAITING
    return mode
