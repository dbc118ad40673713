# SPDX-License-Identifier: Apache-2.0
"""Between the records of streams and what travels between directors. Pure.

Bits of the records are this version's own; what travels has numbers that stay.
"""

from __future__ import annotations

from xlvs.datapath.records import ServiceFlag, StreamSyn
from xlvs.datapath.records import Stream as Record
from xlvs.datapath.records import StreamFlag as Bit
from xlvs.model.synced import Stream, StreamFlag

_FLAGS = {
    StreamFlag.TOA: ServiceFlag.TOA,
    StreamFlag.PROXY_V1: ServiceFlag.PROXY_V1,
    StreamFlag.PROXY_V2: ServiceFlag.PROXY_V2,
    StreamFlag.PROXY_MARK: ServiceFlag.PROXY_MARK,
    StreamFlag.PROXY_ID: ServiceFlag.PROXY_ID,
    StreamFlag.MET: Bit.MET,
    StreamFlag.HEADED: Bit.HEADED,
    StreamFlag.FAR: Bit.FAR,
}
_SYN = {
    StreamFlag.SYN_PROXY: StreamSyn.SYN_PROXY,
    StreamFlag.ANSWERED: StreamSyn.ANSWERED,
    StreamFlag.AGAIN: StreamSyn.AGAIN,
    StreamFlag.STAMPS: StreamSyn.STAMPS,
    StreamFlag.SACK: StreamSyn.SACK,
    StreamFlag.SCALE: StreamSyn.SCALE,
    StreamFlag.SERVER_STAMPS: StreamSyn.SERVER_STAMPS,
    StreamFlag.SERVER_SCALE: StreamSyn.SERVER_SCALE,
}
_SAME = tuple(name for name in Record._fields if name in Stream._fields and name != "flags")


def as_it_travels(record: Record) -> Stream:
    """What another director has to know of it."""
    flags = sum(int(bit) for bit, own in _FLAGS.items() if record.flags & own)
    flags += sum(int(bit) for bit, own in _SYN.items() if record.syn & own)
    return Stream(flags=flags, **{name: getattr(record, name) for name in _SAME})


def to_take(stream: Stream) -> Record:
    """As the table takes it."""
    return Record(
        flags=sum(own for bit, own in _FLAGS.items() if stream.flags & bit),
        syn=sum(own for bit, own in _SYN.items() if stream.flags & bit),
        **{name: getattr(stream, name) for name in _SAME},
    )
