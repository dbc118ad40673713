# SPDX-License-Identifier: Apache-2.0
"""What keeps a host from seeing the clients of FULLNAT, and what it cannot show, in words."""

from __future__ import annotations

from ipaddress import ip_network

from xlvs.realserver.client_address.findings import Findings
from xlvs.realserver.host import Host
from xlvs.realserver.state import UnFullnat
from xlvs.realserver.un_fullnat.programs import Kept, Programs
from xlvs.realserver.un_fullnat.routing import Routing
from xlvs.realserver.un_fullnat.wanted import sysctls

_AGAIN = "run the same `xlvs realserver up --client-address --un-fullnat` again"

_COUNTED = {
    "without": "connections came without the client's address in their SYN: they are not"
    " changed, and only programs that ask are told",
    "malformed": "connections came with an option that is no client's address of that family",
    "collisions": "connections were of a client's address and port that had a connection to the"
    " same port already, through another virtual address or director: they are not changed",
    "fragments": "fragments came from local addresses: they are not changed",
    "lost": "answers were dropped because the way back was forgotten: more than 65536"
    " connections, or a local port that was given to another client",
    "no_memory": "connections were not changed for want of memory",
}


def findings(
    host: Host, routing: Routing, programs: Programs, what: UnFullnat, kept: Kept | None
) -> Findings:
    """``kept``: what the programs know, None if they are gone."""
    interface = what.interface
    if interface not in host.interfaces():
        return Findings([f"there is no interface {interface} here"], [])
    problems = [
        f"un-FULLNAT's program for packets that {way} is gone from {interface}: {_AGAIN}"
        for way, was, now in zip(
            ("come in", "go out"), what.programs, programs.programs(interface), strict=True
        )
        if not was or was != now
    ]
    problems += [
        f"{sentence}, so answers to clients may leave elsewhere: {_AGAIN}"
        for sentence in routing.missing(interface, what.families, what.mark)
    ]
    problems += [
        f"{path.replace('/', '.')} should be {value}: {_AGAIN}"
        for path, value in sysctls(interface, what.families).items()
        if host.read(path) not in {value, None}
    ]
    if kept is None:
        return Findings(problems, [])
    problems += _elsewhere(routing, interface, kept.told.believed)
    notes = [f"{kept.counts[name]} {text}" for name, text in _COUNTED.items() if kept.counts[name]]
    return Findings(problems, notes)


def _elsewhere(routing: Routing, interface: str, believed: tuple[str, ...]) -> list[str]:
    """Local addresses that the host does not reach by the interface that it hears them on."""
    found = []
    for prefix in believed:
        network = ip_network(prefix)
        # The first address of a network may be nobody's.
        address = network[0] if network.num_addresses == 1 else network[1]
        leaves = routing.leaves_by(str(address))
        if leaves != interface:
            where = f"leaves by {leaves}" if leaves else "has no route"
            found.append(
                f"what this host sends to the local address {prefix} {where}: it must leave by"
                f" {interface}, where answers are changed"
            )
    return found
