# SPDX-License-Identifier: Apache-2.0
"""``ipvsadm -L``: services and servers in their columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from xlvs.cli.ipvsadm import sorting, text
from xlvs.cli.ipvsadm.names import Names
from xlvs.model.service import Service, SynProxyMode
from xlvs.model.syncing import GROUP, Roles, SyncRole
from xlvs.wire.messages import Counters, DestinationLine, Numbers, Rates, ServiceLine

_NOTHING = Counters()
_NAME_WIDTH = 28
_SERVER_HEAD = "  -> RemoteAddress:Port"


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """What a listing shows: ``kind`` is its columns; ``names`` is None with ``-n``."""

    kind: str = ""
    names: Names | None = None
    exact: bool = False
    sort: bool = True


def kind(given: set[str]) -> str:
    """Which columns win when several are asked for."""
    for name in ("stats", "rate", "thresholds", "persistent-conn", "tun-info"):
        if name in given:
            return name
    return ""


def version_line(table_size: int) -> str:
    """The first line of a listing of everything."""
    return f"IP Virtual Server version 1.2.1 (size={table_size})\n"


def listing(services: Iterable[ServiceLine], style: Style) -> Iterator[str]:
    """The lines of a listing, from the heads on, those of a service together.

    They are made while services come in, and told when all are there to be sorted.
    """
    shown = [(view, "".join(_lines(view, style))) for view in services]
    yield _head(style.kind)
    for _, lines in sorting.services(shown) if style.sort else shown:
        yield lines


def _lines(view: ServiceLine, style: Style) -> Iterator[str]:
    yield _service_line(view, style)
    for destination in sorting.destinations(view.destinations) if style.sort else view.destinations:
        yield _server_line(view.service, destination, style)


def _head(kind: str) -> str:
    if kind in ("stats", "rate"):
        names = _COUNTERS if kind == "stats" else _RATES
        columns = " ".join(f"{name:>8}" for name in names)
        return f"{'Prot LocalAddress:Port':<33} {columns}\n{_SERVER_HEAD}\n"
    if kind in ("thresholds", "persistent-conn"):
        columns = "Uthreshold Lthreshold" if kind == "thresholds" else "Weight    PersistConn"
        head = f"{'Prot LocalAddress:Port':<33} {columns} ActiveConn InActConn \n"
        return f"{head}{_SERVER_HEAD}\n"
    columns = "TunnelInfo    Weight" if kind == "tun-info" else "Weight"
    return (
        "Prot LocalAddress:Port Scheduler Flags\n"
        f"{_SERVER_HEAD:<33} Forward {columns} ActiveConn InActConn\n"
    )


NUMBERS: Mapping[str, Numbers] = {"stats": "stats", "rate": "rates"}
"""Kinds of listings and the counters that they show; others show none."""

_COUNTERS = ("Conns", "InPkts", "OutPkts", "InBytes", "OutBytes")
_RATES = ("CPS", "InPPS", "OutPPS", "InBPS", "OutBPS")


def _service_line(view: ServiceLine, style: Style) -> str:
    service = view.service
    title = _title(service, style.names)
    if style.kind == "stats":
        return f"{title:<33}{_counts(view.stats, exact=style.exact)}\n"
    if style.kind == "rate":
        return f"{title:<33}{_counts(view.rates, exact=style.exact)}\n"
    return f"{title} {service.scheduler}{_properties(service)}\n"


def _title(service: Service, names: Names | None) -> str:
    key = service.key
    if key.address is None:
        six = " IPv6" if text.is_ipv6(service) else ""
        return f"FWM  {text.mark(service)}{six}"
    name = text.endpoint(key.address, key.port, key.protocol, names)
    return f"{key.protocol.value.upper():<4} {_cut(name)}"


def _cut(name: str) -> str:
    """Only names of IPv4 addresses are cut to the column."""
    return name if name.startswith("[") else name[:_NAME_WIDTH]


def _properties(service: Service) -> str:
    words = []
    if service.flags:
        words.append(f"({text.flags(service)})")
    if service.stateless:
        words.append("stateless")
    if service.persistence_timeout:
        words.append(f"persistent {service.persistence_timeout}")
        if service.netmask:
            words.append(f"mask {service.netmask}")
        if service.persistence_engine:
            words.append(f"pe {service.persistence_engine}")
    if service.one_packet:
        words.append("ops")
    words += [" ".join(each) for each in text.own_timeouts(service)]
    words += [" ".join(each) for each in text.telling(service)]
    words += [" ".join(each) for each in text.admission(service)]
    if service.syn_proxy.mode is not SynProxyMode.OFF:
        words.append(f"syn-proxy {service.syn_proxy.mode.value}")
    return "".join(f" {word}" for word in words)


def _server_line(service: Service, view: DestinationLine, style: Style) -> str:
    server = view.destination
    name = text.endpoint(server.key.address, server.key.port, service.key.protocol, style.names)
    begin = f"  -> {_cut(name):<28}"
    if style.kind == "stats":
        return f"{begin}{_counts(view.stats, exact=style.exact)}\n"
    if style.kind == "rate":
        return f"{begin}{_counts(view.rates, exact=style.exact)}\n"
    connections = f"{view.active:<10} {view.inactive:<10}\n"
    if not style.kind:
        return f"{begin} {text.FORWARD[server.method]:<7} {server.weight:<6} {connections}"
    if style.kind == "thresholds":
        limits = f"{server.upper_threshold:<10} {server.lower_threshold:<10}"
        return f"{begin} {limits} {connections}"
    if style.kind == "persistent-conn":
        return f"{begin} {server.weight:<9} {view.persistent:<11} {connections}"
    forward = f"{text.FORWARD[server.method]:<7} {text.tunnel_info(server):<13}"
    return f"{begin} {forward} {server.weight:<6} {connections}"


def _counts(values: Counters | Rates | None, *, exact: bool) -> str:
    values = values or _NOTHING
    return "".join(
        text.count(value, exact=exact)
        for value in (
            values.connections,
            values.in_packets,
            values.out_packets,
            values.in_bytes,
            values.out_bytes,
        )
    )


def daemons(roles: Roles) -> Iterator[str]:
    """The lines of ``-L --daemon``: the master first."""
    for role in SyncRole:
        if role in roles:
            each = roles[role]
            yield (
                f"{role} sync daemon (mcast={each.interface}, syncid={each.sync_id}, "
                f"maxlen={each.max_length}, group={each.group or GROUP}, port={each.port}, "
                f"ttl={each.ttl})\n"
            )


def local_addresses(
    service: Service, addresses: Iterable[str], names: Names | None
) -> Iterator[str]:
    """The lines of ``--get-laddr`` for one service."""
    yield f"{_title(service, names)}\n"
    for address in addresses:
        yield f"  <- {address}\n"
