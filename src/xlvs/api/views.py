# SPDX-License-Identifier: Apache-2.0
"""The director as the API shows it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from xlvs.api import following, listing, problems
from xlvs.datapath import support
from xlvs.datapath.addresses import unpacked
from xlvs.datapath.port import Port
from xlvs.datapath.records import LOCAL_PORT_WORDS
from xlvs.engine.counting import total, total_rates
from xlvs.io.director import Director
from xlvs.model import settings
from xlvs.model.service import ServiceKey
from xlvs.wire.following import FileView, SyncView
from xlvs.wire.messages import (
    DrainList,
    DrainView,
    InterfaceView,
    LocalPortList,
    LocalPorts,
    ServerPorts,
    ServiceList,
    ServiceView,
    SettingList,
    SettingView,
    Status,
    TableView,
)
from xlvs.wire.resources import Totals

IPVS_TABLE_RATIO = 64
"""Connections per hash bucket: what makes IPVS's ``size=`` of our number of connections."""

_PORTS = LOCAL_PORT_WORDS * 64
_PROTOCOLS = {number: protocol for protocol, number in support.PROTOCOLS.items()}


class Facts(NamedTuple):
    """What the daemon knows about itself."""

    instance: str
    version: str
    pid: int
    started: float
    hooks: tuple[tuple[str, str, str], ...] = ()  # interface, hook, why
    warnings: tuple[str, ...] = ()
    settings: tuple[tuple[str, int], ...] = ()
    file: FileView | None = None
    sync: SyncView | None = None


def service_list(director: Director) -> ServiceList:
    """Services and destinations with their counters."""
    services = list(chain.from_iterable(listing.views(director)))
    return ServiceList(services=services, table_size=table_size(director))


def service_view(director: Director, key: ServiceKey) -> ServiceView:
    """One service with its counters."""
    ((view,),) = listing.views(director, (key,))
    return view


def table_size(director: Director) -> int:
    """The number that IPVS prints as ``size=``."""
    return max(director.port.connections_size // IPVS_TABLE_RATIO, 1)


def drain_list(director: Director) -> DrainList:
    """All drains."""
    found = []
    for drained, drain in director.desired.drains.items():
        load = director.load(drained)
        _, listed = director.desired.services[drained.service]
        before = next(d.weight_before for d in listed if d.key == drained.destination)
        found.append(
            DrainView(
                service=drained.service,
                destination=drained.destination,
                since=drain.since,
                until=drain.until,
                weight_before=before,
                active=load.active,
                inactive=load.inactive,
                persistent=load.persistent,
            )
        )
    return DrainList(drains=sorted(found, key=lambda each: each.since))


def setting_list(director: Director) -> SettingList:
    """All settings. IPVS's automatic ones show what the defence has made of them."""
    values = director.desired.settings
    now = settings.current(values)
    now.update((name, (mode,)) for name, mode in director.defence.shown)
    plain = settings.defaults(values)
    return SettingList(
        settings=[
            SettingView(
                name=settings.full_name(key),
                value=settings.text(key, now[key]),
                default=settings.text(key, plain[key]),
                remark=setting.remark,
            )
            for key, setting in sorted(settings.SETTINGS.items())
        ]
    )


def status(director: Director, facts: Facts) -> Status:
    """Everything that ``xlvs status`` shows."""
    port = director.port
    services = service_list(director).services
    interfaces = interface_list(director, facts.hooks)
    table = table_view(port)
    ports = local_port_list(director)
    return Status(
        instance=facts.instance,
        version=facts.version,
        pid=facts.pid,
        started=facts.started,
        adopted=port.adopted,
        interfaces=interfaces,
        table=table,
        reasons=reasons(port),
        streams=dict(port.streams()),
        local_ports=ports.ports,
        local_addresses=list(director.options.local_addresses),
        services=services,
        settings=dict(facts.settings),
        totals=total(s.live for s in services),
        rates=total_rates(s.rates for s in services),
        problems=[
            *facts.warnings,
            *problems.all_of(director, interfaces, table, ports.servers, services),
            *(following.problems(facts.file) if facts.file is not None else ()),
            *(following.sync_problems(facts.sync) if facts.sync is not None else ()),
        ],
        file=facts.file,
        sync=facts.sync,
    )


def table_view(port: Port) -> TableView:
    """How full the connection table is."""
    table = port.table()
    return TableView(
        size=port.connections_size,
        used=table.used,
        high_water=table.high_water,
        half_open=table.half_open,
        half_open_max=table.half_open_max,
        created=table.created,
        expired=table.ended,
        evicted=table.evicted,
        full=table.full,
    )


def totals(director: Director, refused_tokens: int) -> Totals:
    """Counters of all together."""
    services = service_list(director).services
    return Totals(
        totals=total(s.live for s in services),
        rates=total_rates(s.rates for s in services),
        reasons=reasons(director.port),
        refused_tokens=refused_tokens,
    )


def reasons(port: Port) -> dict[str, dict[str, int]]:
    """Packets and bytes by what became of them."""
    return {
        name: {"packets": reason.packets, "bytes": reason.bytes}
        for name, reason in port.reasons().items()
        if reason.packets
    }


def interface_list(
    director: Director, hooks: Iterable[tuple[str, str, str]]
) -> list[InterfaceView]:
    """Interfaces that are to run the data path, and whether they do."""
    attached = {(a.ifname, a.hook): a.egress for a in director.port.attachments()}
    return [
        InterfaceView(
            name=name,
            hook=hook,
            why=why,
            attached=(name, hook) in attached,
            egress=attached.get((name, hook), False),
        )
        for name, hook, why in hooks
    ]


def local_port_list(director: Director) -> LocalPortList:
    """FULLNAT's ports, used and free."""
    tables = director.effective.tables
    whose = tables.port_blocks
    use = director.port.port_use(whose)
    named = tables.blocks()
    servers = []
    for blocks in tables.port_rows.values():
        used = sum(use[block].used for block in blocks)
        servers.append(
            ServerPorts(
                destination=unpacked(whose[blocks[0]].server),
                destination_port=whose[blocks[0]].port,
                protocol=_PROTOCOLS[whose[blocks[0]].protocol],
                local_addresses=[unpacked(whose[block].local) for block in blocks],
                used=used,
                free=len(blocks) * _PORTS - used,
                exhausted=sum(use[block].exhausted for block in blocks),
            )
        )
    ports = [
        LocalPorts(
            local=unpacked(key.local),
            destination=unpacked(key.server),
            destination_port=key.port,
            protocol=_PROTOCOLS[key.protocol],
            used=use[block].used,
            free=_PORTS - use[block].used if block in named else 0,
            exhausted=use[block].exhausted,
            retired=block not in named,
        )
        for block, key in sorted(whose.items())
        if block in named or use[block].used
    ]
    servers.sort(key=lambda each: -each.used / (each.used + each.free))
    ports.sort(key=lambda each: (each.retired, -each.used))
    return LocalPortList(servers=servers, ports=ports)
