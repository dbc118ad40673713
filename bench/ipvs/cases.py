# SPDX-License-Identifier: Apache-2.0
"""What can be measured, and the order in which one boot does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

METHODS = ("dr", "tun", "nat", "fullnat")
HOOKS = ("xdp", "tc")
PROTOCOLS = ("udp", "tcp")
FLOWS = ("256", "65536", "new")
NEW = "new"

IPVS = "ipvs"
GENERATOR = "drop-xdp"
"""The director drops at once: what is left is the generator and the way to the director."""

FLOORS = (GENERATOR, "drop-tc", "redirect-xdp", "redirect-tc", "route")
NO_METHOD = "-"


class Case(NamedTuple):
    """One measurement. ``method`` of a floor is ``NO_METHOD``."""

    director: str
    method: str
    flows: str
    protocol: str


def items(methods: Sequence[str], hooks: Sequence[str], *, alone: bool) -> list[str]:
    """What the guest is to set up, a word each: ``DIRECTOR`` or ``DIRECTOR:METHOD``.

    ``alone``: without what xlvs is compared with.
    """
    ours = [f"xlvs-{hook}:{method}" for hook in hooks for method in methods]
    if alone:
        return [GENERATOR, *ours]
    compared = dict.fromkeys(ipvs_method(method) for method in methods)
    return [*FLOORS, *(f"{IPVS}:{method}" for method in compared), *ours]


def ipvs_method(method: str) -> str:
    """The method of IPVS that is compared: it has no FULLNAT, NAT is the nearest."""
    return "nat" if method == "fullnat" else method


def counterpart(case: Case) -> Case:
    """The same case of IPVS."""
    return case._replace(director=IPVS, method=ipvs_method(case.method))


def expected_target(case: Case) -> str:
    """Where the packets must be going when a real server gets them: IPv4 address and port."""
    servers = "10.77.2.2:8080", "10.77.3.2:8080"
    return {
        "dr": "10.77.100.1:80",
        "nat": " ".join(servers),
        "fullnat": " ".join(servers),
    }.get(case.method, "")
