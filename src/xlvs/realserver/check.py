# SPDX-License-Identifier: Apache-2.0
"""What keeps a real server from doing its part, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from xlvs.realserver import wanted
from xlvs.realserver.change import outer_addresses
from xlvs.realserver.decap import Tunnels
from xlvs.realserver.host import Host
from xlvs.realserver.state import Record

# Documentation addresses (RFC 5737, RFC 3849): stand for "some client anywhere".
ANYWHERE = ("192.0.2.1", "2001:db8::1")
_STRICT = 1


class Question(NamedTuple):
    """What is asked about: virtual addresses with their methods, where packets come in.

    ``clients``: addresses that must be reachable; none: any client anywhere.
    """

    vips: dict[str, str]
    interfaces: Sequence[str]
    clients: Sequence[str]


def problems(host: Host, tunnels: Tunnels, record: Record, question: Question) -> list[str]:
    """One sentence per thing that is wrong."""
    vips, interfaces, clients = question
    missing = [name for name in interfaces if name not in host.interfaces()]
    if missing:
        return [f"there is no interface {name} here" for name in missing]
    found: list[str] = []
    for vip, method in vips.items():
        if ("lo", vip) in host.addresses():
            # The kernel looks routes up for its own addresses only.
            found += _way_back(host, vip, interfaces, clients)
        else:
            found.append(f"{vip} is not on lo: this host does not take packets to it")
        found += _answers_for(host, vip, interfaces)
        if method == "tun":
            found += _tunnel(record, vip) or _unlowered(host, record, vip, clients)
    if "tun" in vips.values() and record.vips_of("tun"):
        found += _decapsulation(host, tunnels, record, interfaces)
    return found


def _answers_for(host: Host, vip: str, interfaces: Sequence[str]) -> list[str]:
    """Who answers ARP or neighbour solicitations for it takes its traffic from the director."""
    found = [
        f"{vip} is an address of {interface} itself, so {interface} answers for it"
        " on the wire and takes its traffic from the director: leave it on lo only"
        for interface, address in host.addresses()
        if address == vip and interface != "lo"
    ]
    if ":" in vip:
        return found
    for interface in interfaces:
        if wanted.effective("arp_ignore", interface, host.read) < 1:
            found.append(
                f"{interface} answers ARP for {vip} and takes its traffic from the director:"
                f" net.ipv4.conf.{interface}.arp_ignore should be 1"
            )
        if wanted.effective("arp_announce", interface, host.read) < 2:  # noqa: PLR2004
            found.append(
                f"{interface} may give {vip} as its own address in ARP requests:"
                f" net.ipv4.conf.{interface}.arp_announce should be 2"
            )
    return found


def _way_back(host: Host, vip: str, interfaces: Sequence[str], clients: Sequence[str]) -> list[str]:
    """Replies go to the client directly, with the virtual address as their source."""
    six = ":" in vip
    named = [client for client in clients if (":" in client) == six]
    if clients and not named:
        return []
    found = []
    for client in named or [ANYWHERE[six]]:
        by = host.route(vip, client)
        if by is None:
            found.append(
                f"no route from {vip} back to "
                + (f"client {client}" if named else "clients: there is no default route"
                   " (if all clients are near, name one with --client)")
            )  # fmt: skip
            continue
        found += [
            f"rp_filter on {interface} drops packets of client {client},"
            f" whose way back is {by}: net.ipv4.conf.{interface}.rp_filter should be 2 or 0"
            for interface in interfaces
            if not six
            and by != interface
            and wanted.reverse_path_filter(interface, host.read) == _STRICT
        ]
    return found


def _tunnel(record: Record, vip: str) -> list[str]:
    if vip in record.vips_of("tun"):
        return []
    again = f"run `xlvs realserver up --vip {vip} --method tun`"
    return [f"tunnel packets for {vip} are not opened: {again}"]


def _unlowered(host: Host, record: Record, vip: str, clients: Sequence[str]) -> list[str]:
    """Where SYN/ACKs leave with an MSS that does not fit into the tunnel."""
    if not record.vips[vip].overhead or ("lo", vip) not in host.addresses():
        return []
    six = ":" in vip
    named = [client for client in clients if (":" in client) == six] or [ANYWHERE[six]]
    ways = {by for client in named if (by := host.route(vip, client)) is not None}
    return [
        f"answers of {vip} leave by {by}, where nothing lowers the MSS of its SYN/ACKs:"
        f" name it, too (--interface {by}), or use --clamp-mss off"
        for by in sorted(ways - set(record.decapsulation))
    ]


def _decapsulation(
    host: Host, tunnels: Tunnels, record: Record, interfaces: Sequence[str]
) -> list[str]:
    found = []
    again = "run the same `xlvs realserver up` again"
    for interface in interfaces:
        recorded = record.decapsulation.get(interface)
        if recorded is None:
            found.append(f"no decapsulation program was attached to {interface}: {again}")
            continue
        attached = tunnels.program(interface, recorded.hook)
        if attached == 0:
            found.append(f"the decapsulation program is gone from {interface}: {again}")
        elif attached != recorded.program:
            found.append(
                f"another program (id {attached}) is where {interface}'s decapsulation was: {again}"
            )
        if recorded.lowers and tunnels.program(interface, "egress") != recorded.mss:
            found.append(
                f"the program that lowers the MSS of SYN/ACKs is gone from {interface}: {again}"
            )
    unknown = sorted(set(outer_addresses(host, record)) - set(record.outer))
    if record.decapsulation and unknown:
        found.append(
            f"tunnel packets to {', '.join(unknown)} are not opened,"
            f" the address is newer than the decapsulation: {again}"
        )
    return found
