# SPDX-License-Identifier: Apache-2.0
"""The connection table as an operator sees it, read from the mapped memory.

Pure: bytes and the time in, views out. Packets write meanwhile, so an entry is
looked at again after it was copied.
"""

from __future__ import annotations

from collections.abc import Iterator

from xlvs.datapath.addresses import unpacked
from xlvs.datapath.layout import Codec
from xlvs.datapath.records import CONNECTION_STATE, Connection, ConnectionFlag, Method, State
from xlvs.model.service import Protocol
from xlvs.wire.messages import ConnectionView

_PROTOCOLS = {6: Protocol.TCP, 17: Protocol.UDP, 132: Protocol.SCTP}
_WORD = 4  # bytes of Connection.word
_HALF = 1 << 31


def live_slots(view: memoryview, stride: int, word_at: int, slots: int) -> list[int]:
    """Slots of the table that hold a connection. ``slots``: how many were ever used."""
    words = view.cast("I")[word_at // _WORD :: stride // _WORD]
    live = int(ConnectionFlag.LIVE)
    return [slot for slot, word in enumerate(words[:slots]) if word & live]


def read(
    view: memoryview, stride: int, codec: Codec[Connection], slots: list[int], now: int
) -> Iterator[ConnectionView]:
    """The connections of these slots that are not over.

    ``now``: milliseconds of CLOCK_MONOTONIC. A connection that a new one replaced is
    shown with no time left until the sweep meets it, as IPVS does.
    """
    for slot in slots:
        at = slot * stride
        c = codec.unpack(view, at)
        again = codec.unpack(view, at)
        if c.generation != again.generation or not again.word & ConnectionFlag.LIVE:
            continue
        shown = connection_view(c, now)
        if shown is not None:
            yield shown


def milliseconds_left(connection: Connection, now: int) -> int:
    """Until it is over; 0 or less when it is. Clocks are compared modulo 2**32."""
    age = (now - connection.last_seen) & 0xFFFFFFFF
    if age >= _HALF:  # seen after we looked at the clock
        age = 0
    return connection.timeout - age


def connection_view(c: Connection, now: int) -> ConnectionView | None:
    """One connection, or None if it is over and only waits for the sweep."""
    left = milliseconds_left(c, now)
    if c.word & ConnectionFlag.REPLACED:
        left = 0
    elif left <= 0:
        return None
    protocol = _PROTOCOLS.get(c.protocol)
    if protocol is None:
        return None
    translated = c.method == Method.FULLNAT
    return ConnectionView(
        protocol=protocol,
        state=State(c.word & CONNECTION_STATE).name,
        expires=left // 1000,
        client=unpacked(c.client),
        client_port=c.client_port,
        virtual=unpacked(c.virtual_address),
        virtual_port=c.virtual_port,
        destination=unpacked(c.server),
        destination_port=c.destination_port,
        method=Method(c.method).name.lower(),
        local=unpacked(c.local) if translated else None,
        local_port=c.local_port if translated else 0,
    )
