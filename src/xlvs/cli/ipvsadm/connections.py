# SPDX-License-Identifier: Apache-2.0
"""``ipvsadm -Lc``: the connection table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xlvs.cli.ipvsadm import text
from xlvs.cli.ipvsadm.names import Names
from xlvs.model.service import Address, Protocol
from xlvs.wire.messages import ConnectionView

_MINUTE = 60


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
    def name(address: Address, port: int) -> str:
        return text.endpoint(address, port, view.protocol, names)

    protocol = "IP" if view.protocol is Protocol.FWM else view.protocol.value.upper()
    minutes, seconds = divmod(view.expires, _MINUTE)
    expires = f"{minutes:02}:{seconds:02}"
    source = name(view.client, view.client_port)
    virtual = name(view.virtual, view.virtual_port)
    destination = name(view.destination, view.destination_port)
    return f"{protocol:<3} {expires:<6} {view.state:<11} {source:<18} {virtual:<18} {destination}\n"
