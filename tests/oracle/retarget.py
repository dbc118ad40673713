# SPDX-License-Identifier: Apache-2.0
"""Several recordings in one director: each gets virtual and client addresses of its own.

Connections outlive ``ipvsadm -C``, and nearly every recording begins with a client at
203.0.113.1:40000 and a service at 10.0.0.1:80. In other virtual addresses of the same
length the text of a recording stays right, column for column.
"""

from __future__ import annotations

import re
from typing import Any

_VIRTUAL = re.compile(r"\b10\.0\.0\.([12])\b")
_CLIENT = re.compile(r"\b203\.0\.113\.(\d+)\b")
_OTHER_CLIENT = re.compile(r"\b203\.0\.114\.(\d+)\b")  # outside of a netmask
_MARK = re.compile(r"(-[AEDaed] -f )1\b")

LIMIT = 90


def retarget(value: Any, number: int, *, same_clients: bool = False) -> Any:
    """Any JSON with its virtual and client addresses replaced by those of ``number``.

    ``same_clients``: not theirs, because the recording depends on them.
    """
    shift = 0 if same_clients else number
    other = f"203.{int(shift > 0)}.{114 + shift}"
    return _replace(value, prefix(number), clients(shift), other)


def prefix(number: int) -> str:
    """What the virtual addresses of a recording begin with."""
    if not 0 <= number < LIMIT:
        raise ValueError(f"only {LIMIT} recordings fit into one director")
    return f"10.{1 + number // 10}.{number % 10}"


def marked(value: Any, mark: int) -> Any:
    """Any JSON with the firewall mark of its command lines replaced."""
    if isinstance(value, str):
        return _MARK.sub(rf"\g<1>{mark}", value)
    if isinstance(value, list):
        return [marked(item, mark) for item in value]
    if isinstance(value, dict):
        return {key: marked(item, mark) for key, item in value.items()}
    return value


def clients(number: int) -> str:
    """What the client addresses of a recording begin with."""
    return f"203.0.{113 + number}"


def _replace(value: Any, *by: str) -> Any:
    if isinstance(value, str):
        for pattern, replacement in zip((_VIRTUAL, _CLIENT, _OTHER_CLIENT), by, strict=True):
            value = pattern.sub(rf"{replacement}.\1", value)
        return value
    if isinstance(value, list):
        return [_replace(item, *by) for item in value]
    if isinstance(value, dict):
        return {_replace(key, *by): _replace(item, *by) for key, item in value.items()}
    return value
