# SPDX-License-Identifier: Apache-2.0
"""What of a service the data path does today, and in words what it does not."""

from __future__ import annotations

from ipaddress import IPv4Address

from xlvs.datapath.records import Method, Scheduler, ServiceFlag, Tunnel
from xlvs.model import service as model
from xlvs.model.mark import NONE_MARKED, Marked
from xlvs.schedulers import maglev

SCHEDULERS = {
    "rr": Scheduler.RR,
    "wrr": Scheduler.WRR,
    "lc": Scheduler.LC,
    "wlc": Scheduler.WLC,
    "mh": Scheduler.MH,
    "sed": Scheduler.SED,
    "nq": Scheduler.NQ,
    "fo": Scheduler.FO,
    "ovf": Scheduler.OVF,
    "sh": Scheduler.SH,
    "dh": Scheduler.DH,
    "lblc": Scheduler.LBLC,
    "lblcr": Scheduler.LBLCR,
    "twos": Scheduler.TWOS,
}

METHODS = {
    model.Method.NAT: Method.NAT,
    model.Method.DR: Method.DR,
    model.Method.TUN: Method.TUN,
    model.Method.FULLNAT: Method.FULLNAT,
}

TUNNELS = {
    model.TunnelType.IPIP: Tunnel.IPIP,
    model.TunnelType.GUE: Tunnel.GUE,
    model.TunnelType.GRE: Tunnel.GRE,
}

_DATAGRAMS = (model.Protocol.UDP, model.Protocol.FWM)

PROTOCOLS = {
    model.Protocol.TCP: 6,
    model.Protocol.UDP: 17,
    model.Protocol.SCTP: 132,
    model.Protocol.FWM: 0,
}

PROXY = {
    model.ProxyProtocol.V1: ServiceFlag.PROXY_V1,
    model.ProxyProtocol.V2: ServiceFlag.PROXY_V2,
}

PROXY_TLVS = {
    model.ProxyTlv.MARK: ServiceFlag.PROXY_MARK,
    model.ProxyTlv.ID: ServiceFlag.PROXY_ID,
}

SIP = "sip"
"""The persistence engine of the Call-ID."""

FTP_PORT = 21
"""Its persistent service takes its clients' data connections too."""

_ALL = b"\xff" * 16
_BITS = 8 * len(_ALL)
_EVERY_BIT = (1 << _BITS) - 1
_IPV4_BYTES = 4


def scheduler(service: model.Service) -> Scheduler:
    """The data path's scheduler; NONE: it has none of this name, nobody is scheduled."""
    return SCHEDULERS.get(service.scheduler, Scheduler.NONE)


def hash_weight(service: model.Service, destination: model.Destination) -> int:
    """The weight by which mh's slots are shared out: one that was set to 0 still counts.

    Not without a table: there the slot alone says where a new connection goes, and a
    slot that moves away remembers whose older ones are.
    """
    if service.stateless:
        return destination.weight
    return destination.weight or destination.weight_before


def flags(service: model.Service) -> ServiceFlag:
    """What packets must know of a service besides its scheduler."""
    found = hash_flags(service)
    if service.one_packet:
        found |= ServiceFlag.ONE_PACKET
    if service.persistence_timeout:
        found |= ServiceFlag.PERSISTENT
        # Without -p an engine is accepted, and asked nothing.
        if service.persistence_engine == SIP:
            found |= ServiceFlag.SIP
    if service.timeouts != model.NO_TIMEOUTS:
        found |= ServiceFlag.OWN_TIMEOUTS
    if service.toa:
        found |= ServiceFlag.TOA
    if service.proxy_protocol:
        found |= PROXY[service.proxy_protocol]
    for each in service.proxy_tlvs:
        found |= PROXY_TLVS[each]
    if service.syn_proxy.mode is not model.SynProxyMode.OFF:
        found |= ServiceFlag.SYN_PROXY
    if service.syn_proxy.mode is model.SynProxyMode.ON:
        found |= ServiceFlag.SYN_COOKIES
    return found


def mask(service: model.Service) -> bytes:
    """What clients' addresses are masked with; an IPv4 mask may have any bits."""
    if not service.netmask:
        return _ALL
    if service.netmask.isdecimal():
        shift = _BITS - int(service.netmask)
        return (_EVERY_BIT >> shift << shift).to_bytes(len(_ALL), "big")
    return _ALL[:-_IPV4_BYTES] + IPv4Address(service.netmask).packed


def keeps_port(service: model.Service, destination: model.Destination) -> bool:
    """Whether connections go to the port that the client asks for.

    Persistent services of IPVS send to the server's port only who asks for theirs: nobody
    does of a mark or of port 0, and with FTP not who wants data. A mark that is not
    persistent sends to the server's port.
    """
    if not destination.key.port:
        return True
    if service.key.protocol is model.Protocol.FWM or service.key.port == FTP_PORT:
        return bool(service.persistence_timeout)
    return not service.key.port


FALLING_BACK = frozenset((Scheduler.MH, Scheduler.SH))
"""Schedulers with a flag that looks for another server if the client's cannot be used."""


def hash_flags(service: model.Service) -> ServiceFlag:
    """What packets must know of a hashing scheduler's flags."""
    flags = ServiceFlag(0)
    if scheduler(service) in FALLING_BACK:
        if service.flags & maglev.FALLBACK:
            flags |= ServiceFlag.HASH_FALLBACK
        if service.flags & maglev.PORT:
            flags |= ServiceFlag.HASH_PORT
        if service.stateless:
            flags |= ServiceFlag.STATELESS
    return flags


def remarks(
    service: model.Service,
    destinations: tuple[model.Destination, ...],
    marked: Marked = NONE_MARKED,
) -> list[str]:
    """What the data path does not do for this service. ``marked``: by all mark rules."""
    found = []
    protocol = service.key.protocol
    if protocol is model.Protocol.FWM and not marked.has(service.key):
        mark = service.key.fwmark
        found.append(
            f"no rule gives packets the mark {mark} (xlvs mark add {mark} --to ...): only those "
            "meet this service that another program on tc has marked"
        )
    if scheduler(service) is Scheduler.NONE:
        found.append(
            f"scheduler {service.scheduler} is not in the data path yet: "
            "new connections are refused"
        )
    if service.persistence_engine and not service.persistence_timeout:
        found.append(
            f"persistence engine {service.persistence_engine} has no effect: "
            "the service is not persistent (-p)"
        )
    if flags(service) & ServiceFlag.SIP and protocol not in _DATAGRAMS:
        found.append("persistence engine sip is for UDP: new connections are dropped")
    if service.one_packet and protocol not in _DATAGRAMS:
        found.append("one-packet scheduling is for UDP: connections are kept")
    if service.stateless and any(each.upper_threshold for each in destinations):
        found.append("stateless: thresholds have no effect, because connections are not counted")
    return found
