# SPDX-License-Identifier: Apache-2.0
"""The option of TCP that says who the client is, as a director puts it in."""

from __future__ import annotations

import struct
from ipaddress import ip_address


def option(address: str, port: int = 4711, kind: int = 254) -> bytes:
    """As long as TCP wants it, because both families' forms are."""
    raw = ip_address(address).packed
    return struct.pack("!BBH", kind, 4 + len(raw), port) + raw
