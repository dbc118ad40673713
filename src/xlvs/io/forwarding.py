# SPDX-License-Identifier: Apache-2.0
"""Is the director a router? Replies to clients are sent by its routing table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

IPV4 = 4
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


def refuses_local_clients(versions: Iterable[int], conf: Path = _CONF) -> Iterator[str]:
    """In words: what keeps answers from clients on the director itself.

    An answer of another host that is delivered on lo has the virtual address as its source,
    a local one. IPv4 drops that unless told otherwise, IPv6 does not mind.
    """
    if IPV4 in versions and not any(
        _is_on(conf / "ipv4/conf" / name / "accept_local") for name in ("lo", "all")
    ):
        yield (
            "answers to clients on the director itself are dropped by its stack "
            "(sysctl -w net.ipv4.conf.lo.accept_local=1)"
        )


def _is_on(path: Path) -> bool:
    try:
        return path.read_text().strip() != "0"
    except OSError:
        return False
