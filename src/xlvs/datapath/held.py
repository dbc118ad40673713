# SPDX-License-Identifier: Apache-2.0
"""Connections as connection sync has them: read from the table, and made to be put into one.

Pure: bytes and the time in, values out. An operator's listing is ``connections.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from socket import IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, ntohs
from typing import NamedTuple

from xlvs.datapath.addresses import family, packed
from xlvs.datapath.places import Place, Shape, parts
from xlvs.datapath.records import (
    CONNECTION_METHOD_SHIFT,
    CONNECTION_PROTOCOL_SHIFT,
    CONNECTION_STATE,
    ConnectionFlag,
    Method,
    State,
    Stream,
    Synced,
    SyncedFlag,
    Tenant,
    Transport,
)
from xlvs.datapath.word import GENERATION, HALF, METHODS, PROTOCOLS, TICKS
from xlvs.model.service import Address

# As IP numbers them; 0 of a mark's template, which is of any.
PROTOCOL_NUMBERS = {
    Transport.TCP: IPPROTO_TCP,
    Transport.UDP: IPPROTO_UDP,
    Transport.SCTP: IPPROTO_SCTP,
    Transport.IP: 0,
}


class Held(NamedTuple):
    """A connection, or a template, of this director's. Times in ticks.

    Of a template ``client`` is masked and ``client_port`` 0; of a mark's, ``transport`` is IP
    and ``virtual`` the mark as an address. ``block`` and ``local_port``: FULLNAT's.
    """

    tenant: Tenant
    transport: Transport
    client: Address
    client_port: int
    virtual: Address
    virtual_port: int
    destination: int
    state: State
    left: int
    method: Method
    template: bool = False
    no_output: bool = False
    controlled: bool = False
    block: int = 0
    local_port: int = 0
    special: bool = False
    """There may be a stream."""


class Holder:
    """Reads connections of one family."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def read(self, lines: memoryview, now: int, first: int = 0) -> Iterator[Held]:
        """The connections in whole lines whose time is not over; ``first``: number of the first.

        Those whose client has not proved itself are left out.
        """
        for part in parts(lines, self._shape, first):
            for at, fields in part.numbered():
                held = self._held(at, fields, now)
                if held is not None:
                    yield held

    def read_one(self, lines: memoryview, tenant: Tenant, now: int) -> Held | None:
        """That connection of ``lines``, all of the family's; None if it is not there any more."""
        line = tenant.at // self._shape.ways
        at = line * self._shape.line
        one = lines[at : at + self._shape.line]
        found = (each for each in self.read(one, now, line) if each.tenant == tenant)
        return next(found, None)

    def _held(
        self,
        at: int,
        fields: Place,
        now: int,
    ) -> Held | None:
        word, expires, destination, block, local_port, src, dst, sport, dport = fields
        left = expires - now & TICKS
        if not left or left >= HALF or word & ConnectionFlag.HALF_OPEN:
            return None
        kind = word >> CONNECTION_PROTOCOL_SHIFT & PROTOCOLS
        method = Method(word >> CONNECTION_METHOD_SHIFT & METHODS)
        template = bool(kind & Transport.TEMPLATE)
        full = method is Method.FULLNAT and not template
        return Held(
            tenant=Tenant(at, word & GENERATION | self._shape.v6),
            transport=Transport(kind & ~Transport.TEMPLATE),
            client=ip_address(src),
            client_port=ntohs(sport),
            virtual=ip_address(dst),
            virtual_port=ntohs(dport),
            destination=destination,
            state=State(word & CONNECTION_STATE),
            left=left,
            method=method,
            template=template,
            no_output=bool(word & ConnectionFlag.NO_OUTPUT),
            controlled=bool(word & ConnectionFlag.CONTROLLED),
            block=block if full else 0,
            local_port=ntohs(local_port) if full else 0,
            special=bool(word & ConnectionFlag.SPECIAL),
        )


def to_take(
    held: Held,
    *,
    assured: bool = False,
    template_timeout: int = 0,
    idle: int = 0,
    stream: Stream | None = None,
) -> Synced:
    """What puts this connection into a table. ``destination`` and ``block`` are that table's.

    ``idle``: ticks since its last packet; a table that saw one since keeps its own.
    """
    flags = SyncedFlag(0)
    for flag, on in (
        (SyncedFlag.TEMPLATE, held.template),
        (SyncedFlag.MARK, held.template and held.transport is Transport.IP),
        (SyncedFlag.ASSURED, assured),
        (SyncedFlag.NO_OUTPUT, held.no_output),
        (SyncedFlag.STREAM, stream is not None),
    ):
        if on:
            flags |= flag
    return Synced(
        src=packed(held.client),
        dst=packed(held.virtual),
        sport=held.client_port,
        dport=held.virtual_port,
        protocol=PROTOCOL_NUMBERS[held.transport],
        family=family(held.client),
        destination=held.destination,
        state=held.state,
        flags=flags,
        left=held.left,
        idle=idle,
        template_timeout=template_timeout,
        block=held.block,
        local_port=held.local_port,
        stream=stream or Stream(),
    )
