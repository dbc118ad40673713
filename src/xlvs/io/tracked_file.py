# SPDX-License-Identifier: Apache-2.0
"""The number in a ``track_file``."""

from __future__ import annotations

import os

_BYTES = 64
_LARGEST = 2**31 - 1


def number(path: str) -> int:
    """What the file begins with; 0 if it is missing, empty or says no number, as in keepalived."""
    try:
        with open(path, "rb", buffering=0, opener=_at_once) as opened:
            words = opened.read(_BYTES).split(maxsplit=1)
        said = int(words[0]) if words else 0
    except (OSError, ValueError):
        return 0
    return min(max(said, -_LARGEST), _LARGEST)


def _at_once(path: str, flags: int) -> int:
    """Somebody may have put a FIFO there: opening it would wait."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
