# SPDX-License-Identifier: Apache-2.0
"""``ipvsadm -Lc``: the connection table.

There may be ten million connections: what many of them share is written once, and
lines leave by the thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from itertools import islice
from typing import TypeVar

from xlvs.cli.ipvsadm import text
from xlvs.cli.ipvsadm.names import Names
from xlvs.model.service import Protocol
from xlvs.wire.messages import ConnectionView

LINES = 1024
"""Lines that leave at once."""

_MINUTE = 60
_PROTOCOLS = {p: "IP" if p is Protocol.FWM else p.value.upper() for p in Protocol}
_REMEMBERED_MAX = 1 << 16

Key = TypeVar("Key")

Head = tuple[Protocol, str, int]
"""Protocol, state, seconds left."""

Tail = tuple[Protocol, str, int, str, int]
"""Protocol, service, real server."""


def listing(
    connections: Iterable[ConnectionView], names: Names | None, *, engine: bool
) -> Iterator[str]:
    """The lines, heads first. ``engine`` adds the persistence engine's columns."""
    yield "IPVS connection entries\n"
    destination = f"{'destination':<18} {'pe name':<16} pe_data" if engine else "destination"
    yield f"pro expire {'state':<11} {'source':<18} {'virtual':<18} {destination}\n"
    lines = _lines(connections, names, engine=engine)
    while some := "".join(islice(lines, LINES)):
        yield some


def _lines(
    connections: Iterable[ConnectionView], names: Names | None, *, engine: bool
) -> Iterator[str]:
    heads: dict[Head, str] = {}
    tails: dict[Tail, str] = {}
    for each in connections:
        protocol = each.protocol
        head = (protocol, each.state, each.expires)
        tail = (
            protocol,
            each.virtual,
            each.virtual_port,
            each.destination,
            each.destination_port,
        )
        before = heads.get(head) or _remember(heads, head, _head)
        after = tails.get(tail) or _remember(tails, tail, lambda key: _tail(key, names))
        client = (
            _endpoint(each.client, each.client_port, protocol, names)
            if names
            else _numbers(each.client, each.client_port)
        )
        line = f"{before}{client:<18} {after}"
        if engine and each.persistence_engine:
            line = _with_engine(line, each)
        yield line


def _remember(texts: dict[Key, str], key: Key, make: Callable[[Key], str]) -> str:
    if len(texts) >= _REMEMBERED_MAX:
        texts.clear()
    made = texts[key] = make(key)
    return made


def _head(key: Head) -> str:
    protocol, state, expires = key
    minutes, seconds = divmod(expires, _MINUTE)
    left = f"{minutes:02}:{seconds:02}"
    return f"{_PROTOCOLS[protocol]:<3} {left:<6} {state:<11} "


def _tail(key: Tail, names: Names | None) -> str:
    protocol, virtual, virtual_port, server, server_port = key
    service = _endpoint(virtual, virtual_port, protocol, names)
    return f"{service:<18} {_endpoint(server, server_port, protocol, names)}\n"


def _endpoint(address: str, port: int, protocol: Protocol, names: Names | None) -> str:
    if names:
        return text.endpoint(ip_address(address), port, protocol, names)
    return _numbers(address, port)


def _with_engine(line: str, each: ConnectionView) -> str:
    """Only lines with an engine have its columns, so only theirs pad the server's."""
    begin, server = line.rstrip("\n").rsplit(" ", 1)
    return f"{begin} {server:<16} {each.persistence_engine:<18} {each.persistence_data}\n"


def _numbers(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
