# SPDX-License-Identifier: Apache-2.0
"""Is the director a router? Replies to clients are sent by its routing table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

_CONF = Path("/proc/sys/net")
_SWITCH = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


def missing(interfaces: Iterable[str], versions: Iterable[int]) -> Iterator[str]:
    """In words: interfaces whose packets of an IP version (4, 6) are not forwarded."""
    for version in sorted(versions):
        family = f"ipv{version}"
        for name in interfaces:
            try:
                value = (_CONF / family / "conf" / name / "forwarding").read_text()
            except OSError:
                continue  # the interface is gone, which is told elsewhere
            if value.strip() == "0":
                yield (
                    f"{name} does not forward IPv{version}: replies to clients are not sent on "
                    f"(sysctl -w {_SWITCH[version]}=1)"
                )
