# SPDX-License-Identifier: Apache-2.0
"""What is probably wrong with a server that does not answer through the data path, in words."""

from __future__ import annotations

from ipaddress import IPv4Address

from xlvs.io.checkers.passage import Passage
from xlvs.model.service import Method, TunnelType
from xlvs.protocols.checks import icmp
from xlvs.protocols.checks.outcome import in_seconds
from xlvs.protocols.checks.packets import Refusal

_PROTOCOL_UNREACHABLE = 2


def silence(passage: Passage, seconds: float, *, alive: bool) -> str:
    """Nothing came back."""
    server = passage.destination.key.address
    vip = passage.peer[0]
    method = passage.destination.method
    said = f"no answer from {_at(passage)} within {in_seconds(seconds)}"
    if not alive:
        return f"{said}, nor from {server} itself"
    said = f"{said}, though {server} is alive"
    if method == Method.DR:
        return f"{said}: does it have {vip} on lo? does rp_filter drop what comes?"
    if method == Method.TUN:
        kind = passage.destination.tunnel_type.upper()
        return f"{said}: does it open {kind}, have {vip}, and rp_filter off on its tunnel device?"
    if method == Method.FULLNAT:
        return f"{said}: has it a route to {passage.source}?"
    return f"{said}: its default route does not lead to this director"


def claimed(passage: Passage) -> str:
    """It answers for the virtual address on the wire."""
    vip = passage.peer[0]
    what, remedy = "ARP", "arp_ignore=1 and arp_announce=2, and the address on lo only"
    if not isinstance(vip, IPv4Address):
        what, remedy = "neighbour solicitations", "the address on lo only"
    return (
        f"{passage.destination.key.address} answers {what} for {vip}, and may take its traffic"
        f" from the director: it needs {remedy}"
    )


def refused(passage: Passage) -> str:
    """A reset came back."""
    return f"connection refused by {_at(passage)}"


def elsewhere(passage: Passage, interface: str) -> str:
    """NAT: the answer came by another interface."""
    return (
        f"the answer of {passage.destination.key.address} came by {interface}: its default"
        " route leads to another router than this director"
    )


def unreachable(passage: Passage, refusal: Refusal) -> str:
    """An ICMP error came back."""
    kind = passage.destination.tunnel_type
    if passage.destination.method == Method.TUN and refusal.by == passage.destination.key.address:
        unknown = isinstance(refusal.by, IPv4Address) and refusal.code == _PROTOCOL_UNREACHABLE
        if unknown or kind == TunnelType.GUE or not isinstance(refusal.by, IPv4Address):
            port = f" on port {passage.destination.tunnel_port}" if kind == TunnelType.GUE else ""
            return f"{refusal.by} does not open {kind.upper()}{port}"
    v6 = not isinstance(refusal.by, IPv4Address)
    if refusal.code == (icmp.PORT_UNREACHABLE6 if v6 else icmp.PORT_UNREACHABLE):
        return refused(passage)
    why = icmp.unreachable(refusal.code, v6=v6)
    return f"{_at(passage)}: {why}, says {refusal.by}"


def _at(passage: Passage) -> str:
    address, port = passage.peer
    name = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"  # noqa: PLR2004
    server = passage.destination.key.address
    return name if address == server else f"{name} at {server}"
