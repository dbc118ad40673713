# SPDX-License-Identifier: Apache-2.0
"""How long, as people write it: ``90``, ``90s``, ``5m``, ``1h30m``, ``2d``."""

from __future__ import annotations

import re

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_WRITTEN = re.compile("".join(rf"(?:(\d+){unit})?" for unit, _ in _UNITS), re.ASCII)
_DIGITS_MAX = 12
_WRONG = "a time is such as 90, 90s, 5m or 1h30m"


def seconds(text: str) -> int:
    """Seconds. Raises ValueError."""
    if len(text) > _DIGITS_MAX:
        raise ValueError(_WRONG)
    if text.isascii() and text.isdecimal():
        return int(text)
    found = _WRITTEN.fullmatch(text)
    if not text or found is None:
        raise ValueError(_WRONG)
    return sum(int(n or 0) * each for n, (_, each) in zip(found.groups(), _UNITS, strict=True))


def clock(seconds_left: float) -> str:
    """``4:59``, ``1:00:00``: rounded up, so that 0:00 is the end."""
    whole = max(0, -int(-seconds_left // 1))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
