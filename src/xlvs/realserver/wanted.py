# SPDX-License-Identifier: Apache-2.0
"""What a real server's settings should be for its virtual addresses. Pure.

IPv4: ``arp_ignore`` 1 keeps an interface from answering ARP for an address of
another one (the virtual address on lo); ``arp_announce`` 2 keeps the virtual
address out of the ARP requests that the server sends. The kernel uses the
greater of ``all`` and the interface's value, so both are written.

IPv6 needs neither: neighbour discovery answers only for addresses of the
interface that is asked, never for one on lo.

``rp_filter``: a packet of a client may come in where no route leads back to the
client. Strict filtering (1) would drop it; loose (2) is enough.
"""

from __future__ import annotations

from collections.abc import Callable

Read = Callable[[str], str | None]

_STRICT = 1
_LOOSE = 2


def sysctls(interfaces: tuple[str, ...], read: Read) -> dict[str, str]:
    """Settings to write, path below /proc/sys to value; those that are right are left out.

    ``read`` gives a setting's value now, None if there is no such setting.
    """
    wanted: dict[str, str] = {}
    for interface in ("all", *interfaces):
        at_least(wanted, f"net/ipv4/conf/{interface}/arp_ignore", 1, read)
        at_least(wanted, f"net/ipv4/conf/{interface}/arp_announce", 2, read)
    for interface in interfaces:
        if reverse_path_filter(interface, read) == _STRICT:
            wanted[f"net/ipv4/conf/{interface}/rp_filter"] = str(_LOOSE)
    return wanted


def at_least(wanted: dict[str, str], path: str, least: int, read: Read) -> None:
    """Raise a setting, never lower it."""
    now = read(path)
    if now is not None and int(now) < least:
        wanted[path] = str(least)


def effective(setting: str, interface: str, read: Read) -> int:
    """The kernel's own rule for these settings: the greater of ``all`` and the interface's."""
    values = (read(f"net/ipv4/conf/{name}/{setting}") for name in ("all", interface))
    return max(int(value or 0) for value in values)


def reverse_path_filter(interface: str, read: Read) -> int:
    """0 off, 1 strict, 2 loose."""
    return effective("rp_filter", interface, read)
