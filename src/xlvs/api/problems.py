# SPDX-License-Identifier: Apache-2.0
"""What an operator has to know at once, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xlvs.io.director import Director
from xlvs.model import settings
from xlvs.model.service import Address, Service
from xlvs.model.words import host_port, service_title
from xlvs.wire.messages import InterfaceView, ServerPorts, ServiceView, TableView

_NEARLY_FULL = 0.9

UNRESOLVED = "unresolved"
"""How the words of a next hop begin that is not known."""


def all_of(
    director: Director,
    interfaces: Iterable[InterfaceView],
    table: TableView,
    ports: Iterable[ServerPorts],
    services: Iterable[ServiceView],
) -> Iterator[str]:
    """All of the data path."""
    yield from of_director(director, interfaces, table, ports)
    for each in services:
        hops = ((d.destination.key.address, d.next_hop) for d in each.destinations)
        yield from of_service(each.service, each.remarks, hops)


def of_director(
    director: Director,
    interfaces: Iterable[InterfaceView],
    table: TableView,
    ports: Iterable[ServerPorts],
) -> Iterator[str]:
    """All but those of services."""
    if director.expiry_stands_still:
        yield EXPIRY
    for interface in interfaces:
        yield from _interface(director, interface)
    if is_nearly_full(table):
        yield nearly_full(table)
    share = ports_warning(director)
    yield from (crowded(each) for each in ports if share_taken(each) >= share)


def of_service(
    service: Service, remarks: Iterable[str], next_hops: Iterable[tuple[Address, str]]
) -> Iterator[str]:
    """Those of one service; ``next_hops`` of its real servers, in words."""
    title = service_title(service)
    yield from (f"{title}: {remark}" for remark in remarks)
    for address, words in next_hops:
        if words.startswith(UNRESOLVED):
            yield f"{title}: {address}: {words}"


EXPIRY = "connections do not expire: the sweep in the kernel stands still (restart xlvsd)"


def is_nearly_full(table: TableView) -> bool:
    """Whether the connection table soon refuses connections."""
    return table.used >= table.size * _NEARLY_FULL


def nearly_full(table: TableView) -> str:
    """That it does."""
    return (
        f"the connection table is nearly full ({table.used} of {table.size}): "
        "start with a greater --table-size"
    )


def ports_warning(director: Director) -> float:
    """From which share of the local ports towards a real server on it is a problem."""
    return settings.numbers(director.desired.settings)["xlvs.local_ports_warning"] / 100


def share_taken(ports: ServerPorts) -> float:
    """Of all local ports towards a real server."""
    return ports.used / (ports.used + ports.free)


def crowded(ports: ServerPorts) -> str:
    """That there soon are no local ports any more, or are none."""
    refused = f", {ports.exhausted} connections found none" if ports.exhausted else ""
    return (
        f"fullnat to {server(ports)}: {ports.used} of {ports.used + ports.free} local ports are "
        f"taken ({100 * share_taken(ports):.1f} %){refused}: add local addresses"
    )


def exhausted(ports: ServerPorts) -> str:
    """That connections found no local port."""
    return (
        f"fullnat to {server(ports)}: {ports.exhausted} connections found no free local port "
        f"at {', '.join(map(str, ports.local_addresses))}: add local addresses"
    )


def server(ports: ServerPorts) -> str:
    """Towards whom, in words; port 0: whichever its clients say."""
    return f"{ports.protocol.value} {host_port(ports.destination, ports.destination_port)}"


def _interface(director: Director, interface: InterfaceView) -> Iterator[str]:
    if not interface.attached:
        yield f"{interface.name}: the data path is not attached ({interface.hook})"
    elif director.effective.tables.settings.local_destinations and not interface.egress:
        yield (
            f"{interface.name}: answers of real servers on the director itself leave unseen: "
            "the program on egress is gone (restart xlvsd)"
        )
