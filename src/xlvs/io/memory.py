# SPDX-License-Identifier: Apache-2.0
"""How much memory the machine has free, as IPVS's defence counts it."""

from __future__ import annotations

import os
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_COUNTED = ("MemFree", "Buffers")
_KIB = 1024


def available() -> int:
    """Free pages and those of buffers: freeram and bufferram of the kernel's own look.

    The same two numbers that the kernel takes. Where something else answers for
    /proc/meminfo, as lxcfs does in containers, they are the container's, which the
    kernel would not know. Raises OSError.
    """
    return pages(_MEMINFO.read_text(), os.sysconf("SC_PAGE_SIZE"))


def pages(text: str, page_size: int) -> int:
    """The pages that a /proc/meminfo tells of."""
    found = 0
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name in _COUNTED:
            found += int(value.split()[0]) * _KIB // page_size
    return found
