# SPDX-License-Identifier: Apache-2.0
"""The kinds of tunnel that lead to a virtual address, and what they take of a packet. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from xlvs.model.problem import Code, Problem

KINDS = {"ipip": 0, "gue": 1, "gre": 2}
"""enum xlvs_tunnel of bpf/abi.h."""

GUE_PORT = 6080
"""IANA's port for GUE."""

OVERHEAD_MAX = 255

# Between the IP headers: nothing; UDP and GUE; GRE with a checksum, which it need not have.
_BETWEEN = {"ipip": 0, "gue": 12, "gre": 8}
_PORT_MAX = 65535


class Tunnel(NamedTuple):
    """How packets for a virtual address come from the director.

    ``clamp``: bytes of headers that the MSS of SYN/ACKs allows for, 0 none, None as many
    as the largest of the ``kinds`` takes in the address's own family.
    """

    kinds: tuple[str, ...] = ("ipip",)
    port: int = 0
    clamp: int | None = None

    def overhead(self, vip: str) -> int:
        """Bytes that the MSS of this address's SYN/ACKs allows for."""
        if self.clamp is not None:
            return self.clamp
        return (40 if ":" in vip else 20) + max(_BETWEEN[kind] for kind in self.kinds)


IPIP = Tunnel()


def tunnel(kinds: Sequence[str], port: int | None, clamp: str) -> Tunnel:
    """A tunnel as the command line says it. Raises Problem."""
    if port is not None and "gue" not in kinds:
        raise Problem(Code.INVALID, "only gue has a port", "--tunnel-port")
    if port is not None and not 1 <= port <= _PORT_MAX:
        raise Problem(Code.INVALID, f"there is no UDP port {port}", "--tunnel-port")
    found = Tunnel(tuple(dict.fromkeys(kinds)) or ("ipip",), port or 0, _clamp(clamp))
    return found._replace(port=port or GUE_PORT) if "gue" in found.kinds else found


def _clamp(text: str) -> int | None:
    if text == "auto":
        return None
    if text == "off":
        return 0
    if not text.isdecimal() or int(text) > OVERHEAD_MAX:
        raise Problem(
            Code.INVALID,
            f"wants auto, off, or a number of bytes up to {OVERHEAD_MAX}, not {text!r}",
            "--clamp-mss",
        )
    return int(text)
