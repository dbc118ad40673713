# SPDX-License-Identifier: Apache-2.0
"""What un-FULLNAT needs of a host. Pure.

Answers must leave by the interface that the directors are behind, whatever the host's way to
clients is. Packets from a director get a mark, and so do the host's answers:
``tcp_fwmark_accept`` gives it to connections, ``fwmark_reflect`` to resets and ICMP errors.
A rule leads what has the mark to a table of its own. ``src_valid_mark`` lets the filter of
reverse paths look there, too.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from xlvs.model.problem import Code, Problem
from xlvs.realserver.client_address.wanted import Wanted, family

DEFAULT_MARK = 22614
TABLE = 22614
PRIORITY = 22614
"""Of the rule: before the main table's, behind the local one's."""

NOBODY = {4: "169.254.88.86", 6: "fe80::5856"}
"""A gateway that nobody is: packets for it are changed, and sent elsewhere, by the program."""

NOBODYS_ADDRESS = "02:00:00:00:58:56"

_MARK_MAX = 0xFFFFFFFF


class UnWanted(NamedTuple):
    """``interface``: where the directors' packets come in. ``told``: whom to believe."""

    interface: str
    told: Wanted
    mark: int = DEFAULT_MARK

    @property
    def families(self) -> tuple[int, ...]:
        """4, 6 or both: those of the local addresses."""
        return tuple(sorted({family(prefix) for prefix in self.told.believed}))


def wanted(interface: str, told: Wanted, mark: int | None) -> UnWanted:
    """What the command line says. Raises Problem."""
    if mark is not None and not 1 <= mark <= _MARK_MAX:
        raise Problem(Code.INVALID, f"a mark is a number from 1 to {_MARK_MAX}", "--mark")
    return UnWanted(interface, told, DEFAULT_MARK if mark is None else mark)


def packed(mark: int, kind: int) -> bytes:
    """``struct un_settings`` of bpf/unfullnat/maps.h."""
    return struct.pack("=II", mark, kind)


def unpacked(data: bytes) -> tuple[int, int]:
    """Mark and kind of :func:`packed`."""
    mark, kind = struct.unpack("=II", data)
    return mark, kind


def sysctls(interface: str, families: tuple[int, ...]) -> dict[str, str]:
    """Settings below /proc/sys that must have these values."""
    found = {"net/ipv4/tcp_fwmark_accept": "1"}  # both families
    if 4 in families:  # noqa: PLR2004
        found["net/ipv4/fwmark_reflect"] = "1"
        found[f"net/ipv4/conf/{interface}/src_valid_mark"] = "1"
    if 6 in families:  # noqa: PLR2004
        found["net/ipv6/fwmark_reflect"] = "1"
    return found
