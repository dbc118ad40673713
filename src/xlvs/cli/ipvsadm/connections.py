# SPDX-License-Identifier: Apache-2.0
"""``ipvsadm -Lc``: the connection table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from xlvs.cli.ipvsadm import text
from xlvs.cli.ipvsadm.names import Names
from xlvs.model.service import Protocol
from xlvs.wire.messages import ConnectionView

_MINUTE = 60
_PROTOCOLS = {p: "IP" if p is Protocol.FWM else p.value.upper() for p in Protocol}


def listing(
    connections: Iterable[ConnectionView], names: Names | None, *, engine: bool
) -> Iterator[str]:
    """The lines, heads first. ``engine`` adds the heads of the persistence engine's columns."""
    yield "IPVS connection entries\n"
    destination = f"{'destination':<18} {'pe name':<16} pe_data" if engine else "destination"
    yield f"pro expire {'state':<11} {'source':<18} {'virtual':<18} {destination}\n"
    for each in connections:
        yield _line(each, names)


def _line(view: ConnectionView, names: Names | None) -> str:
    protocol = view.protocol
    minutes, seconds = divmod(view.expires, _MINUTE)
    expires = f"{minutes:02}:{seconds:02}"
    source = _endpoint(view.client, view.client_port, protocol, names)
    virtual = _endpoint(view.virtual, view.virtual_port, protocol, names)
    destination = _endpoint(view.destination, view.destination_port, protocol, names)
    return (
        f"{_PROTOCOLS[protocol]:<3} {expires:<6} {view.state:<11} "
        f"{source:<18} {virtual:<18} {destination}\n"
    )


def _endpoint(address: str, port: int, protocol: Protocol, names: Names | None) -> str:
    if names:
        return text.endpoint(ip_address(address), port, protocol, names)
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
