# SPDX-License-Identifier: Apache-2.0
"""The folder ``links``: what is attached where, one name for each.

A name is that of the interface, a dash, and what kind of thing it is: ``eth0-xdp``.
Most are pinned links of the kernel's. Such a link keeps its program running as long
as it is pinned, and its program can be exchanged in one step.
"""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

from xlvs.datapath import libbpf, pins

_IFINDEX_AT = 16  # struct bpf_link_info: xdp.ifindex, tcx.ifindex
GONE = (errno.ENODEV, errno.ENOENT, errno.EINVAL, errno.ENXIO)
"""Detaching says so if there is nothing left to detach."""


def path(folder: Path, ifname: str, kind: str) -> Path:
    """The name of a thing on an interface, as bpffs allows it: no dots."""
    escaped = ifname.replace("%", "%25").replace(".", "%2e")
    return folder / f"{escaped}-{kind}"


def interfaces(folder: Path) -> list[str]:
    """Interfaces that have, or had before they went, anything in the folder."""
    escaped = {name.rpartition("-")[0] for name in pins.names(folder)}
    return sorted(name.replace("%2e", ".").replace("%25", "%") for name in escaped)


def alive(pinned: Path, ifindex: int) -> bool:
    """Whether there is such a link and it is still on that interface."""
    if not pinned.exists():
        return False
    link = libbpf.get(str(pinned))
    try:
        return bool(struct.unpack_from("=I", libbpf.info(link), _IFINDEX_AT)[0] == ifindex)
    finally:
        os.close(link)


def exchange(pinned: Path, ifindex: int, program: int) -> bool:
    """Let a link run another program; False if it is not alive, and the name is free then."""
    if not alive(pinned, ifindex):
        take_off(pinned)
        return False
    link = libbpf.get(str(pinned))
    try:
        libbpf.link_update(link, program)
    finally:
        os.close(link)
    return True


def keep(link: int, pinned: Path) -> None:
    """Pin a link, and close it: it stays."""
    try:
        libbpf.pin(link, str(pinned))
    finally:
        os.close(link)


def take_off(pinned: Path) -> None:
    """Detach and unpin a link; fine if there is none or its interface is gone."""
    if not pinned.exists():
        return
    link = libbpf.get(str(pinned))
    try:
        libbpf.link_detach(link)
    except OSError as error:
        if error.errno not in GONE:
            raise
    finally:
        os.close(link)
        pinned.unlink(missing_ok=True)
