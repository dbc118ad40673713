# SPDX-License-Identifier: Apache-2.0
"""Where a packet comes in, and by whose frame: chosen from the surroundings. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from xlvs.datapath.explain.frame import MTU, TTL, Wanted
from xlvs.datapath.observed import Link, Observed, Route
from xlvs.datapath.port import Attached
from xlvs.model.problem import Code, Problem
from xlvs.model.service import Address
from xlvs.model.words import host_port
from xlvs.wire.explanation import ExplainRequest

MADE_UP_PORT = 40000
MADE_UP_MAC = bytes.fromhex("020000000001")

LOOPBACK = "lo"

_HOOKS = ("xdp", "tc")


class Arrival(NamedTuple):
    """``link`` carries the frame; ``chosen`` says what nobody asked for."""

    link: Link
    hook: str
    wanted: Wanted
    title: str
    chosen: list[str]


def sender(request: ExplainRequest) -> Address:
    """Who sends what comes in: the packet's source, or who complains about the packet."""
    if request.error:
        return request.sender or request.destination
    return request.source


def arrival(
    request: ExplainRequest, observed: Observed, route: Route, attached: Sequence[Attached]
) -> Arrival:
    """The frame that is wanted; ``route`` is the one back to its sender. Raises Problem."""
    _check(request)
    chosen: list[str] = []
    hooks = {each.ifname: each.hook for each in attached}
    if not hooks and not request.hook:
        raise Problem(Code.INVALID, "the director is attached to no interface", "/interface")
    asked, request = request, msgspec.structs.replace(request, source=sender(request))
    link = _link(request, observed, route, hooks, chosen)
    carrier, vlan = _carrier(link, observed, hooks)
    hook = request.hook or ("tc" if hooks.get(carrier.name) == "tc" else "xdp")
    if vlan and hook == "tc":
        raise Problem(
            Code.NOT_SUPPORTED,
            f"tagged frames cannot be made for {carrier.name} by tc: the tag is not in the frame",
            "/interface",
        )
    if carrier.name not in hooks:
        chosen.append(f"the director is not attached to {carrier.name}: this is how it would be")
    elif (hooks[carrier.name] == "tc") is not (hook == "tc"):
        chosen.append(
            f"{carrier.name} is attached by {hooks[carrier.name]}: this is how it would be"
        )
    port = request.source_port
    if port is None:
        port = MADE_UP_PORT
        chosen.append(f"the client's port {port} is made up")
    if request.mark and hook != "tc":
        raise Problem(Code.INVALID, "only a packet at the TC hook can bring a mark", "/mark")
    if request.length > link.mtu:
        raise Problem(Code.INVALID, f"{link.name} takes {link.mtu} IP bytes at most", "/length")
    wanted = Wanted(
        protocol=request.protocol,
        source=asked.source,
        source_port=port,
        destination=request.destination,
        destination_port=request.destination_port,
        flags=request.flags,
        length=request.length,
        source_mac=_sender(request, observed, route, link),
        destination_mac=carrier.mac,
        vlan=vlan,
        error=request.error,
        sender=request.sender,
    )
    if request.error == "too-big":
        chosen.append(f"the MTU {MTU} that it asks for is made up")
    return Arrival(carrier, hook, wanted, _title(wanted, carrier.name, hook), chosen)


def _check(request: ExplainRequest) -> None:
    if request.hook not in ("", *_HOOKS):
        raise Problem(
            Code.INVALID, f"no such hook: {request.hook}; one of {', '.join(_HOOKS)}", "/hook"
        )
    if request.sender and not request.error:
        raise Problem(Code.INVALID, "only an ICMP error has a sender besides the source", "/sender")
    if request.error and request.source_port is None:
        raise Problem(
            Code.INVALID,
            f"{request.source}: a port is missing: the error is about it",
            "/source_port",
        )


def _link(
    request: ExplainRequest,
    observed: Observed,
    route: Route,
    hooks: dict[str, str],
    chosen: list[str],
) -> Link:
    links = {link.name: link for link in observed.links.values()}
    if request.interface:
        found = links.get(request.interface)
        if found is None:
            raise Problem(Code.INVALID, f"there is no interface {request.interface}", "/interface")
        return found
    if route.local:
        if LOOPBACK in hooks and LOOPBACK in links:
            chosen.append(f"{LOOPBACK}: {request.source} is the director's own address")
            return links[LOOPBACK]
        raise Problem(
            Code.INVALID,
            f"{request.source} is the director's own address, and its own clients are not seen "
            "(xlvsd --local-clients); or name the interface by which its packets come in "
            "(--interface)",
            "/interface",
        )
    found = observed.links.get(route.ifindex)
    if found is None or not (found.name in hooks or _parent(found, observed, hooks)):
        where = (
            f"the route to {request.source} leads to {found.name}, where the director is not "
            "attached"
            if found
            else f"there is no route to {request.source} ({route.error or 'no route'})"
        )
        name = min(hooks) if hooks else ""
        if name not in links:
            raise Problem(Code.INVALID, f"{where}: name the interface (--interface)", "/interface")
        chosen.append(f"{name}: {where}")
        return links[name]
    chosen.append(f"{found.name}: the route to {request.source} leads there")
    return found


def _parent(link: Link, observed: Observed, hooks: dict[str, str]) -> Link | None:
    """The attached device that carries a VLAN's frames."""
    parent = observed.links.get(link.parent) if link.vlan else None
    return parent if parent is not None and parent.name in hooks else None


def _carrier(link: Link, observed: Observed, hooks: dict[str, str]) -> tuple[Link, int]:
    """Who carries its frames to us, and by which tag."""
    if link.name in hooks:
        return link, 0
    parent = _parent(link, observed, hooks)
    return (parent, link.vlan) if parent else (link, 0)


def _sender(request: ExplainRequest, observed: Observed, route: Route, link: Link) -> bytes:
    """The MAC address of whoever sends it to us; answers would go there."""
    if link.name == LOOPBACK:
        return bytes(6)  # what has one there was delivered by us
    known = observed.neighbours.get((link.ifindex, route.gateway or request.source))
    return known.mac if known is not None and known.usable else MADE_UP_MAC


def _title(wanted: Wanted, interface: str, hook: str) -> str:
    flags = f" [{wanted.flags}]" if wanted.protocol.value != "udp" and wanted.flags else ""
    packet = (
        f"{wanted.protocol.value} {host_port(wanted.source, wanted.source_port)} > "
        f"{host_port(wanted.destination, wanted.destination_port)}{flags}"
    )
    if wanted.error:
        by = wanted.sender or wanted.destination
        packet = f"icmp {wanted.error} from {by} about {packet}"
    return f"{packet}, TTL {TTL}, in by {interface} ({hook})"
