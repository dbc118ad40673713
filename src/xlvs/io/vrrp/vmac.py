# SPDX-License-Identifier: Apache-2.0
"""Virtual MAC addresses: a macvlan device per instance that asks for one."""

from __future__ import annotations

import contextlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

from xlvs.model.service import Family
from xlvs.model.vrrp import Instance
from xlvs.protocols.vrrp.neighbours import virtual_mac
from xlvs.protocols.vrrp.router import vmac_name

_SYSCTL = Path("/proc/sys/net")
_NAME_MAX = 15


@dataclass(frozen=True, slots=True)
class Vmac:
    """A device on a base interface."""

    name: str
    base: str
    mac: bytes
    family: Family


def vmac(instance: Instance) -> Vmac | None:
    """The device that an instance wants."""
    name = vmac_name(instance)
    if name is None:
        return None
    v6 = instance.family is Family.INET6
    mac = virtual_mac(instance.router_id, v6=v6)
    return Vmac(name, instance.interface, mac, instance.family)


def create(wanted: Vmac) -> str:
    """Make the device; returns what is wrong, "": nothing. May block."""
    if len(wanted.name) > _NAME_MAX:
        return f"use_vmac {wanted.name}: a device's name has 15 characters at most"
    mac = wanted.mac.hex(":")
    error = _ip(
        f"link add link {wanted.base} name {wanted.name} address {mac} type macvlan mode private"
    )
    if "File exists" in error:
        # An earlier run of ours, or somebody's: ours has this very address.
        if mac not in _ip(f"-o link show {wanted.name}", said=True):
            return f"use_vmac {wanted.name}: there is a device of this name"
        error = ""
    if "Unknown device type" in error or "not supported" in error:
        return f"use_vmac {wanted.name}: this kernel has no macvlan (CONFIG_MACVLAN): {error}"
    if error:
        return f"use_vmac {wanted.name}: {error}"
    _settle(wanted)
    return _ip(f"link set {wanted.name} addrgenmode none") or _ip(f"link set {wanted.name} up")


def remove(gone: Vmac) -> None:
    """Away with it. May block."""
    _ip(f"link del {gone.name}")


def _settle(made: Vmac) -> None:
    v4 = _SYSCTL / "ipv4/conf"
    _write(v4 / made.name / "rp_filter", 0)
    _write(v4 / made.name / "arp_ignore", 1)
    _write(_SYSCTL / "ipv6/conf" / made.name / "accept_ra", 0)
    if made.family is Family.INET:
        # Or the base would answer ARP for the virtual address, or ask in its name: with its own
        # MAC address, which the neighbours would learn.
        _write(v4 / made.base / "arp_ignore", 1)
        _write(v4 / made.base / "arp_announce", 2)


def _write(path: Path, value: int) -> None:
    with contextlib.suppress(OSError):
        path.write_text(f"{value}\n")


def _ip(words: str, *, said: bool = False) -> str:
    try:
        done = subprocess.run(  # noqa: S603  # our own words
            ["ip", *words.split()],  # noqa: S607  # from PATH, as for an operator
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if said:
        return done.stdout
    return done.stderr.strip() if done.returncode else ""
