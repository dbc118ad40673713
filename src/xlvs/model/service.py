# SPDX-License-Identifier: Apache-2.0
"""What an operator wants: virtual services and their destinations, as frozen values.

Words and ranges are IPVS's (``include/uapi/linux/ip_vs.h``, ipvsadm 1.31).

There may be a hundred thousand of them, and none leads back to itself: so the garbage
collector passes over them (``gc=False``).
"""

from __future__ import annotations

from abc import ABC
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    Address = IPv4Address | IPv6Address
    Network = IPv4Network | IPv6Network
    Interface = IPv4Interface | IPv6Interface
else:
    # One class, because msgspec refuses unions of foreign types; the one that both derive from,
    # because msgspec looks at each of a hundred thousand, and an ABC takes its time.
    from ipaddress import _BaseAddress as Address

    class Network(ABC):  # noqa: B024  # its members are registered below
        """Either of the two."""

    Network.register(IPv4Network)
    Network.register(IPv6Network)

    class Interface(ABC):  # noqa: B024  # as Network
        """An address with its prefix, either of the two."""

    Interface.register(IPv4Interface)
    Interface.register(IPv6Interface)


class Protocol(StrEnum):
    """Transport protocol of an address service. ``FWM`` marks a firewall-mark service."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"
    FWM = "fwm"


class Method(StrEnum):
    """Forwarding method of a destination."""

    NAT = "nat"
    DR = "dr"
    TUN = "tun"
    FULLNAT = "fullnat"


class TunnelType(StrEnum):
    """Encapsulation of a TUN destination."""

    IPIP = "ipip"
    GUE = "gue"
    GRE = "gre"


class Family(StrEnum):
    """Address family of a service; only a firewall mark needs it spelled."""

    INET = "inet"
    INET6 = "inet6"


class ServiceKey(
    msgspec.Struct,
    frozen=True,
    order=False,
    kw_only=True,
    forbid_unknown_fields=True,
    gc=False,
    cache_hash=True,
):
    """Identity of a virtual service, as the kernel's.

    Either ``protocol`` in tcp/udp/sctp with ``address`` and ``port``, or
    ``protocol`` = fwm with ``fwmark`` (1..2**32-1) and ``family``.
    """

    protocol: Protocol
    address: Address | None = None
    port: int = 0
    fwmark: int = 0
    family: Family = Family.INET


class ServiceTimeouts(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False
):
    """Seconds of ESTABLISHED, FIN_WAIT and UDP for one service; 0: the director's (``--set``)."""

    tcp: int = 0
    tcp_fin: int = 0
    udp: int = 0


NO_TIMEOUTS = ServiceTimeouts()


class ProxyProtocol(StrEnum):
    """The header that tells real servers the client's address, in front of its stream."""

    OFF = ""
    V1 = "v1"
    V2 = "v2"


class ProxyTlv(StrEnum):
    """What version 2 of it may say besides: the service's mark, an id of the connection."""

    MARK = "mark"
    ID = "id"


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Most connections at once, and new ones per second; 0: as many as come.

    ``burst``: new connections that may come at once after a rest; 0: as many as in a second.
    """

    connections: int = 0
    rate: int = 0
    burst: int = 0


NO_LIMIT = Limit()


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Of each client, and of the service's clients together.

    ``client_prefix``: how many bits of an address say who a client is; 0: all 32 of IPv4, 64
    of IPv6.
    """

    client: Limit = NO_LIMIT
    service: Limit = NO_LIMIT
    client_prefix: int = 0


NO_LIMITS = Limits()


class SynProxyMode(StrEnum):
    """Whether clients' SYNs are answered for the servers: never, always, under attack."""

    OFF = "off"
    ON = "on"
    AUTO = "auto"


class SynProxy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """SYN proxy of one service.

    ``threshold``: with auto, so many SYNs a second whose clients are not there switch it on.
    The others are what clients are promised, which has to be what all servers do: ``mss`` in
    bytes; ``window_scale`` in bits; without ``timestamps`` there is neither SACK nor a window
    scale. 0 or None: as the servers show it.
    """

    mode: SynProxyMode = SynProxyMode.OFF
    threshold: int = 1000
    mss: int = 0
    window_scale: int | None = None
    sack: bool | None = None
    timestamps: bool | None = None


NO_SYN_PROXY = SynProxy()


class Service(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A virtual service without its destinations.

    ``persistence_timeout`` in seconds, 0: not persistent. ``netmask``: IPv4 mask
    in dotted form or an IPv6 prefix length as text, as ipvsadm takes it; empty:
    host mask. ``flags`` are the raw sched-flags bits (1, 2, 4: flag-1..3).
    ``stateless``: the scheduler's hash says of every packet where it goes, and no
    connections are kept; ours, IPVS has none of it. So are ``timeouts`` and ``toa``: real
    servers by FULLNAT are told the client's address by an option of TCP; and
    ``proxy_protocol`` with ``proxy_tlvs``: they are by a header, by NAT too.
    FULLNAT: ``local_addresses`` of its own, or the ``local_pool`` that has them.
    ``limits`` and ``syn_proxy`` are ours as well, and ``allow`` and ``deny``: names of lists
    of clients.
    """

    key: ServiceKey
    scheduler: str = "wlc"
    persistence_timeout: int = 0
    netmask: str = ""
    persistence_engine: str = ""
    one_packet: bool = False
    flags: int = 0
    stateless: bool = False
    local_addresses: tuple[Address, ...] = ()
    timeouts: ServiceTimeouts = NO_TIMEOUTS
    toa: bool = False
    proxy_protocol: ProxyProtocol = ProxyProtocol.OFF
    proxy_tlvs: tuple[ProxyTlv, ...] = ()
    local_pool: str = ""
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    limits: Limits = NO_LIMITS
    syn_proxy: SynProxy = NO_SYN_PROXY

    @property
    def guarded(self) -> bool:
        """Whether lists or limits say who may open connections."""
        return bool(self.allow or self.deny) or self.limits != NO_LIMITS


class DestinationKey(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False
):
    """Identity of a destination within its service."""

    address: Address
    port: int


class Destination(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A real server of one service. ``weight`` 0..65535 (kernel: up to 2**31-1).

    ``weight_before``: what a weight of 0 was before, else 0. An edit to 0 need not say
    it, the director remembers: a hashing scheduler leaves such a server its slots.
    """

    key: DestinationKey
    method: Method = Method.DR
    weight: int = 1
    weight_before: int = 0
    upper_threshold: int = 0
    lower_threshold: int = 0
    tunnel_type: TunnelType = TunnelType.IPIP
    tunnel_port: int = 0
    tunnel_flags: int = 0
