# SPDX-License-Identifier: Apache-2.0
"""TC programs by links (tcx, kernel 6.6), which spares packets the way through clsact.

Other tcx programs may be there. Ours is put behind them, as near as can be to where its
filter on clsact would be: clsact comes after all of tcx. An exchange keeps its place.

``<interface>-ingress``, ``<interface>-egress``  the pinned links
"""

from __future__ import annotations

import errno
from pathlib import Path

from xlvs.datapath import libbpf, links
from xlvs.datapath.points import SIDES


def attach(folder: Path, ifname: str, ifindex: int, point: int, program: int) -> bool:
    """Run a program; False if this kernel has no tcx. Raises OSError."""
    path = links.path(folder, ifname, SIDES[point])
    if links.exchange(path, ifindex, program):
        return True
    try:
        link = libbpf.tcx_link(program, ifindex, point)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return False
        raise
    links.keep(link, path)
    return True


def detach(folder: Path, ifname: str, point: int) -> None:
    """Take our program off; fine if there is none. Raises OSError."""
    links.take_off(links.path(folder, ifname, SIDES[point]))


def runs(folder: Path, ifname: str, ifindex: int, point: int) -> bool:
    """Whether our program runs by a link. Raises OSError."""
    return links.alive(links.path(folder, ifname, SIDES[point]), ifindex)
