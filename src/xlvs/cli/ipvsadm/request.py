# SPDX-License-Identifier: Apache-2.0
"""A command line as values."""

from __future__ import annotations

import msgspec

from xlvs.cli.ipvsadm.options import Verb
from xlvs.model.service import (
    NO_SYN_PROXY,
    Address,
    Method,
    Protocol,
    ProxyProtocol,
    ProxyTlv,
    SynProxy,
    TunnelType,
)
from xlvs.model.syncing import SyncChannel, SyncRole

HOST_MASK = "255.255.255.255"
HOST_PREFIX = "128"


class Request(msgspec.Struct, kw_only=True):
    """What a command line asks for.

    ``given`` has the options by their names in messages. ``protocol`` is None until a
    service is named; it says whose names the ports have, so a mark has TCP's.
    ``own_timeouts``: the service's, by the option; so are ``lists`` of clients and ``limits``,
    of which a rate's burst is ``client-burst`` and ``service-burst``.
    """

    verb: Verb
    given: set[str]
    protocol: Protocol | None = None
    address: Address | None = None
    port: int = 0
    fwmark: int = 0
    ipv6: bool = False
    scheduler: str = ""
    persistence: int = 0
    netmask: str = HOST_MASK
    engine: str = ""
    one_packet: bool = False
    flag_words: str = ""
    flags: int = 0
    stateless: bool = False
    own_timeouts: dict[str, int] = {}
    toa: bool = False
    proxy_protocol: ProxyProtocol = ProxyProtocol.OFF
    proxy_tlvs: tuple[ProxyTlv, ...] = ()
    lists: dict[str, tuple[str, ...]] = {}
    limits: dict[str, int] = {}
    syn_proxy: SynProxy = NO_SYN_PROXY
    server: Address | None = None
    server_port: int = 0
    method: Method = Method.DR
    weight: int = 1
    upper: int = 0
    lower: int = 0
    tunnel: TunnelType = TunnelType.IPIP
    tunnel_port: int = 0
    tunnel_flags: int = 0
    local_addresses: tuple[Address, ...] = ()
    local_pool: str = ""
    timeouts: tuple[int, int, int] = (0, 0, 0)
    role: SyncRole | None = None
    channel: SyncChannel = SyncChannel(interface="eth0")
