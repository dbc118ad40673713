# SPDX-License-Identifier: Apache-2.0
"""One connection as it travels between directors, whatever protocol carries it.

States and flags are numbers of IPVS (``ip_vs.h``), because its messages carry them: a
state means something only together with the protocol.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import NamedTuple

TCP, UDP, SCTP, ESP, AH = 6, 17, 132, 50, 51
"""IP protocol numbers of what IPVS keeps connections for."""


class TcpState(IntEnum):
    """``IP_VS_TCP_S_*``."""

    NONE = 0
    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT = 4
    TIME_WAIT = 5
    CLOSE = 6
    CLOSE_WAIT = 7
    LAST_ACK = 8
    LISTEN = 9
    SYNACK = 10


class UdpState(IntEnum):
    """``IP_VS_UDP_S_*``: there is one."""

    NORMAL = 0


class SctpState(IntEnum):
    """``IP_VS_SCTP_S_*``."""

    NONE = 0
    INIT1 = 1
    INIT = 2
    COOKIE_SENT = 3
    COOKIE_REPLIED = 4
    COOKIE_WAIT = 5
    COOKIE = 6
    COOKIE_ECHOED = 7
    ESTABLISHED = 8
    SHUTDOWN_SENT = 9
    SHUTDOWN_RECEIVED = 10
    SHUTDOWN_ACK_SENT = 11
    REJECTED = 12
    CLOSED = 13


class TemplateState(IntEnum):
    """``IP_VS_CTPL_S_*``. ASSURED: one of the template's connections was established."""

    NONE = 0
    ASSURED = 1


class Flag(IntFlag):
    """``IP_VS_CONN_F_*``, those that leave a director. The lowest three bits: ``Forward``."""

    NO_OUTPUT = 0x80
    """The server's packets do not pass: DR and TUN."""
    INACTIVE = 0x100
    OUT_SEQ = 0x200
    IN_SEQ = 0x400
    NO_CLIENT_PORT = 0x800
    TEMPLATE = 0x1000
    ONE_PACKET = 0x2000


class Forward(IntEnum):
    """``IP_VS_CONN_F_FWD_MASK``'s values. FULLNAT is ours and the forks', not the kernel's."""

    NAT = 0
    LOCAL = 1
    TUN = 2
    DR = 3
    BYPASS = 4
    FULLNAT = 5


FORWARD_MASK = 0x7
SEQUENCE_MASK = Flag.OUT_SEQ | Flag.IN_SEQ


class Sequence(NamedTuple):
    """``struct ip_vs_seq``: how an application's helper moved sequence numbers."""

    initial: int = 0
    delta: int = 0
    previous_delta: int = 0


class Sequences(NamedTuple):
    """Both directions: ``in_seq`` and ``out_seq``."""

    inward: Sequence
    outward: Sequence


class StreamFlag(IntFlag):
    """What is done to a connection's segments, and how far it is. Numbers of our own protocol."""

    TOA = 1 << 0
    PROXY_V1 = 1 << 1
    PROXY_V2 = 1 << 2
    PROXY_MARK = 1 << 3
    PROXY_ID = 1 << 4
    MET = 1 << 5
    """The server has shown that it has the client's first segment."""
    HEADED = 1 << 6
    """It has acknowledged the PROXY protocol's header."""
    FAR = 1 << 7
    SYN_PROXY = 1 << 8
    """The client was answered before there was a server;"""
    ANSWERED = 1 << 9
    """that one's number is known."""
    AGAIN = 1 << 10
    STAMPS = 1 << 11
    SACK = 1 << 12
    SCALE = 1 << 13
    SERVER_STAMPS = 1 << 14
    SERVER_SCALE = 1 << 15


class Stream(NamedTuple):
    """A TCP connection whose segments are changed on their way: what both ends were told.

    Sequence numbers and time stamps as they are in packets; ``delta`` and ``stamp_delta`` are
    added to the server's. ``header``: bytes in front of the client's stream. ``begun`` goes into
    the connection's unique id.
    """

    flags: int = 0
    client_isn: int = 0
    next_isn: int = 0
    begun: int = 0
    toa: int = 0
    header: int = 0
    cookie: int = 0
    delta: int = 0
    stamp: int = 0
    promised_stamp: int = 0
    stamp_delta: int = 0
    again: int = 0
    mss: int = 0
    window: int = 0
    client_scale: int = 0
    promised_scale: int = 0
    server_scale: int = 0


class SyncedKey(NamedTuple):
    """What tells connections apart. Of a template the client is masked and its port 0."""

    template: bool
    protocol: int
    client: bytes
    client_port: int
    virtual: bytes
    virtual_port: int
    engine_data: bytes


class Synced(NamedTuple):
    """A connection or a template.

    Addresses are 4 or 16 bytes as on the wire; ports are plain numbers. ``timeout``:
    seconds that it lives after a packet, 0: as the receiver's own tables say; ``idle``:
    seconds since its last packet (IPVS sends when one comes, so there it is 0).
    ``engine`` and ``engine_data``: a template of a persistence engine. ``local`` and
    ``local_port``: FULLNAT's, empty otherwise; only our own protocol carries them, and
    ``stream``.
    """

    protocol: int
    client: bytes
    client_port: int
    virtual: bytes
    virtual_port: int
    server: bytes
    server_port: int
    flags: int = 0
    state: int = 0
    timeout: float = 0.0
    fwmark: int = 0
    idle: float = 0.0
    sequences: Sequences | None = None
    engine: bytes = b""
    engine_data: bytes = b""
    local: bytes = b""
    local_port: int = 0
    stream: Stream | None = None

    @property
    def v6(self) -> bool:
        """Of the client and the virtual address; a tunnel's server may have the other family."""
        return len(self.client) != 4  # noqa: PLR2004  # bytes of an IPv4 address

    @property
    def template(self) -> bool:
        """Persistence: connections that this client makes go to that server."""
        return bool(self.flags & Flag.TEMPLATE)

    @property
    def inactive(self) -> bool:
        """Counted in InActConn, not in ActiveConn."""
        return bool(self.flags & Flag.INACTIVE)

    @property
    def forward(self) -> int:
        """A ``Forward``, or a number that is none."""
        return self.flags & FORWARD_MASK

    @property
    def key(self) -> SyncedKey:
        """Two with the same key are one connection."""
        template = self.template
        return SyncedKey(
            template,
            self.protocol,
            self.client,
            self.client_port,
            self.virtual,
            self.virtual_port,
            self.engine_data if template else b"",
        )
