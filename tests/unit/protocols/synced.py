# SPDX-License-Identifier: Apache-2.0
"""Connections for tests of sync."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from hypothesis import strategies as st

from xlvs.model.synced import (
    SCTP,
    SEQUENCE_MASK,
    TCP,
    UDP,
    Flag,
    Forward,
    Sequence,
    Sequences,
    Stream,
    Synced,
)

STATES = {TCP: 11, UDP: 1, SCTP: 14}


def connection(port: int = 40000, **other: Any) -> Synced:
    """An established TCP connection."""
    plain = Synced(
        protocol=TCP,
        client=ip_address("203.0.113.1").packed,
        client_port=port,
        virtual=ip_address("10.0.0.1").packed,
        virtual_port=80,
        server=ip_address("192.168.200.11").packed,
        server_port=8080,
        state=1,
        timeout=900.0,
    )
    return plain._replace(**other)


_u32 = st.integers(0, 2**32 - 1)
_port = st.integers(0, 65535)
_sequence = st.builds(Sequence, _u32, _u32, _u32)
_u16, _u8 = st.integers(0, 2**16 - 1), st.integers(0, 255)
_streams = st.builds(Stream, st.integers(1, 2**16 - 1), *11 * [_u32], _u16, _u16, _u8, _u8, _u8)
_flags = st.sampled_from(
    [0, Flag.INACTIVE, Flag.NO_OUTPUT, Flag.NO_CLIENT_PORT, Flag.IN_SEQ, Flag.OUT_SEQ]
)


@st.composite
def connections(draw: st.DrawFn, *, ours: bool = False) -> Synced:
    """Any; ``ours``: also what only our own protocol can say."""
    size = draw(st.sampled_from([4, 16]))
    server_size = draw(st.sampled_from([4, 16])) if ours else size
    methods = [Forward.NAT, Forward.DR, Forward.TUN, Forward.LOCAL]
    flags = draw(_flags) | draw(_flags) | draw(st.sampled_from(methods))
    protocol = draw(st.sampled_from([TCP, UDP, SCTP]))
    template = draw(st.booleans())
    engine = template and draw(st.booleans())
    sequences = None
    if flags & SEQUENCE_MASK:
        sequences = Sequences(draw(_sequence), draw(_sequence))
    local = b""
    if ours and draw(st.booleans()):
        local = draw(st.binary(min_size=server_size, max_size=server_size))
    return Synced(
        protocol=protocol,
        client=draw(st.binary(min_size=size, max_size=size)),
        client_port=draw(_port),
        virtual=draw(st.binary(min_size=size, max_size=size)),
        virtual_port=draw(_port),
        server=draw(st.binary(min_size=server_size, max_size=server_size)),
        server_port=draw(_port),
        flags=flags | (Flag.TEMPLATE if template else 0),
        state=draw(st.integers(0, 1 if template else STATES[protocol] - 1)),
        timeout=float(draw(st.integers(0, 4_000_000))),
        fwmark=draw(_u32),
        idle=draw(st.integers(0, 4_000_000)) / 8 if ours else 0.0,
        sequences=sequences,
        engine=b"sip" if engine else b"",
        engine_data=draw(st.binary(min_size=1, max_size=255)) if engine else b"",
        local=local,
        local_port=draw(_port) if local else 0,
        stream=draw(_streams) if ours and draw(st.booleans()) else None,
    )
