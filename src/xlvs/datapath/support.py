# SPDX-License-Identifier: Apache-2.0
"""What of a service the data path does today, and in words what it does not."""

from __future__ import annotations

from xlvs.datapath.records import Method, Scheduler, ServiceFlag
from xlvs.model import service as model
from xlvs.model.mark import NONE_MARKED, Marked
from xlvs.schedulers import maglev

SCHEDULERS = {
    "rr": Scheduler.RR,
    "wrr": Scheduler.WRR,
    "lc": Scheduler.LC,
    "wlc": Scheduler.WLC,
    "mh": Scheduler.MH,
}

METHODS = {
    model.Method.NAT: Method.NAT,
    model.Method.DR: Method.DR,
    model.Method.TUN: Method.TUN,
    model.Method.FULLNAT: Method.FULLNAT,
}

PROTOCOLS = {
    model.Protocol.TCP: 6,
    model.Protocol.UDP: 17,
    model.Protocol.SCTP: 132,
    model.Protocol.FWM: 0,
}


def scheduler(service: model.Service) -> Scheduler:
    """The data path's scheduler; NONE: it has none of this name, nobody is scheduled."""
    return SCHEDULERS.get(service.scheduler, Scheduler.NONE)


def weight(destination: model.Destination) -> int:
    """The weight as schedulers shall see it: 0 for a server that cannot be sent to rightly."""
    if _foreign_tunnel(destination):
        return 0
    return destination.weight


def hash_weight(service: model.Service, destination: model.Destination) -> int:
    """The weight by which slots are shared out: one that was set to 0 still counts.

    Not without a table: there the slot alone says where a new connection goes, and a
    slot that moves away remembers whose older ones are.
    """
    if service.stateless or _foreign_tunnel(destination):
        return weight(destination)
    return destination.weight or destination.weight_before


def hash_flags(service: model.Service) -> ServiceFlag:
    """What packets must know of a hashing scheduler's flags."""
    flags = ServiceFlag(0)
    if scheduler(service) is Scheduler.MH:
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
    if protocol is model.Protocol.SCTP:
        found.append("SCTP is not in the data path yet: no packet meets this service")
    if protocol is not model.Protocol.FWM and not service.key.port:
        found.append("port 0 (any port) is not in the data path yet: no packet meets this service")
    if scheduler(service) is Scheduler.NONE:
        found.append(
            f"scheduler {service.scheduler} is not in the data path yet: "
            "new connections are refused"
        )
    if service.persistence_timeout:
        found.append(
            "persistence is not in the data path yet: each connection is scheduled by itself"
        )
    if service.persistence_engine:
        found.append(f"persistence engine {service.persistence_engine} is not in the data path yet")
    if service.one_packet and protocol is not model.Protocol.UDP:
        found.append("one-packet scheduling is for UDP: connections are kept")
    if service.stateless and any(each.upper_threshold for each in destinations):
        found.append("stateless: thresholds have no effect, because connections are not counted")
    found += _remarks_on_servers(destinations)
    return found


def _remarks_on_servers(destinations: tuple[model.Destination, ...]) -> list[str]:
    found = []
    for destination in destinations:
        name = f"{destination.key.address} port {destination.key.port}"
        if _foreign_tunnel(destination):
            found.append(
                f"{name}: {destination.tunnel_type.value} tunnels are not in the data path yet: "
                "new connections do not go there"
            )
    return found


def _foreign_tunnel(destination: model.Destination) -> bool:
    return (
        destination.method is model.Method.TUN
        and destination.tunnel_type is not model.TunnelType.IPIP
    )
